package catalogue

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// detachedToken creates a JWS of the content without the payload. unencoded means that
// the payload is signed as it is (RFC 7797).
func detachedToken(algorithm jose.SignatureAlgorithm, private crypto.Signer, header map[string]any, content []byte, unencoded bool) (string, error) {
	header["alg"] = algorithm
	raw, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	protected := base64.RawURLEncoding.EncodeToString(raw)
	signed := protected + "." + string(content)
	if !unencoded {
		signed = protected + "." + base64.RawURLEncoding.EncodeToString(content)
	}
	sig, err := signJWS(algorithm, private, []byte(signed))
	return protected + ".." + base64.RawURLEncoding.EncodeToString(sig), err
}

func signJWS(algorithm jose.SignatureAlgorithm, private crypto.Signer, content []byte) ([]byte, error) {
	switch algorithm {
	case jose.EdDSA:
		return private.Sign(rand.Reader, content, crypto.Hash(0))
	case jose.ES512:
		sum := sha512.Sum512(content)
		return halves(private, sum[:], crypto.SHA512, 66)
	default:
		sum := sha256.Sum256(content)
		return private.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
}

// halves signs with ECDSA and returns r and s, each with size bytes.
func halves(private crypto.Signer, sum []byte, hash crypto.Hash, size int) ([]byte, error) {
	der, err := private.Sign(rand.Reader, sum, hash)
	if err != nil {
		return nil, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return nil, err
	}
	return append(pair.R.FillBytes(make([]byte, size)), pair.S.FillBytes(make([]byte, size))...), nil
}

// trustPEM returns the public key in PEM as a secret, for any kind of key.
func trustPEM(_ *provider.Module, key signature.SigningKey) (provider.Trust, error) {
	text, err := publicKeyText(key.Private.Public())
	return provider.Trust{Secret: text}, err
}

// trustKeySet returns a key set that contains only the public key.
func trustKeySet(_ *provider.Module, key signature.SigningKey) (provider.Trust, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Private.Public(), KeyID: key.Secret.Label(), Use: "sig"}}}
	text, err := json.Marshal(set)
	return provider.Trust{JWKS: strings.ReplaceAll(string(text), "{", `\{`)}, err
}

func newP521() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) }

// adobeKeyPathOf generates the path of a key.
func adobeKeyPathOf() string {
	var raw [16]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	return fmt.Sprintf("/prod/keys/pub-key-%x.pem", raw)
}

// signAdobeEvents signs twice, as Adobe does, for the client ID in audience.
func signAdobeEvents(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	err := placeAll(r, placement{inJSON("event_id"), d.ID}, placement{inJSON("event.type"), d.Event}, placement{inJSON("recipient_client_id"), m.Resolved().Audience})
	if err != nil {
		return err
	}
	digest, err := bodyDigest(r)
	if err != nil {
		return err
	}
	sig, err := key.Private.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		return err
	}
	for _, n := range []string{"1", "2"} {
		r.Header.Set("X-Adobe-Digital-Signature-"+n, base64.StdEncoding.EncodeToString(sig))
		r.Header.Set("X-Adobe-Public-Key"+n+"-Path", key.Secret.Label())
	}
	return nil
}

// signEbay writes signature and key ID into one header.
func signEbay(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	err := placeAll(r, placement{inJSON("notification.notificationId"), d.ID}, placement{inJSON("metadata.topic"), d.Event})
	if err != nil {
		return err
	}
	h := sha1.New()
	if _, err := r.Body.WriteTo(h); err != nil {
		return err
	}
	sig, err := key.Private.Sign(rand.Reader, h.Sum(nil), crypto.SHA1)
	if err != nil {
		return err
	}
	header, err := json.Marshal(map[string]string{
		"alg": "ecdsa", "kid": key.Secret.Label(), "signature": base64.StdEncoding.EncodeToString(sig), "digest": "SHA1",
	})
	r.Header.Set("X-Ebay-Signature", base64.StdEncoding.EncodeToString(header))
	return err
}

// signFusionAuth signs the digest of the body with a secret or a private key.
func signFusionAuth(algorithm jose.SignatureAlgorithm) func(*provider.Module, *signature.Request, signature.SigningKey, signature.Draft) error {
	return func(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
		if err := placeAll(r, placement{inJSON("event.id"), d.ID}, placement{inJSON("event.type"), d.Event}); err != nil {
			return err
		}
		digest, err := bodyDigest(r)
		if err != nil {
			return err
		}
		return bearer(r, "X-FusionAuth-Signature-JWT", "", algorithm, key, map[string]any{"request_body_sha256": base64.StdEncoding.EncodeToString(digest)})
	}
}

// signLiveKit signs the digest of the body for the API key in issuer.
func signLiveKit(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inJSON("id"), d.ID}, placement{inJSON("event"), d.Event}); err != nil {
		return err
	}
	digest, err := bodyDigest(r)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/webhook+json")
	return bearer(r, "Authorization", "", jose.HS256, key, map[string]any{
		"iss": m.Resolved().Issuers[0], "nbf": d.Time.Unix(), "exp": d.Time.Add(5 * time.Minute).Unix(), "sha256": base64.StdEncoding.EncodeToString(digest),
	})
}

// signNetlify signs the digest of the body.
func signNetlify(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inHeader("X-Netlify-Event"), d.Event}); err != nil {
		return err
	}
	digest, err := bodyDigest(r)
	if err != nil {
		return err
	}
	return bearer(r, "X-Webhook-Signature", "", jose.HS256, key, map[string]any{"iss": "netlify", "sha256": hex.EncodeToString(digest)})
}

// signKinde replaces the body with a token that contains it.
func signKinde(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inJSON("event_id"), d.ID}, placement{inJSON("type"), d.Event}); err != nil {
		return err
	}
	jws, err := signPayload(jose.RS256, key, r.Body.Bytes())
	if err != nil {
		return err
	}
	token, err := jws.CompactSerialize()
	r.Body = signature.BytesBody(token)
	r.Header.Set("Content-Type", "application/jwt")
	return err
}

// signWix replaces the body with a token that contains it as a string.
func signWix(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inJSON("id"), d.ID}); err != nil {
		return err
	}
	found, err := wixMembers.Find(r.Body)
	if err != nil {
		return err
	}
	eventType := d.Event
	if eventType == "" {
		eventType = found[0]
	}
	event, err := json.Marshal(map[string]string{"eventType": eventType, "instanceId": "b3671fdd-a5ca-4a1b-9d2c-3c51d6d6a7ab", "data": string(r.Body.Bytes())})
	if err != nil {
		return err
	}
	token, err := signToken(jose.RS256, key, map[string]any{"data": string(event), "iat": d.Time.Unix(), "exp": d.Time.Add(time.Hour).Unix()})
	r.Body = signature.BytesBody(token)
	r.Header.Set("Content-Type", "text/plain")
	return err
}

var wixMembers, _ = signature.NewJSONPaths([]string{"entityFqdn"})

// signNeon signs the time and the body, which is base64url-encoded twice.
func signNeon(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inJSON("event_id"), d.ID}, placement{inJSON("event_type"), d.Event}); err != nil {
		return err
	}
	at := strconv.FormatInt(d.Time.UnixMilli(), 10)
	content := at + "." + base64.RawURLEncoding.EncodeToString(r.Body.Bytes())
	token, err := detachedToken(jose.EdDSA, key.Private, map[string]any{"kid": key.Secret.Label()}, []byte(content), false)
	r.Header.Set("X-Neon-Timestamp", at)
	r.Header.Set("X-Neon-Signature", token)
	return err
}

// signSaleor signs the unencoded body.
func signSaleor(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inHeader("Saleor-Event"), d.Event}); err != nil {
		return err
	}
	header := map[string]any{"kid": key.Secret.Label(), "typ": "JWT", "b64": false, "crit": []string{"b64"}}
	token, err := detachedToken(jose.RS256, key.Private, header, r.Body.Bytes(), true)
	r.Header.Set("Saleor-Signature", token)
	return err
}

// signTrueLayer signs method, path, the listed time header, and the body.
func signTrueLayer(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inJSON("event_id"), d.ID}, placement{inJSON("type"), d.Event}); err != nil {
		return err
	}
	const list = "X-Tl-Webhook-Timestamp"
	at := d.Time.UTC().Format(time.RFC3339)
	r.Header.Set(list, at)
	address, _, _ := strings.Cut(r.URL(), "?")
	_, rest, _ := strings.Cut(address, "://")
	_, path, _ := strings.Cut(rest, "/")
	content := r.Method + " /" + path + "\n" + list + ": " + at + "\n" + string(r.Body.Bytes())
	header := map[string]any{"kid": key.Secret.Label(), "tl_version": "2", "tl_headers": list, "jku": "https://webhooks.truelayer.com/.well-known/jwks"}
	token, err := detachedToken(jose.ES512, key.Private, header, []byte(content), false)
	r.Header.Set("Tl-Signature", token)
	return err
}
