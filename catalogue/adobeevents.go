package catalogue

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// adobeEvents verifies Adobe I/O Events: two RSA signatures over the body, with keys
// whose paths are in headers. The keys sign for all Adobe customers, and the body
// contains the recipient.
// https://developer.adobe.com/events/docs/guides/
type adobeEvents struct {
	audience string
	source   keySource
}

const adobeKeyHost = "static.adobeioevents.com"

func newAdobeEvents(m *provider.Module) (provider.Verifier, error) {
	source, err := configuredOr(m, func() keySource {
		return &adobeSource{keyfetch.Shared(adobeKeyHost), keyIdentity(m.Name(), m.Resolved().Audience)}
	})
	return &adobeEvents{m.Resolved().Audience, source}, err
}

// adobeSource fetches the keys one by one. Each is a PEM at a path on one host.
type adobeSource struct {
	fetcher  *keyfetch.Fetcher
	identity signature.Identity
}

// adobeKeyPath matches the paths of keys.
var adobeKeyPath = regexp.MustCompile(`^/prod/keys/pub-key-[A-Za-z0-9]{1,64}\.pem$`)

func (a *adobeSource) find(ctx context.Context, path string, _ time.Time) (any, signature.Identity, error) {
	raw, err := a.fetcher.Get(ctx, keyfetch.Request{URL: "https://" + adobeKeyHost + path})
	var status *keyfetch.StatusError
	switch {
	case errors.As(err, &status) && (status.Status == 404 || status.Status == 403):
		return nil, a.identity, signature.Refuse(signature.InvalidSignature, "unknown key: Adobe does not publish it")
	case err != nil:
		return nil, a.identity, fmt.Errorf("fetching Adobe's key: %w", err)
	}
	public, err := signature.ParsePublicKey(signature.RSASHA256, string(raw))
	if err != nil {
		return nil, a.identity, fmt.Errorf("parsing Adobe's key: %w", err)
	}
	return public, a.identity, nil
}

func (a *adobeSource) identities() []signature.Identity { return []signature.Identity{a.identity} }

// adobeSignature is one of the two signatures.
type adobeSignature struct {
	sig  []byte
	path string
}

// adobeHeaders are the headers of the two signatures and of their keys.
var adobeHeaders = [][2]string{
	{"X-Adobe-Digital-Signature-1", "X-Adobe-Public-Key1-Path"},
	{"X-Adobe-Digital-Signature-2", "X-Adobe-Public-Key2-Path"},
}

func (a *adobeEvents) CheckHeaders(r *signature.Request) error {
	_, err := a.read(r)
	return err
}

// read returns the signatures in the request. One is enough.
func (a *adobeEvents) read(r *signature.Request) ([]adobeSignature, error) {
	var found []adobeSignature
	for _, names := range adobeHeaders {
		if len(r.Header.Values(names[0])) == 0 {
			continue
		}
		text, err := oneHeader(r, names[0])
		if err != nil {
			return nil, err
		}
		path, err := oneHeader(r, names[1])
		if err != nil {
			return nil, err
		}
		if !adobeKeyPath.MatchString(path) {
			return nil, signature.Refuse(signature.Malformed, "the path of the key is not one of Adobe's")
		}
		sig, err := rsaSignature(text)
		if err != nil {
			return nil, err
		}
		found = append(found, adobeSignature{sig, path})
	}
	if len(found) == 0 {
		return nil, signature.Refuse(signature.MissingSignature, "missing header: %s", adobeHeaders[0][0])
	}
	return found, nil
}

func (a *adobeEvents) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	found, err := a.read(r)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	if _, err := r.Body.WriteTo(h); err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	sum := h.Sum(nil)
	identity, err := a.signedBy(ctx, r, found, sum)
	if err != nil {
		return nil, err
	}
	said, err := adobeMembers.Find(r.Body)
	if err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	if err := a.checkRecipient(said[2], said[3]); err != nil {
		return nil, err
	}
	return &signature.Delivery{
		ID: said[0], IDSigned: true, Event: said[1], EventSigned: true,
		Matches: []signature.Match{{Secret: identity, Digest: sum}},
	}, nil
}

// signedBy tries the signatures. A key that cannot be fetched matters only if no other
// key matches.
func (a *adobeEvents) signedBy(ctx context.Context, r *signature.Request, found []adobeSignature, sum []byte) (signature.Identity, error) {
	failure := signature.Refuse(signature.InvalidSignature, "signature mismatch: no signature by an Adobe key matches the body")
	for _, s := range found {
		key, identity, err := a.source.find(ctx, s.path, r.Now)
		if err != nil {
			if _, refused := errors.AsType[*signature.Refusal](err); !refused {
				failure = err
			}
			continue
		}
		if public, ok := key.(*rsa.PublicKey); ok && rsa.VerifyPKCS1v15(public, crypto.SHA256, sum, s.sig) == nil {
			return identity, nil
		}
	}
	return signature.Identity{}, failure
}

// adobeMembers: in CloudEvents, the name of the recipient has no underscores.
var adobeMembers, _ = signature.NewJSONPaths([]string{"event_id", "event.type", "recipient_client_id", "recipientclientid"})

// checkRecipient compares the client ID in the body, under either name, with the
// audience.
func (a *adobeEvents) checkRecipient(names ...string) error {
	named := false
	for _, name := range names {
		if name == "" {
			continue
		}
		named = true
		if subtle.ConstantTimeCompare([]byte(name), []byte(a.audience)) != 1 {
			return signature.Refuse(signature.InvalidSignature, "the client ID in the body does not match the audience")
		}
	}
	if !named {
		return signature.Refuse(signature.Malformed, "the body contains no client ID")
	}
	return nil
}

func (a *adobeEvents) Coverage() signature.Coverage {
	return signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, BodySigned: true}
}

func (a *adobeEvents) Secrets() []signature.Identity { return a.source.identities() }
