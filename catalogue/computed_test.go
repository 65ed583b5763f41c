package catalogue

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func TestTokenWeaknessIsReportedOnlyIfATokenIsUsed(t *testing.T) {
	if text := setUp(t, "gitlab", "a token", provider.PresetOptions{}).Info().Weakness; text == "" {
		t.Error("gitlab with a token: missing weakness")
	}
	if text := setUp(t, "gitlab", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", provider.PresetOptions{}).Info().Weakness; text != "" {
		t.Errorf("gitlab with a signing token: unexpected weakness: %s", text)
	}
	if text := setUp(t, "telegram", "a token", provider.PresetOptions{}).Info().Weakness; text == "" {
		t.Error("telegram: missing weakness")
	}
}

// TestDropboxSignRetryWithAnotherMultipartBoundaryIsTheSameDelivery: Dropbox Sign signs
// only the time and the event type, so the digest covers the event.
func TestDropboxSignRetryWithAnotherMultipartBoundaryIsTheSameDelivery(t *testing.T) {
	m := setUp(t, "dropbox-sign", "api-key", provider.PresetOptions{})
	sum := mac(testSecret(t, "api-key"), "1760000000signature_request_sent")
	digest := func(boundary, id string) string {
		event := `{"event":{"event_time":"1760000000","event_type":"signature_request_sent","event_hash":"` + hex.EncodeToString(sum) + `"},"id":"` + id + `"}`
		body := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n" + event + "\r\n--" + boundary + "--\r\n"
		d, err := verify(t, m, request("POST", "/d", body, "Content-Type", "multipart/form-data; boundary="+boundary))
		if err != nil {
			t.Fatal(err)
		}
		return string(d.Matches[0].Digest)
	}
	if digest("b1", "1") != digest("b2", "1") {
		t.Error("a retry is a new delivery")
	}
	if digest("b1", "1") == digest("b1", "2") {
		t.Error("two events in the same second are the same delivery")
	}
}

func TestDuplicateJSONNamesAreRefused(t *testing.T) {
	known := knownNames(1, "a")
	for text, want := range map[string]bool{
		`{"a":1,"b":{"a":2}}`: true, `{"a":1,"A":2}`: false, `{"A":2}`: false, `{"b":{"A":2}}`: false, `{"b":{"c":{"A":2,"a":1}}}`: true,
		`{"b":1,"B":2}`: true, `{"a":1,"a":1}`: false, `{"b":1,"b":1}`: false, `[{"y":1,"y":2}]`: false, `{"a":1}{`: false, `{"a":`: false, ``: false,
		`{"a":1,"\u0061":2}`: false, `"a"`: true,
	} {
		if got := checkNames([]byte(text), known) == nil; got != want {
			t.Errorf("%s: accepted %t, want %t", text, got, want)
		}
	}
	if err := checkNames([]byte(`{"\u212a":1}`), knownNames(0, "k")); err == nil {
		t.Error("the Kelvin sign is accepted, although encoding/json folds it to k")
	}
	if err := checkNames([]byte(strings.Repeat("[", 200)), names{}); err == nil {
		t.Error("200 nested arrays are accepted")
	}
}

// TestGitLabTokenDoesNotReplaceASignature: GitLab can send both while a webhook
// migrates from a token to a signature.
func TestGitLabTokenDoesNotReplaceASignature(t *testing.T) {
	m := provider.NewModule(presetNamed("gitlab"))
	m.Secrets = []provider.Secret{{Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}, {Secret: "a token"}}
	if err := provision(m); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, m, request("POST", "/g", "{}", "X-Gitlab-Token", "a token"), "only the token, although a signing token is configured")
	signed := request("POST", "/g", "{}", "X-Gitlab-Token", "a token", "webhook-id", "1", "webhook-timestamp", "1760000000", "webhook-signature", "v1,"+strings.Repeat("A", 43)+"=")
	wantRefused(t, m, signed, "a wrong signature with the right token")
}

func TestRequestThatMatchesNoSchemeIsRefused(t *testing.T) {
	s := scheme(signature.HMACSHA256, hexIn("X-Sig", ""), when(signature.Condition{Methods: []string{"POST"}}))
	m := provider.NewModule(&provider.Preset{Name: "test", Schemes: []signature.Scheme{s}})
	m.Secrets = []provider.Secret{{Secret: "k"}}
	if err := provision(m); err != nil {
		t.Fatal(err)
	}
	sig := hex.EncodeToString(mac(testSecret(t, "k"), "b"))
	if _, err := verify(t, m, request("POST", "/", "b", "X-Sig", sig)); err != nil {
		t.Error(err)
	}
	wantRefused(t, m, request("PUT", "/", "b", "X-Sig", sig), "another method")
}
