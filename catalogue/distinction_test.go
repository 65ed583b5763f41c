package catalogue

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// schemesByDistinction returns the distinctions of a preset, each with its schemes.
func schemesByDistinction(p *provider.Preset) map[*provider.Distinction][]signature.Scheme {
	if len(p.Variants) == 0 {
		return map[*provider.Distinction][]signature.Scheme{&p.Distinction: p.Schemes}
	}
	all := make(map[*provider.Distinction][]signature.Scheme)
	for i := range p.Variants {
		d := &p.Distinction
		if p.Variants[i].Distinction != nil {
			d = p.Variants[i].Distinction
		}
		all[d] = append(all[d], p.Variants[i].Schemes...)
	}
	return all
}

// covered reports whether a scheme signs a field.
func covered(s signature.Scheme, f signature.Field) bool {
	s.Event, s.Action = &f, nil
	return s.Covers().EventSigned
}

func TestEveryPresetDeclaresWhatDistinguishesItsDeliveries(t *testing.T) {
	for i := range catalogue {
		p := &catalogue[i]
		if p.Content == "" {
			t.Errorf("%s: missing Content", p.Name)
		}
		for d, schemes := range schemesByDistinction(p) {
			for _, s := range schemes {
				checkCoverage(t, p.Name, d, s)
			}
		}
	}
}

// checkCoverage checks that the fields that decide whether content repeats are signed,
// and that headers in Varies are not: a signed header is part of the content already.
func checkCoverage(t *testing.T, name string, d *provider.Distinction, s signature.Scheme) {
	t.Helper()
	signs := s.Algorithm != signature.Token && s.Algorithm != signature.Basic
	for _, f := range slices.Concat(d.RepeatsWhen, d.UniqueWhen) {
		inDocument := slices.ContainsFunc(d.Documents, func(f signature.Field) bool { return covered(s, f) })
		if signs && !covered(s, f) && !inDocument {
			t.Errorf("%s: whether content repeats depends on %s, which %q does not sign", name, f, s.Signed)
		}
	}
	for _, header := range d.Varies {
		if covered(s, inHeader(header)) {
			t.Errorf("%s: Varies contains %s, which is signed", name, header)
		}
		if s.ID != nil && *s.ID == inHeader(header) {
			t.Errorf("%s: Varies contains the header of the ID", name)
		}
	}
}

// TestWindowIsAtLeastTwiceTheTolerance: otherwise a delivery could be replayed after
// the window.
func TestWindowIsAtLeastTwiceTheTolerance(t *testing.T) {
	for i := range catalogue {
		p := &catalogue[i]
		for _, schemes := range schemesByDistinction(p) {
			for _, s := range schemes {
				if tolerance := s.Covers().Tolerance; s.Covers().TimestampSigned && p.Window < 2*tolerance {
					t.Errorf("%s: the window is %s, less than twice the tolerance of %s", p.Name, p.Window, tolerance)
				}
			}
		}
	}
	if p := presetNamed("paypal"); p.Window < 2*payPalTolerance {
		t.Errorf("paypal: the window is %s, less than twice the tolerance of %s", p.Window, payPalTolerance)
	}
}

func TestDescriptionsOfIdenticalDeliveries(t *testing.T) {
	for name, want := range map[string]string{
		"stripe":        "Deliveries with the same ID are the same.",
		"dropbox":       "Every delivery is forwarded, copies included, because content repeats and there is no ID.",
		"typeform":      "Deliveries with the same ID are the same.",
		"trello":        "Deliveries with equal content are the same.",
		"razorpay":      "Deliveries with equal content are the same, and one under another ID is a replay.",
		"twilio":        "Deliveries with the same ID and equal content are the same, and one under another ID is a new delivery.",
		"recurly":       "Deliveries with equal bodies are the same, and one under another ID is a replay.",
		"paypal":        "Deliveries with the same ID are the same, and so are those with equal bodies.",
		"pulumi":        "Deliveries with the same ID and equal content and equal `Pulumi-Webhook-Kind` are the same, and one under another ID is a new delivery.",
		"webex":         "Deliveries with equal content are the same. If a delivery has `json data.isModerator`, every delivery is forwarded, copies included, because content repeats and there is no ID.",
		"google-pubsub": "Deliveries with the same ID and equal content are the same, and one under another ID is a new delivery.",
	} {
		if got := strings.Join(presetNamed(name).Describe().Same, " "); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for i := range catalogue {
		var out bytes.Buffer
		d := catalogue[i].Describe()
		if err := d.Text(&out); err != nil || len(d.Same) == 0 || !strings.Contains(out.String(), d.Same[0]) {
			t.Errorf("%s: missing description of identical deliveries: %v", d.Name, err)
		}
	}
}

// digestOf verifies a genuine request and returns its digest in hex.
func digestOf(t *testing.T, m *provider.Module, r *signature.Request) string {
	t.Helper()
	d, err := verify(t, m, r)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(d.Matches[0].Digest)
}

// TestAtlassianConnectRetryWithNewTokenHasTheSameDigest: each attempt has a new token,
// and two events in the same second to the same URL have equal tokens.
func TestAtlassianConnectRetryWithNewTokenHasTheSameDigest(t *testing.T) {
	const secret = "shared-secret"
	m := setUp(t, "atlassian-connect", secret, provider.PresetOptions{Issuers: []string{"tenant"}})
	send := func(uri, id, body string, issued int64) *signature.Request {
		path, query, _ := strings.Cut(uri, "?")
		qsh := sha256.Sum256([]byte("POST&" + path + "&" + query))
		claims := map[string]any{"iss": "tenant", "iat": testNow.Unix() + issued, "exp": testNow.Unix() + 100, "qsh": hex.EncodeToString(qsh[:])}
		return request("POST", uri, body, "X-Atlassian-Webhook-Identifier", id, "Authorization", "JWT "+token(t, jose.HS256, padded([]byte(secret)), "", claims))
	}
	d, err := verify(t, m, send("/hook?id=1", "a", "", 0))
	if err != nil || d.ID != "a" || d.IDSigned || !d.Repeats {
		t.Fatalf("got %+v, %v", d, err)
	}
	first := digestOf(t, m, send("/hook?id=1", "a", "", 0))
	if digestOf(t, m, send("/hook?id=1", "a", "", -60)) != first {
		t.Error("a retry with a new token has another digest")
	}
	if digestOf(t, m, send("/hook?id=2", "a", "", 0)) == first || digestOf(t, m, send("/hook?id=1", "a", "x", 0)) == first {
		t.Error("another URL or body has the same digest")
	}
}

// TestPubSubDigestIgnoresDeliveryAttempt: with a dead-letter topic, Pub/Sub adds the
// number of the attempt to the body.
func TestPubSubDigestIgnoresDeliveryAttempt(t *testing.T) {
	digest := func(body string) string {
		sum, err := pubSubDigest(nil, request("POST", "/", body), nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(sum)
	}
	first := digest(`{"deliveryAttempt":1,"message":{"messageId":"7","data":"x"},"subscription":"s"}`)
	if digest(`{"deliveryAttempt":2,"message":{"messageId":"7","data":"x"},"subscription":"s"}`) != first {
		t.Error("the second attempt has another digest")
	}
	for _, other := range []string{
		`{"deliveryAttempt":1,"message":{"messageId":"7","data":"y"},"subscription":"s"}`,
		`{"deliveryAttempt":1,"message":{"messageId":"7","data":"x"},"subscription":"t"}`,
		`{"message":{"messageId":"7","data":"z"},"subscription":"s"}`, `tick`, ``,
	} {
		if digest(other) == first {
			t.Errorf("%s has the same digest", other)
		}
	}
}

// TestPubSubUnwrappedMessageIDIsInAHeader: the body contains only the message data.
func TestPubSubUnwrappedMessageIDIsInAHeader(t *testing.T) {
	if got := presetNamed("google-pubsub").OtherID; got != "x-goog-pubsub-message-id" {
		t.Errorf("got %q", got)
	}
}

// TestPayPalRetryWithNewTransmissionIDHasTheSameDigest: a retry has the same body.
func TestPayPalRetryWithNewTransmissionIDHasTheSameDigest(t *testing.T) {
	const name = "messageverificationcerts.paypal.com"
	root := newSigner(t, "root", nil, testNow.Add(time.Hour))
	by := newSigner(t, name, root, testNow.Add(time.Hour))
	server := startKeyServer(t, func(*http.Request) string { return by.cert })
	m := setUp(t, "paypal", "", provider.PresetOptions{WebhookID: "W1", Roots: []string{root.cert}})
	verifierOf(m).(*payPal).fetcher = keyfetch.New(server.transport, "api.paypal.com")
	send := func(id, body string, ago time.Duration) *signature.Request {
		r := payPalRequest(t, by, body)
		at := testNow.Add(-ago).UTC().Format(time.RFC3339)
		r.Header.Set("PAYPAL-TRANSMISSION-ID", id)
		r.Header.Set("PAYPAL-TRANSMISSION-TIME", at)
		r.Header.Set("PAYPAL-TRANSMISSION-SIG", by.sign(t, fmt.Sprintf("%s|%s|W1|%d", id, at, crc32.ChecksumIEEE([]byte(body)))))
		return r
	}
	d, err := verify(t, m, send("t1", `{"id":"WH-1"}`, 0))
	if err != nil || !d.IDSigned || !d.AlsoContent {
		t.Fatalf("got %+v, %v", d, err)
	}
	first := digestOf(t, m, send("t1", `{"id":"WH-1"}`, 0))
	if digestOf(t, m, send("t2", `{"id":"WH-1"}`, 72*time.Hour)) != first {
		t.Error("a retry has another digest")
	}
	if digestOf(t, m, send("t1", `{"id":"WH-2"}`, 0)) == first {
		t.Error("another event has the same digest")
	}
}

// TestConfiguredKeysKeepTheirOrder: the app's key is derived from the last one.
func TestConfiguredKeysKeepTheirOrder(t *testing.T) {
	s := &staticKeys{keys: make(map[string]any), ids: make(map[string]signature.Identity)}
	var want []string
	for i := range 20 {
		id := fmt.Sprint(i)
		if err := s.add(id, i, signature.Identity{Label: id}); err != nil {
			t.Fatal(err)
		}
		want = append(want, id)
	}
	var got []string
	for _, id := range s.identities() {
		got = append(got, id.Label)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
