package catalogue

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func TestTheWeaknessOfATokenIsToldOnlyWhereOneIsUsed(t *testing.T) {
	if text := setUp(t, "gitlab", "a token", provider.PresetOptions{}).Info().Weakness; text == "" {
		t.Error("nothing is said of the token")
	}
	if text := setUp(t, "gitlab", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", provider.PresetOptions{}).Info().Weakness; text != "" {
		t.Errorf("of a signing token it is said: %s", text)
	}
	if text := setUp(t, "telegram", "a token", provider.PresetOptions{}).Info().Weakness; text == "" {
		t.Error("nothing is said of a provider that only has tokens")
	}
}

// TestRetriesWithAnotherBoundaryAreTheSameDelivery: Dropbox Sign signs so little
// that the event itself must distinguish deliveries.
func TestRetriesWithAnotherBoundaryAreTheSameDelivery(t *testing.T) {
	m := setUp(t, "dropbox-sign", "api-key", provider.PresetOptions{})
	sum := mac(testSecret(t, "api-key"), "1760000000signature_request_sent")
	digest := func(boundary, id string) string {
		event := `{"event":{"event_time":"1760000000","event_type":"signature_request_sent","event_hash":"` + hex.EncodeToString(sum) + `"},"id":"` + id + `"}`
		body := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n" + event + "\r\n--" + boundary + "--\r\n"
		d, err := take(t, m, request("POST", "/d", body, "Content-Type", "multipart/form-data; boundary="+boundary))
		if err != nil {
			t.Fatal(err)
		}
		return string(d.Matches[0].Digest)
	}
	if digest("b1", "1") != digest("b2", "1") {
		t.Error("a retry counts as another delivery")
	}
	if digest("b1", "1") == digest("b1", "2") {
		t.Error("two events of one second count as one delivery")
	}
}

func TestNamesThatComeTwiceAreRefused(t *testing.T) {
	known := knownNames(1, "a")
	for text, want := range map[string]bool{
		`{"a":1,"b":{"a":2}}`: true, `{"a":1,"A":2}`: false, `{"A":2}`: false, `{"b":{"A":2}}`: false, `{"b":{"c":{"A":2,"a":1}}}`: true,
		`{"b":1,"B":2}`: true, `{"a":1,"a":1}`: false, `{"b":1,"b":1}`: false, `[{"y":1,"y":2}]`: false, `{"a":1}{`: false, `{"a":`: false, ``: false,
		`{"a":1,"\u0061":2}`: false, `"a"`: true,
	} {
		if got := checkNames([]byte(text), known) == nil; got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	if err := checkNames([]byte(`{"\u212a":1}`), knownNames(0, "k")); err == nil {
		t.Error("the Kelvin sign, which encoding/json reads as k, is not refused")
	}
	if err := checkNames([]byte(strings.Repeat("[", 200)), names{}); err == nil {
		t.Error("deep nesting is read")
	}
}

// TestASignatureIsNeverGivenUpForAToken: GitLab may send both while a webhook
// moves from the one to the other.
func TestASignatureIsNeverGivenUpForAToken(t *testing.T) {
	m := provider.NewModule(presetNamed("gitlab"))
	m.Secrets = []provider.Secret{{Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}, {Secret: "a token"}}
	if err := provision(m); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, m, request("POST", "/g", "{}", "X-Gitlab-Token", "a token"), "the token alone, beside a secret that signs")
	signed := request("POST", "/g", "{}", "X-Gitlab-Token", "a token", "webhook-id", "1", "webhook-timestamp", "1760000000", "webhook-signature", "v1,"+strings.Repeat("A", 43)+"=")
	wantRefused(t, m, signed, "a wrong signature beside the token")
}

func TestARequestThatNoSchemeIsForIsRefused(t *testing.T) {
	s := scheme(signature.HMACSHA256, hexIn("X-Sig", ""), when(signature.Condition{Methods: []string{"POST"}}))
	m := provider.NewModule(&provider.Preset{Name: "test", Schemes: []signature.Scheme{s}})
	m.Secrets = []provider.Secret{{Secret: "k"}}
	if err := provision(m); err != nil {
		t.Fatal(err)
	}
	sig := hex.EncodeToString(mac(testSecret(t, "k"), "b"))
	if _, err := take(t, m, request("POST", "/", "b", "X-Sig", sig)); err != nil {
		t.Error(err)
	}
	wantRefused(t, m, request("PUT", "/", "b", "X-Sig", sig), "another method")
}
