package catalogue

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// twilioValues returns the URL and the sorted form. For other bodies, it returns only
// the URL, which then contains the body's SHA-256. Twilio signs the URL with or
// without its port, so both are tried.
// https://www.twilio.com/docs/usage/webhooks/webhooks-security
func twilioValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	address := r.URL()
	if len(address) > maxTwilioURL {
		return nil, signature.Refuse(signature.Malformed, "the URL is longer than %d bytes", maxTwilioURL)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, signature.Refuse(signature.Malformed, "the URL cannot be parsed")
	}
	form, err := r.Form()
	if err != nil {
		return nil, err
	}
	var suffix strings.Builder
	if form != nil {
		suffix.Grow(int(r.Body.Size()))
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		// Twilio's libraries differ on repeated fields. Twilio itself sorts the
		// values and removes duplicates, as one of them does.
		for _, value := range slices.Compact(slices.Sorted(slices.Values(form[name]))) {
			suffix.WriteString(name)
			suffix.WriteString(value)
		}
	}
	if suffix.Len() == 0 { // not a form, or only separators
		if err := checkTwilioBody(u, r); err != nil {
			return nil, err
		}
	}
	var candidates []map[string]string
	for _, text := range withAndWithoutPort(u, address) {
		candidates = append(candidates, map[string]string{"address": text, "form": suffix.String()})
	}
	return candidates, nil
}

// twilioSharedKey is the prefix of a SharedKey secret in the config, so that the
// config sets the algorithm. The header that names key and algorithm is not signed,
// and is ignored.
// https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys
const twilioSharedKey = "hmac-sha256:"

// twilioScheme: the two kinds of secrets differ only in the hash.
func twilioScheme(algorithm signature.Algorithm, keys signature.KeyFormat) signature.Scheme {
	s := scheme(algorithm, base64In("X-Twilio-Signature", ""), signed("{value.address}{value.form}"), id(inHeader("I-Twilio-Idempotency-Token")), mayBeEmpty("form"))
	s.Key = keys
	return s
}

const twilioSettings = "X-Twilio-Webhooks-Signature-Settings"

// twilioHint says which kind of secret is missing. It does not affect verification.
func twilioHint(m *provider.Module, r *signature.Request) string {
	sha256 := len(r.Header.Get("X-Twilio-Signature")) == 44 // base64 of 32 bytes
	shared := slices.ContainsFunc(m.Keys(), func(s signature.Secret) bool { return strings.HasPrefix(string(s.Reveal()), twilioSharedKey) })
	token := slices.ContainsFunc(m.Keys(), func(s signature.Secret) bool { return !strings.HasPrefix(string(s.Reveal()), twilioSharedKey) })
	switch {
	case sha256 && !shared:
		return "the request is signed with a SharedKey (" + signature.Excerpt(r.Header.Get(twilioSettings), 80) + "): add its secret as `secret " + twilioSharedKey + "{env.NAME}`"
	case !sha256 && !token && r.Header.Get("X-Twilio-Signature") != "":
		return "the request is signed with HMAC-SHA1, but no Auth Token is configured: add it as `secret {env.NAME}`"
	}
	return ""
}

// maxTwilioURL exceeds the 4,096 bytes that Twilio accepts for a URL, with a signed
// query after it.
const maxTwilioURL = 16 << 10

// checkTwilioBody compares a body that is not a form with the digest in the URL.
func checkTwilioBody(u *url.URL, r *signature.Request) error {
	query, err := signature.ParseQuery(u.RawQuery)
	if err != nil {
		return signature.Refuse(signature.Malformed, "the query string is malformed or too long")
	}
	want := query["bodySHA256"]
	if len(want) == 0 && r.Body.Size() == 0 {
		return nil
	}
	if len(want) != 1 {
		return signature.Refuse(signature.Malformed, "the body is not a form, and the URL has no bodySHA256")
	}
	h := sha256.New()
	if _, err := r.Body.WriteTo(h); err != nil {
		return err
	}
	if !strings.EqualFold(hex.EncodeToString(h.Sum(nil)), want[0]) {
		return signature.Refuse(signature.InvalidSignature, "the body does not match bodySHA256")
	}
	return nil
}

// withAndWithoutPort returns the URL as written, and with its default port added or
// its port removed.
func withAndWithoutPort(u *url.URL, written string) []string {
	scheme, rest, ok := strings.Cut(written, "://")
	if !ok {
		return []string{written}
	}
	host := u.Host
	tail := strings.TrimPrefix(rest, host)
	if len(tail) == len(rest) {
		return []string{written} // user and password before the host
	}
	if u.Port() != "" {
		return []string{written, scheme + "://" + strings.TrimSuffix(host, ":"+u.Port()) + tail}
	}
	port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	return []string{written, scheme + "://" + host + port + tail}
}
