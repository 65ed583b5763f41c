package catalogue

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// ebay verifies eBay's notifications: ECDSA with SHA-1 over the body, with a key
// fetched with the application's credentials.
// https://developer.ebay.com/api-docs/commerce/notification/overview.html
type ebay struct{ source keySource }

func newEbay(m *provider.Module) (provider.Verifier, error) {
	static, err := configuredKeys(m)
	if err != nil {
		return nil, err
	}
	if static != nil {
		return &ebay{static}, nil
	}
	id, secret := m.Resolved().ClientID, m.Resolved().ClientSecret
	if id == "" || secret == "" {
		return nil, errors.New("missing client_id and client_secret to fetch eBay's keys: write both, or the keys as secrets with their IDs as labels")
	}
	host := "api.ebay.com"
	if m.Resolved().Environment == "sandbox" {
		host = "api.sandbox.ebay.com"
	}
	return &ebay{&ebaySource{host: host, clientID: id, secret: secret, fetcher: keyfetch.Shared(host), identity: keyIdentity(m.Name(), id)}}, nil
}

// ebaySource fetches the keys one by one, with an application token.
// https://developer.ebay.com/api-docs/commerce/notification/resources/public_key/methods/getPublicKey
type ebaySource struct {
	host, clientID, secret string
	fetcher                *keyfetch.Fetcher
	identity               signature.Identity
}

var ebayKeyID = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)

// ebayTokenAge is the maximum age of a cached token. Tokens are valid for two hours.
const ebayTokenAge = 90 * time.Minute

func (e *ebaySource) find(ctx context.Context, id string, _ time.Time) (any, signature.Identity, error) {
	if !ebayKeyID.MatchString(id) {
		return nil, e.identity, signature.Refuse(signature.Malformed, "the key ID is not one of eBay's")
	}
	token, err := e.token(ctx)
	if err != nil {
		return nil, e.identity, err
	}
	raw, err := e.fetcher.Get(ctx, keyfetch.Request{
		URL: "https://" + e.host + "/commerce/notification/v1/public_key/" + id, Key: e.clientID + "\x00" + id,
		Header: http.Header{"Authorization": {"Bearer " + token}},
	})
	var status *keyfetch.StatusError
	switch {
	case errors.As(err, &status) && (status.Status == 400 || status.Status == 404):
		return nil, e.identity, signature.Refuse(signature.InvalidSignature, "unknown key: eBay does not publish it")
	case err != nil:
		return nil, e.identity, fmt.Errorf("fetching eBay's key: %w", err)
	}
	public, err := ebayKey(raw)
	if err != nil {
		return nil, e.identity, fmt.Errorf("parsing eBay's key: %w", err)
	}
	return public, e.identity, nil
}

// token fetches the application token.
// https://developer.ebay.com/api-docs/static/oauth-client-credentials-grant.html
func (e *ebaySource) token(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"https://api.ebay.com/oauth/api_scope"}}
	raw, err := e.fetcher.Get(ctx, keyfetch.Request{
		URL: "https://" + e.host + "/identity/v1/oauth2/token", Body: []byte(form.Encode()), Key: "token\x00" + e.clientID, MaxAge: ebayTokenAge, Verified: true,
		Header: http.Header{
			"Content-Type":  {"application/x-www-form-urlencoded"},
			"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(e.clientID+":"+e.secret))},
		},
	})
	if err != nil {
		return "", fmt.Errorf("fetching an eBay token with client_id and client_secret: %w", err)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(raw, &answer) != nil || answer.Token == "" || strings.ContainsAny(answer.Token, "\r\n") {
		return "", errors.New("fetching an eBay token: missing access_token in the response")
	}
	return answer.Token, nil
}

// ebayKey parses a key whose PEM is on one line.
func ebayKey(raw []byte) (any, error) {
	var answer struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, errors.New("it is not JSON")
	}
	text := strings.TrimPrefix(strings.TrimSpace(answer.Key), "-----BEGIN PUBLIC KEY-----")
	return signature.ParsePublicKey(signature.ECDSAP256SHA256, strings.TrimSuffix(text, "-----END PUBLIC KEY-----"))
}

func (e *ebaySource) identities() []signature.Identity { return []signature.Identity{e.identity} }

// maxEbayHeader is the maximum length of the header with key ID and signature, in
// bytes.
const maxEbayHeader = 1 << 10

func (e *ebay) CheckHeaders(r *signature.Request) error {
	_, _, err := e.read(r)
	return err
}

// read returns key ID and signature, from JSON in base64.
func (e *ebay) read(r *signature.Request) (id string, sig []byte, err error) {
	text, err := oneHeader(r, "X-Ebay-Signature")
	if err != nil {
		return "", nil, err
	}
	unreadable := signature.Refuse(signature.Malformed, "invalid header X-EBAY-SIGNATURE")
	if len(text) > maxEbayHeader {
		return "", nil, unreadable
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", nil, unreadable
	}
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		Signature []byte `json:"signature"`
		Digest    string `json:"digest"`
	}
	if json.Unmarshal(raw, &header) != nil || !strings.EqualFold(header.Algorithm, "ecdsa") || header.Digest != "SHA1" || len(header.KeyID) > 128 {
		return "", nil, unreadable
	}
	return header.KeyID, header.Signature, nil
}

func (e *ebay) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	id, sig, err := e.read(r)
	if err != nil {
		return nil, err
	}
	key, identity, err := e.source.find(ctx, id, r.Now)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, not an ECDSA key", key)
	}
	h := sha1.New()
	if _, err := r.Body.WriteTo(h); err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	if !ecdsa.VerifyASN1(public, h.Sum(nil), sig) {
		return nil, signature.Refuse(signature.InvalidSignature, "signature mismatch")
	}
	said, err := ebayMembers.Find(r.Body)
	if err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	digest, err := bodyDigest(r)
	if err != nil {
		return nil, err
	}
	return &signature.Delivery{
		ID: said[0], IDSigned: true, Event: said[1], EventSigned: true,
		Matches: []signature.Match{{Secret: identity, Digest: digest}},
	}, nil
}

var ebayMembers, _ = signature.NewJSONPaths([]string{"notification.notificationId", "metadata.topic"})

func (e *ebay) Coverage() signature.Coverage {
	return signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, BodySigned: true}
}

func (e *ebay) Secrets() []signature.Identity { return e.source.identities() }

// ebayChallenge responds with a hash of the code, the verification token and the URL.
// That token is used for nothing else.
// https://developer.ebay.com/marketplace-account-deletion
var ebayChallenge = &provider.Challenge{
	Possible: getWith("challenge_code"),
	Unarmed: func(m *provider.Module, _ *signature.Request) string {
		if m.Resolved().VerifyToken != "" {
			return ""
		}
		return "eBay checks the URL with challenge_code: write verify_token {env.NAME}, with the verification token as entered at eBay"
	},
	Answer: func(m *provider.Module, r *signature.Request) (*signature.Answer, error) {
		code := single(provider.Query(r), "challenge_code")
		if !provider.Printable(code) {
			return nil, signature.Refuse(signature.Malformed, "the challenge_code is not printable or longer than %d bytes", provider.MaxChallenge)
		}
		endpoint, _, _ := strings.Cut(r.URL(), "?")
		sum := sha256.Sum256([]byte(code + m.Resolved().VerifyToken + endpoint))
		return jsonAnswer(map[string]string{"challengeResponse": hex.EncodeToString(sum[:])})
	},
}
