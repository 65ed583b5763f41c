package catalogue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// signToken creates a JSON Web Token as providers do. Its header contains the key ID
// if the key is private and has a label.
func signToken(algorithm jose.SignatureAlgorithm, key signature.SigningKey, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	jws, err := signPayload(algorithm, key, payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

func signPayload(algorithm jose.SignatureAlgorithm, key signature.SigningKey, payload []byte) (*jose.JSONWebSignature, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	with := jose.SigningKey{Algorithm: algorithm, Key: key.Private}
	if key.Private == nil {
		with.Key = padded(key.Secret.Reveal())
	} else {
		options.WithHeader("kid", key.Secret.Label())
	}
	signer, err := jose.NewSigner(with, options)
	if err != nil {
		return nil, err
	}
	return signer.Sign(payload)
}

// bearer signs claims and writes the token, after a prefix, into a header.
func bearer(r *signature.Request, header, prefix string, algorithm jose.SignatureAlgorithm, key signature.SigningKey, claims map[string]any) error {
	token, err := signToken(algorithm, key, claims)
	if err != nil {
		return err
	}
	r.Header.Set(header, prefix+token)
	return nil
}

// idOrDerived returns the ID of a draft, or one derived from its time and body.
func idOrDerived(r *signature.Request, d signature.Draft) (string, error) {
	if d.ID != "" {
		return d.ID, nil
	}
	digest, err := bodyDigest(r)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(digest, d.Time.String()...))
	return hex.EncodeToString(sum[:16]), nil
}

// exampleClientKey is the client key of a fictitious installation.
const exampleClientKey = "example-client-key"

// signAtlassian signs method, path and query like an installation.
func signAtlassian(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	err := placeAll(r, placement{inHeader("X-Atlassian-Webhook-Identifier"), d.ID}, placement{inJSON("webhookEvent"), d.Event})
	if err != nil {
		return err
	}
	return signAtlassianRequest(m, r, jose.HS256, key, d, map[string]any{"iss": m.Resolved().Issuers[0]})
}

// signAtlassianInstall signs a lifecycle callback with a separate key.
func signAtlassianInstall(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inJSON("eventType"), d.Event}); err != nil {
		return err
	}
	installation, err := atlassianClientKey.Find(r.Body)
	if err != nil {
		return err
	}
	return signAtlassianRequest(m, r, jose.RS256, key, d, map[string]any{"iss": installation[0], "aud": m.Resolved().Audience})
}

var atlassianClientKey, _ = signature.NewJSONPaths([]string{"clientKey"})

func signAtlassianRequest(m *provider.Module, r *signature.Request, algorithm jose.SignatureAlgorithm, key signature.SigningKey, d signature.Draft, claims map[string]any) error {
	canonical, err := queryString(m, r)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(canonical))
	claims["iat"], claims["exp"] = d.Time.Unix(), d.Time.Add(3*time.Minute).Unix()
	claims["qsh"] = hex.EncodeToString(sum[:])
	return bearer(r, "Authorization", "JWT ", algorithm, key, claims)
}

// signFireblocks creates a JWS of the body without the payload.
func signFireblocks(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inJSON("id"), d.ID}, placement{inJSON("eventType"), d.Event}); err != nil {
		return err
	}
	body, err := signature.BodyBytes(r.Body)
	if err != nil {
		return err
	}
	jws, err := signPayload(jose.RS512, key, body)
	if err != nil {
		return err
	}
	token, err := jws.DetachedCompactSerialize()
	r.Header.Set("Fireblocks-Webhook-Signature", token)
	return err
}

var googleSigning = &provider.Signing{
	Algorithm: signature.RSASHA256, KeyID: true, Sign: signGoogle, ID: new(inJSON("message.messageId")),
	Example: provider.PresetOptions{Audience: "https://hooks.example.com/pubsub", ServiceAccount: "push@example-project.iam.gserviceaccount.com"},
}

// signGoogle creates a token for the service account of a push subscription.
func signGoogle(m *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if d.ID != "" {
		err := placeAll(r, placement{inJSON("message.messageId"), d.ID}, placement{inJSON("message.message_id"), d.ID})
		if err != nil {
			return err
		}
	}
	issuer := googleIssuers[0]
	if issuers := m.Resolved().Issuers; len(issuers) > 0 {
		issuer = issuers[0]
	}
	return bearer(r, "Authorization", "Bearer ", jose.RS256, key, map[string]any{
		"iss": issuer, "aud": m.Resolved().Audience, "azp": "113774264463038321964", "sub": "113774264463038321964",
		"email": m.Resolved().ServiceAccount, "email_verified": true,
		"iat": d.Time.Unix(), "exp": d.Time.Add(time.Hour).Unix(),
	})
}

// signMessageBird signs the digests of URL and body.
func signMessageBird(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	id, err := idOrDerived(r, d)
	if err != nil {
		return err
	}
	address := sha256.Sum256([]byte(r.URL()))
	claims := map[string]any{
		"iss": "MessageBird", "nbf": d.Time.Unix(), "exp": d.Time.Add(time.Minute).Unix(), "jti": id,
		"url_hash": hex.EncodeToString(address[:]),
	}
	if r.Body.Size() > 0 {
		digest, err := bodyDigest(r)
		if err != nil {
			return err
		}
		claims["payload_hash"] = hex.EncodeToString(digest)
	}
	return bearer(r, "MessageBird-Signature-JWT", "", jose.HS256, key, claims)
}

// signMonday creates a token for the URL.
func signMonday(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	if err := placeAll(r, placement{inJSON("event.triggerUuid"), d.ID}, placement{inJSON("event.type"), d.Event}); err != nil {
		return err
	}
	return bearer(r, "Authorization", "", jose.HS256, key, map[string]any{
		"accountId": 1825528, "userId": 4012689, "aud": r.URL(), "iat": d.Time.Unix(), "exp": d.Time.Add(5 * time.Minute).Unix(),
	})
}

// signPlaid signs the digest of the body.
func signPlaid(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	digest, err := bodyDigest(r)
	if err != nil {
		return err
	}
	return bearer(r, "Plaid-Verification", "", jose.ES256, key, map[string]any{
		"iat": d.Time.Unix(), "request_body_sha256": hex.EncodeToString(digest),
	})
}

// signVonage signs the digest of the body.
func signVonage(_ *provider.Module, r *signature.Request, key signature.SigningKey, d signature.Draft) error {
	id, err := idOrDerived(r, d)
	if err != nil {
		return err
	}
	digest, err := bodyDigest(r)
	if err != nil {
		return err
	}
	return bearer(r, "Authorization", "Bearer ", jose.HS256, key, map[string]any{
		"iat": d.Time.Unix(), "jti": id, "iss": "Vonage", "payload_hash": hex.EncodeToString(digest),
		"api_key": "a1b2c3d", "application_id": strings.Repeat("a", 8) + "-bbbb-4ccc-8ddd-" + strings.Repeat("e", 12),
	})
}
