package catalogue

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// liveKitLeeway is the leeway in LiveKit's own server code.
const liveKitLeeway = time.Minute

// checkLiveKit: a token for a room is signed with the same key but contains no hash.
// https://docs.livekit.io/home/server/webhooks/
func checkLiveKit(m *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	if !slices.Contains(m.Resolved().Issuers, c.text("iss")) {
		return signature.Refuse(signature.InvalidSignature, "the token is for another API key")
	}
	if err := c.checkLifetime(r.Now, liveKitLeeway); err != nil {
		return err
	}
	d.Timestamp, _ = c.time("nbf")
	return c.checkBodyBase64("sha256", r)
}

// checkFusionAuth: the token contains only the hash of the body.
// https://fusionauth.io/docs/extend/events-and-webhooks/signing
func checkFusionAuth(_ *provider.Module, r *signature.Request, c claims, _ *signature.Delivery) error {
	return c.checkBodyBase64("request_body_sha256", r)
}

// checkNetlify: https://docs.netlify.com/deploy/deploy-notifications/
func checkNetlify(_ *provider.Module, r *signature.Request, c claims, _ *signature.Delivery) error {
	if c.text("iss") != "netlify" {
		return signature.Refuse(signature.InvalidSignature, "the token is not issued by Netlify")
	}
	return c.checkBody("sha256", r)
}

// checkKinde reads the event claims of the token.
// https://docs.kinde.com/integrate/webhooks/about-webhooks/
func checkKinde(_ *provider.Module, _ *signature.Request, c claims, d *signature.Delivery) error {
	d.ID, d.Event = c.text("event_id"), c.text("type")
	if d.ID == "" {
		return signature.Refuse(signature.Malformed, "missing event_id: not a webhook token")
	}
	return nil
}

// checkWix reads the event: JSON in a string of the token, which contains JSON with
// the ID in another string. Wix's library rejects expired tokens.
// npm @wix/sdk, build/auth/AppStrategy.js
func checkWix(_ *provider.Module, r *signature.Request, c claims, d *signature.Delivery) error {
	if c.has("exp") {
		if err := c.checkValidity(r.Now, 0); err != nil {
			return err
		}
	}
	d.Timestamp, _ = c.time("iat")
	var event struct {
		Type string `json:"eventType"`
		Data string `json:"data"`
	}
	if json.Unmarshal([]byte(c.text("data")), &event) != nil {
		return signature.Refuse(signature.Malformed, "missing event: not a webhook token")
	}
	var inner struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal([]byte(event.Data), &inner) // some events have no ID
	d.Event, d.ID = event.Type, inner.ID
	return nil
}

const neonTime = "X-Neon-Timestamp"

// checkNeonTime checks the signed time, in milliseconds.
func checkNeonTime(r *signature.Request, tolerance time.Duration, d *signature.Delivery) error {
	text, err := oneHeader(r, neonTime)
	if err != nil {
		return err
	}
	milliseconds, err := strconv.ParseUint(text, 10, 64)
	if err != nil || milliseconds > 1<<46 || strconv.FormatUint(milliseconds, 10) != text {
		return signature.Refuse(signature.Malformed, "the time is not in milliseconds since 1970")
	}
	d.Timestamp = time.UnixMilli(int64(milliseconds))
	if age := r.Now.Sub(d.Timestamp); age > tolerance || age < -tolerance {
		return signature.Refuse(signature.Stale, "sent %s ago, which is more than the tolerance of %s either way", age.Round(time.Second), tolerance)
	}
	return nil
}

// neonBefore: the time and a dot precede the body.
// https://neon.com/docs/auth/guides/webhooks
func neonBefore(r *signature.Request, _ jose.Header) (string, error) {
	sent, err := oneHeader(r, neonTime)
	return sent + ".", err
}

// trueLayerKeys are the URLs of TrueLayer's keys. A token names its URL.
// https://docs.truelayer.com/docs/verify-webhook-signatures
var trueLayerKeys = map[string]string{
	"production": "https://webhooks.truelayer.com/.well-known/jwks",
	"sandbox":    "https://webhooks.truelayer-sandbox.com/.well-known/jwks",
}

// trueLayerSource fetches the keys of the configured environment.
func trueLayerSource(m *provider.Module) keySource {
	environment := cmp.Or(m.Resolved().Environment, "production")
	address := trueLayerKeys[environment]
	host, _, _ := strings.Cut(strings.TrimPrefix(address, "https://"), "/")
	return published(m.Name(), environment, address, host, parseKeySet)
}

const (
	// maxTrueLayerHeaders exceeds the number of headers that TrueLayer signs.
	maxTrueLayerHeaders = 16
	// maxTrueLayerBytes is the maximum total length of those headers, in bytes.
	maxTrueLayerBytes = 8 << 10
)

// trueLayerBefore returns the method, the path and the headers that the token lists.
// TrueLayer's libraries also try the path with a slash more or less at its end, because
// web frameworks change it. Caddy does not, and each try costs 3 ms, because P-521 is
// slow.
// https://github.com/TrueLayer/truelayer-signing/blob/main/request-signing-v2.md
func trueLayerBefore(r *signature.Request, header jose.Header) (string, error) {
	if version, _ := header.ExtraHeaders["tl_version"].(string); version != "2" {
		return "", signature.Refuse(signature.Malformed, "the version of the signature is not 2")
	}
	if address, named := header.ExtraHeaders["jku"].(string); named && address != trueLayerKeys["production"] && address != trueLayerKeys["sandbox"] {
		return "", signature.Refuse(signature.InvalidSignature, "the keys of the signature are not TrueLayer's")
	}
	var headers strings.Builder
	names, _ := header.ExtraHeaders["tl_headers"].(string)
	listed := strings.Split(names, ",")
	if len(listed) > maxTrueLayerHeaders {
		return "", signature.Refuse(signature.Malformed, "the signature lists more than %d headers", maxTrueLayerHeaders)
	}
	for _, name := range listed {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		value, err := oneHeader(r, name)
		if err != nil {
			return "", signature.Refuse(signature.Malformed, "missing or duplicate signed header: %s", signature.Excerpt(name, 48))
		}
		if headers.Len()+len(name)+len(value) > maxTrueLayerBytes {
			return "", signature.Refuse(signature.Malformed, "the signed headers are longer than %d bytes", maxTrueLayerBytes)
		}
		headers.WriteString(name + ": " + value + "\n")
	}
	return strings.ToUpper(r.Method) + " " + requestPath(r) + "\n" + headers.String(), nil
}

// requestPath returns the path of the URL that the provider called.
func requestPath(r *signature.Request) string {
	address, _, _ := strings.Cut(r.URL(), "?")
	_, rest, _ := strings.Cut(address, "://")
	_, path, _ := strings.Cut(rest, "/")
	return "/" + path
}
