package catalogue

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// tokensJWT are the providers that sign with a JSON Web Token.
var tokensJWT = []provider.Preset{
	// A retry has a new token. With excludeBody, all deliveries to a URL have equal
	// bodies, and the token's time is in seconds.
	{
		Name: "atlassian-connect", Title: "Atlassian Connect", OtherID: "X-Atlassian-Webhook-Identifier", Distinction: repeats,
		Code: byToken(tokenRules{
			header: "Authorization", prefix: "JWT ", algorithms: hs256, check: checkAtlassian, digest: atlassianDigest, event: "webhookEvent",
			coverage: signature.Coverage{HasID: true, HasEvent: true, HasTimestamp: true, TimestampSigned: true, URLSigned: true, Lifetime: tokenLifetime},
		}),
		Needs: []string{"issuer"}, Signs: "method, path and query, not the body",
		Docs: "https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/", SecretHelp: "sharedSecret in the installed callback; `issuer` is its clientKey, and `public_url` the app's baseUrl",
		Weakness: "the body is not signed: anyone who sees a delivery can send another body to the same URL within 3 minutes",
	},
	// Only the token contains the time of the installation.
	{
		Name: "atlassian-connect-install", Title: "Atlassian Connect lifecycle callbacks", Distinction: unique,
		Code: byToken(tokenRules{
			header: "Authorization", prefix: "JWT ", algorithms: []jose.SignatureAlgorithm{jose.RS256}, keys: atlassianKeys, check: checkAtlassianInstall, event: "eventType",
			coverage: signature.Coverage{HasEvent: true, HasTimestamp: true, TimestampSigned: true, URLSigned: true, Lifetime: tokenLifetime},
		}),
		NoSecret: true, Needs: []string{"audience"}, Signs: "method, path and query, not the body",
		Docs: "https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/", SecretHelp: "none: keys are fetched from Atlassian; `audience` and `public_url` are the app's baseUrl",
		Weakness: "the body, which contains the shared secret of the installation, is not signed: anyone who sees a callback can send another body to the same URL within 3 minutes",
	},
	{
		Name: "fireblocks-jws", Title: "Fireblocks", Distinction: unique,
		Code: byToken(tokenRules{
			header: "Fireblocks-Webhook-Signature", algorithms: []jose.SignatureAlgorithm{jose.RS512}, detached: detachedBody, keys: fireblocksKeys, id: "id", event: "eventType",
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, BodySigned: true},
		}),
		NoSecret: true, Takes: []string{"jwks", "environment"}, Environments: []string{"production", "eu", "eu2", "sandbox"}, Signs: "the body",
		IDHelp: "`json id`", IDSigned: true, Docs: "https://developers.fireblocks.com/reference/validating-webhooks", SecretHelp: "none: keys are fetched from Fireblocks for the configured `environment`",
		Weakness: "Fireblocks signs with the same keys for all customers: check that the workspace in the body is yours",
	},
	// For RSA, EC and Ed25519 keys, see fusionauth-jwks.
	{
		Name: "fusionauth", Title: "FusionAuth", Distinction: unique,
		Code: byToken(tokenRules{
			header: fusionAuthHeader, algorithms: []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}, check: checkFusionAuth, id: "event.id", event: "event.type",
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, BodySigned: true},
		}),
		Signs: "the body, by its SHA-256", IDHelp: "`json event.id`", IDSigned: true,
		Docs: "https://fusionauth.io/docs/extend/events-and-webhooks/signing", SecretHelp: "HMAC key that signs the webhook, under Settings > Key Master (signing is off by default)",
	},
	{
		Name: "fusionauth-jwks", Title: "FusionAuth with a key pair", Distinction: unique,
		Code: byToken(tokenRules{
			header: fusionAuthHeader, algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA},
			keys: issuerKeys("/.well-known/jwks.json"), check: checkFusionAuth, id: "event.id", event: "event.type",
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, BodySigned: true},
		}),
		NoSecret: true, Takes: []string{"issuer", "jwks"}, Signs: "the body, by its SHA-256", IDHelp: "`json event.id`", IDSigned: true,
		Docs: "https://fusionauth.io/docs/extend/events-and-webhooks/signing", SecretHelp: "none: keys are fetched from your FusionAuth; `issuer` is its https URL",
	},
	{
		Name: "google-play-rtdn", Title: "Google Play real-time developer notifications", Distinction: unique,
		Code: google("google-play-rtdn"), NoSecret: true, Needs: []string{"audience", "service_account"}, Takes: []string{"issuer", "jwks"}, Signs: googleSigns,
		IDHelp: "`json message.messageId`", OtherID: "x-goog-pubsub-message-id", Docs: "https://developer.android.com/google/play/billing/rtdn-reference", SecretHelp: googleSecret, Weakness: googleWeakness,
	},
	// With payload unwrapping, the body is only the message, and can repeat: Cloud
	// Scheduler sends `tick` every hour.
	{
		Name: "google-pubsub", Title: "Google Cloud Pub/Sub push", Distinction: repeats,
		Code: google("google-pubsub"), NoSecret: true, Needs: []string{"audience", "service_account"}, Takes: []string{"issuer", "jwks"}, Signs: googleSigns,
		IDHelp: "`json message.messageId`", OtherID: "x-goog-pubsub-message-id", Docs: "https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions", SecretHelp: googleSecret, Weakness: googleWeakness,
	},
	// The body is a token. Two endpoints receive an event with the same event_id.
	{
		Name: "kinde", Title: "Kinde", Distinction: unique,
		Code: byToken(tokenRules{
			algorithms: []jose.SignatureAlgorithm{jose.RS256}, keys: issuerKeys("/.well-known/jwks"), check: checkKinde,
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, BodySigned: true},
		}),
		NoSecret: true, Takes: []string{"issuer", "jwks"}, Signs: "the token that is the body", IDHelp: "`event_id` of the token", IDSigned: true,
		Docs: "https://docs.kinde.com/integrate/webhooks/about-webhooks/", SecretHelp: "none: keys are fetched from Kinde; `issuer` is the https URL of your Kinde domain",
	},
	// Retries are sent within minutes, with the same token.
	{
		Name: "livekit", Title: "LiveKit", Distinction: unique,
		Code: byToken(tokenRules{
			header: "Authorization", algorithms: hs256, check: checkLiveKit, id: "id", event: "event",
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, HasTimestamp: true, TimestampSigned: true, BodySigned: true, Lifetime: tokenLifetime + liveKitLeeway},
		}),
		Window: 2 * day, Needs: []string{"issuer"}, Signs: "the body, by its SHA-256", IDHelp: "`json id`", IDSigned: true,
		Docs: "https://docs.livekit.io/home/server/webhooks/", SecretHelp: "API secret; `issuer` is its API key",
	},
	{
		Name: "messagebird", Title: "MessageBird (classic)", Distinction: unique,
		Code: byToken(tokenRules{
			header: "MessageBird-Signature-JWT", algorithms: []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}, check: checkMessageBird,
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasTimestamp: true, TimestampSigned: true, BodySigned: true, URLSigned: true, Lifetime: tokenLifetime + messageBirdLeeway},
		}),
		Window: 2 * day, Signs: "URL and body, by their SHA-256",
		IDHelp: "`jti` of the token", IDSigned: true, Docs: "https://developers.messagebird.com/api/#verifying-http-requests", SecretHelp: "Signing key, under Developers > API settings",
	},
	{
		Name: "monday", Title: "monday.com", Distinction: unique,
		Code: byToken(tokenRules{
			header: "Authorization", algorithms: hs256, check: checkMonday, digest: bodyContent, id: "event.triggerUuid", event: "event.type",
			coverage: signature.Coverage{HasID: true, HasEvent: true, HasTimestamp: true, TimestampSigned: true, Lifetime: tokenLifetime},
		}),
		Window: 2 * day, Signs: "a token that contains the URL, not the body", Challenge: mondayChallenge, Handshakes: "the unsigned `challenge` when a webhook is created",
		IDHelp: "`json event.triggerUuid`", Docs: "https://developer.monday.com/api-reference/docs/webhooks", SecretHelp: "Signing Secret of the app; set `public_url`, so that tokens for other URLs are refused",
		Weakness: "the body is not signed: anyone who sees a delivery can send another body within 5 minutes",
	},
	// The token contains only the hash of the body. The body has the deploy and the
	// time of its last change.
	{
		Name: "netlify", Title: "Netlify", Distinction: unique.Varying("X-Netlify-Event"),
		Code: byToken(tokenRules{
			header: "X-Webhook-Signature", algorithms: hs256, check: checkNetlify, digest: bodyContent, eventHeader: "X-Netlify-Event",
			coverage: signature.Coverage{HasEvent: true, BodySigned: true},
		}),
		Signs: "the body, by its SHA-256",
		Docs:  "https://docs.netlify.com/deploy/deploy-notifications/", SecretHelp: "JWS secret token of the notification, as entered",
	},
	// Neon waits for the response of blocking events, and retries within 15 seconds.
	{
		Name: "neon", Title: "Neon Auth", Distinction: unique,
		Code: byToken(tokenRules{
			header: "X-Neon-Signature", algorithms: []jose.SignatureAlgorithm{jose.EdDSA}, detached: &detachedRules{bodyEncoded: true, before: neonBefore},
			keys: issuerKeys("/.well-known/jwks.json"), checkTime: checkNeonTime, id: "event_id", event: "event_type",
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, HasTimestamp: true, TimestampSigned: true, BodySigned: true, Tolerance: 5 * time.Minute},
		}),
		NoSecret: true, Takes: []string{"issuer", "jwks"}, Signs: "time and body", IDHelp: "`json event_id`", IDSigned: true,
		Docs: "https://neon.com/docs/auth/guides/webhooks", SecretHelp: "none: keys are fetched from Neon; `issuer` is the Auth URL of the branch",
	},
	{
		Name: "plaid", Title: "Plaid", Distinction: unique,
		Code: byToken(tokenRules{
			header: "Plaid-Verification", algorithms: []jose.SignatureAlgorithm{jose.ES256}, keys: plaidKeys, check: checkPlaid,
			coverage: signature.Coverage{HasTimestamp: true, TimestampSigned: true, BodySigned: true, Tolerance: plaidTolerance},
		}),
		NoSecret: true, Takes: []string{"jwks", "client_id", "client_secret", "environment"}, Signs: "the body, by its SHA-256",
		Docs: "https://plaid.com/docs/api/webhooks/webhook-verification/", SecretHelp: "none: keys are fetched from Plaid with `client_id` and `client_secret`",
	},
	// The app chooses the contents of the body, which may have neither an ID nor a
	// time and can repeat. Saleor waits for the response of synchronous events.
	{
		Name: "saleor", Title: "Saleor", Distinction: repeats.Varying("Saleor-Event"),
		Code: byToken(tokenRules{
			header: "Saleor-Signature", algorithms: []jose.SignatureAlgorithm{jose.RS256}, detached: &detachedRules{unencoded: true}, keys: issuerKeys("/.well-known/jwks.json"), eventHeader: "Saleor-Event",
			coverage: signature.Coverage{HasEvent: true, BodySigned: true},
		}),
		NoSecret: true, Takes: []string{"issuer", "jwks"}, Signs: "the body",
		Docs: "https://docs.saleor.io/developer/extending/webhooks/payload-signature", SecretHelp: "none: keys are fetched from the shop; `issuer` is its https URL",
	},
	{
		Name: "truelayer", Title: "TrueLayer", Distinction: unique,
		Code: byToken(tokenRules{
			header: "Tl-Signature", algorithms: []jose.SignatureAlgorithm{jose.ES512}, detached: &detachedRules{before: trueLayerBefore}, id: "event_id", event: "type",
			keys: func(m *provider.Module) (keySource, error) {
				return configuredOr(m, func() keySource { return trueLayerSource(m) })
			},
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, BodySigned: true, URLSigned: true},
		}),
		NoSecret: true, Takes: []string{"jwks", "environment"}, Signs: "method, path, the headers that the signature lists, and the body", IDHelp: "`json event_id`", IDSigned: true,
		Docs: "https://docs.truelayer.com/docs/verify-webhook-signatures", SecretHelp: "none: keys are fetched from TrueLayer; set `public_url` if a proxy changes the path, even by a slash at its end",
		Weakness: "TrueLayer signs with the same keys for all customers: check that the payment in the body is yours",
	},
	{
		Name: "vonage", Title: "Vonage", Distinction: unique,
		Code: byToken(tokenRules{
			header: "Authorization", prefix: "Bearer ", algorithms: hs256, check: checkVonage,
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasTimestamp: true, TimestampSigned: true, BodySigned: true, Tolerance: vonageTolerance},
		}),
		Signs:  "the body, by its SHA-256",
		IDHelp: "`jti` of the token", IDSigned: true, Docs: "https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks", SecretHelp: "Signature secret of the account",
	},
	// The body is a token that contains JSON in strings. Installation events have no
	// ID, but their token contains the time of issue.
	{
		Name: "wix", Title: "Wix", Distinction: unique,
		Code: byToken(tokenRules{
			algorithms: []jose.SignatureAlgorithm{jose.RS256}, public: true, check: checkWix,
			coverage: signature.Coverage{HasID: true, IDSigned: true, HasEvent: true, EventSigned: true, HasTimestamp: true, BodySigned: true},
		}),
		PublicKeys: true, Signs: "the token that is the body", IDHelp: "`id` in `data` of the event", IDSigned: true,
		Docs: "https://dev.wix.com/docs/rest/articles/getting-started/webhooks", SecretHelp: "Public Key of the app, under Webhooks",
	},
}

const (
	plaidTolerance  = 5 * time.Minute
	googleTolerance = 5 * time.Minute // accepted after the expiry of a token
	vonageTolerance = 5 * time.Minute
)

const fusionAuthHeader = "X-FusionAuth-Signature-JWT"

var hs256 = []jose.SignatureAlgorithm{jose.HS256}

// tokenLifetime is the maximum time until a token expires: the limit of Google's
// library, and longer than any provider's. A copy of a delivery is accepted until
// its token expires.
const tokenLifetime = 24 * time.Hour

const (
	googleSigns    = "a token that contains the audience, not the body"
	googleSecret   = "none: keys are fetched from Google; `audience` and `service_account` are those of the push subscription"
	googleWeakness = "the body is not signed: anyone who sees a delivery can send any other while its token is valid (an hour)"
)

// checkPlaid: https://plaid.com/docs/api/webhooks/webhook-verification/
func checkPlaid(_ *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	if err := c.checkAge(r.Now, d); err != nil {
		return err
	}
	return c.checkBody("request_body_sha256", r)
}

// checkVonage: https://developer.vonage.com/en/getting-started/concepts/webhooks
func checkVonage(_ *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	if err := c.checkAge(r.Now, d); err != nil {
		return err
	}
	if c.has("exp") {
		if err := c.checkValidity(r.Now, 0); err != nil {
			return err
		}
	}
	d.ID = c.text("jti")
	return c.checkBody("payload_hash", r)
}

// messageBirdLeeway is the leeway in MessageBird's own Go library.
const messageBirdLeeway = time.Second

// checkMessageBird: https://developers.messagebird.com/api/#verifying-http-requests
func checkMessageBird(_ *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	if c.text("iss") != "MessageBird" {
		return signature.Refuse(signature.InvalidSignature, "the token is not issued by MessageBird")
	}
	if err := c.checkLifetime(r.Now, messageBirdLeeway); err != nil {
		return err
	}
	from, ok := c.time("nbf")
	if !ok {
		return signature.Refuse(signature.Malformed, "missing nbf in the token")
	}
	d.Timestamp = from
	if d.ID = c.text("jti"); d.ID == "" {
		return signature.Refuse(signature.Malformed, "missing jti in the token")
	}
	address := sha256.Sum256([]byte(r.URL()))
	if err := c.checkHex("url_hash", address[:], "URL"); err != nil {
		return err
	}
	hashed := c.has("payload_hash")
	switch {
	case r.Body.Size() == 0 && hashed:
		return signature.Refuse(signature.InvalidSignature, "the token is for a request with a body")
	case r.Body.Size() == 0:
		return nil
	}
	return c.checkBody("payload_hash", r)
}

// checkMonday: https://developer.monday.com/apps/docs/authorization-header
func checkMonday(m *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	if err := c.checkLifetime(r.Now, 0); err != nil {
		return err
	}
	if aud := c.text("aud"); m.PublicURL != "" && aud != m.PublicURL && aud != r.URL() {
		return signature.Refuse(signature.InvalidSignature, "the token is for another URL")
	}
	d.Timestamp, _ = c.time("iat")
	return nil
}

// mondayMember is the only member of a challenge.
const mondayMember = "challenge"

// mondayChallenge echoes the challenge as JSON.
// https://developer.monday.com/api-reference/docs/webhooks
var mondayChallenge = &provider.Challenge{
	ReadsBody: true,
	Possible: func(_ *provider.Module, r *signature.Request) bool {
		return r.Method == http.MethodPost && provider.MayBeSmall(r) && len(r.Header.Values("Authorization")) == 0
	},
	Answer: func(_ *provider.Module, r *signature.Request) (*signature.Answer, error) {
		if r.Body.Size() > 2*provider.MaxChallenge {
			return nil, nil
		}
		body, err := signature.BodyBytes(r.Body)
		if err != nil {
			return nil, err
		}
		var members map[string]string
		if json.Unmarshal(body, &members) != nil || len(members) != 1 || !provider.Echoable(members[mondayMember]) {
			return nil, nil // refused as an unsigned delivery
		}
		return jsonAnswer(map[string]string{mondayMember: members[mondayMember]})
	},
}

// checkAtlassian: the token is for method, path and query.
// https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/
func checkAtlassian(m *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	if !slices.Contains(m.Resolved().Issuers, c.text("iss")) {
		return signature.Refuse(signature.InvalidSignature, "the token is for another installation")
	}
	return checkAtlassianRequest(m, r, c, d)
}

// atlassianDigest returns the digest of method, path, query and body.
func atlassianDigest(m *provider.Module, r *signature.Request, _ []byte) ([]byte, error) {
	canonical, err := queryString(m, r)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, uint64(len(canonical)))
	h.Write([]byte(canonical))
	if _, err := r.Body.WriteTo(h); err != nil {
		return nil, fmt.Errorf("rereading body: %w", err)
	}
	return h.Sum(nil), nil
}

// checkAtlassianRequest compares the token with the request.
func checkAtlassianRequest(m *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	if err := c.checkLifetime(r.Now, 0); err != nil {
		return err
	}
	d.Timestamp, _ = c.time("iat")
	canonical, err := queryString(m, r)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(canonical))
	return c.checkHex("qsh", sum[:], "request")
}

// checkAtlassianInstall: the token of a lifecycle callback is for the app, and is
// signed with Atlassian's own key.
func checkAtlassianInstall(m *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	if c.text("aud") != m.Resolved().Audience {
		return signature.Refuse(signature.InvalidSignature, "the token is for another app")
	}
	return checkAtlassianRequest(m, r, c, d)
}

// maxSignedURI is the maximum length of path and query, in bytes.
const maxSignedURI = 16 << 10

// queryString returns the canonical request: method, path below the app's base
// URL, and sorted query.
func queryString(m *provider.Module, r *signature.Request) (string, error) {
	if len(r.RequestURI) > maxSignedURI {
		return "", signature.Refuse(signature.Malformed, "path and query are longer than %d bytes", maxSignedURI)
	}
	path, raw, _ := strings.Cut(r.RequestURI, "?")
	if base, err := url.Parse(m.PublicURL); err == nil && m.PublicURL != "" {
		path = strings.TrimPrefix(path, strings.TrimSuffix(base.EscapedPath(), "/"))
	}
	path = strings.ReplaceAll("/"+strings.Trim(path, "/"), "&", "%26")
	params, err := signature.ParseQuery(raw)
	if err != nil {
		return "", signature.Refuse(signature.Malformed, "the query string cannot be parsed")
	}
	var parts []string
	for name, values := range params {
		if name == "jwt" {
			continue
		}
		encoded := make([]string, len(values))
		for i, value := range values {
			encoded[i] = encodeRFC3986(value)
		}
		slices.Sort(encoded)
		parts = append(parts, encodeRFC3986(name)+"="+strings.Join(encoded, ","))
	}
	slices.Sort(parts)
	return strings.ToUpper(r.Method) + "&" + path + "&" + strings.Join(parts, "&"), nil
}

func encodeRFC3986(text string) string {
	return escapeBut(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
}

// google returns the verifier of a push subscription. Any Google account can get a
// token for any audience, so the service account must match.
// https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions
func google(name string) func(*provider.Module) (provider.Verifier, error) {
	return byToken(tokenRules{
		header: "Authorization", prefix: "Bearer ", algorithms: []jose.SignatureAlgorithm{jose.RS256}, check: checkGoogle, digest: pubSubDigest, id: "message.messageId",
		keys: func(m *provider.Module) (keySource, error) {
			return configuredOr(m, func() keySource {
				return published(name, m.Resolved().Audience+"\x00"+m.Resolved().ServiceAccount, "https://www.googleapis.com/oauth2/v3/certs", "www.googleapis.com", parseKeySet)
			})
		},
		coverage: signature.Coverage{HasID: true, HasTimestamp: true, TimestampSigned: true, Tolerance: googleTolerance, Lifetime: tokenLifetime},
	})
}

// deliveryAttempt increases with each redelivery of a subscription with a dead
// letter topic.
const deliveryAttempt = "deliveryAttempt"

// pubSubDigest returns the digest of the body without deliveryAttempt.
// https://docs.cloud.google.com/pubsub/docs/handling-failures
func pubSubDigest(_ *provider.Module, r *signature.Request, _ []byte) ([]byte, error) {
	body, err := signature.BodyBytes(r.Body)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(body, []byte(deliveryAttempt)) {
		return bodyDigest(r)
	}
	var envelope map[string]json.RawMessage
	if json.Unmarshal(body, &envelope) != nil || len(envelope["message"]) == 0 {
		return bodyDigest(r)
	}
	delete(envelope, deliveryAttempt)
	rest, err := json.Marshal(envelope)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(rest)
	return sum[:], nil
}

var googleIssuers = []string{"https://accounts.google.com", "accounts.google.com"}

func checkGoogle(m *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	issuers := m.Resolved().Issuers
	if len(issuers) == 0 {
		issuers = googleIssuers
	}
	switch {
	case !slices.Contains(issuers, c.text("iss")):
		return signature.Refuse(signature.InvalidSignature, "the token is not issued by Google")
	case c.text("aud") != m.Resolved().Audience:
		return signature.Refuse(signature.InvalidSignature, "the token is for another audience")
	case c.text("email") != m.Resolved().ServiceAccount || !c.isTrue("email_verified"):
		return signature.Refuse(signature.InvalidSignature, "the token is for another service account")
	}
	if err := c.checkLifetime(r.Now, c.tolerance); err != nil {
		return err
	}
	issued, ok := c.time("iat")
	if !ok {
		return signature.Refuse(signature.Malformed, "missing iat in the token")
	}
	d.Timestamp = issued
	return nil
}

// fireblocksHosts are the key hosts of the environments.
// https://developers.fireblocks.com/reference/validating-webhooks
var fireblocksHosts = map[string]string{
	"": "keys.fireblocks.io", "production": "keys.fireblocks.io", "eu": "eu-keys.fireblocks.io", "eu2": "eu2-keys.fireblocks.io", "sandbox": "sandbox-keys.fireblocks.io",
}

func fireblocksKeys(m *provider.Module) (keySource, error) {
	return configuredOr(m, func() keySource {
		environment := m.Resolved().Environment
		if environment == "production" {
			environment = "" // the default: its keys have no scope
		}
		host := fireblocksHosts[environment]
		return published(m.Name(), environment, "https://"+host+"/.well-known/jwks.json", host, parseKeySet)
	})
}
