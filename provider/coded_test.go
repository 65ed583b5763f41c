package provider

import (
	"encoding/hex"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func TestTheWeaknessOfATokenIsToldOnlyWhereOneIsUsed(t *testing.T) {
	if text := setUp(t, "gitlab", "a token", Settings{}).Facts().Weakness; text == "" {
		t.Error("nothing is said of the token")
	}
	if text := setUp(t, "gitlab", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", Settings{}).Facts().Weakness; text != "" {
		t.Errorf("of a signing token it is said: %s", text)
	}
	if text := setUp(t, "telegram", "a token", Settings{}).Facts().Weakness; text == "" {
		t.Error("nothing is said of a provider that only has tokens")
	}
}

// TestRetriesWithAnotherBoundaryAreTheSameDelivery: Dropbox Sign signs so little
// that the event itself must tell deliveries apart.
func TestRetriesWithAnotherBoundaryAreTheSameDelivery(t *testing.T) {
	m := setUp(t, "dropbox-sign", "api-key", Settings{})
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
	for text, want := range map[string][2]bool{ // exact, folded
		`{"a":1,"b":{"a":2}}`: {true, true}, `{"a":1,"A":2}`: {true, false}, `{"a":1,"a":1}`: {false, false}, `[{"x":{"y":1,"y":2}}]`: {false, false},
		`{"a":1}{`: {false, false}, `{"a":`: {false, false}, ``: {false, false}, `{"a":1,"\u0061":2}`: {false, false}, `"a"`: {true, true},
	} {
		for i, same := range []func(rune) rune{exactName, foldName} {
			if got := checkUniqueNames([]byte(text), same) == nil; got != want[i] {
				t.Errorf("%s (%d): %t", text, i, got)
			}
		}
	}
	if err := checkUniqueNames([]byte(strings.Repeat("[", 200)), exactName); err == nil {
		t.Error("deep nesting is read")
	}
}

// TestASignatureIsNeverGivenUpForAToken: GitLab may send both while a webhook
// moves from the one to the other.
func TestASignatureIsNeverGivenUpForAToken(t *testing.T) {
	m := &Module{preset: presetNamed("gitlab"), logger: zap.NewNop()}
	m.Secrets = []Secret{{Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}, {Secret: "a token"}}
	if err := m.provision(); err != nil {
		t.Fatal(err)
	}
	if _, err := take(t, m, request("POST", "/g", "{}", "X-Gitlab-Token", "a token")); err != nil {
		t.Errorf("a delivery with the token alone: %v", err)
	}
	signed := request("POST", "/g", "{}", "X-Gitlab-Token", "a token", "webhook-id", "1", "webhook-timestamp", "1760000000", "webhook-signature", "v1,"+strings.Repeat("A", 43)+"=")
	wantRefused(t, m, signed, "a wrong signature beside the token")
}

func TestARequestThatNoSchemeIsForIsRefused(t *testing.T) {
	s := scheme(signature.HMACSHA256, hexIn("X-Sig", ""), when(signature.Condition{Methods: []string{"POST"}}))
	m := &Module{preset: &Preset{Name: "test", Schemes: []signature.Scheme{s}}, logger: zap.NewNop()}
	m.Secrets = []Secret{{Secret: "k"}}
	if err := m.provision(); err != nil {
		t.Fatal(err)
	}
	sig := hex.EncodeToString(mac(testSecret(t, "k"), "b"))
	if _, err := take(t, m, request("POST", "/", "b", "X-Sig", sig)); err != nil {
		t.Error(err)
	}
	wantRefused(t, m, request("PUT", "/", "b", "X-Sig", sig), "another method")
}
