package caddymodule

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// reading is an observer that requests bodies.
type reading struct{ watching }

func (*reading) BodyLimit(Outcome) int64 { return 64 }

func TestObserversGetTheStepsOfADelivery(t *testing.T) {
	b := trial(t, config("github", ""))
	seen := new(reading)
	defer Observe(seen)()
	b.App = answering(202)
	sent := github("1", content)
	sent.Header.Set("Authorization", "Bearer credential")
	sent.Header.Set("Webhook-Verified-Id", "spoofed")
	b.Send(sent)
	o := seen.seen[0]
	var names []string
	for _, s := range o.Steps {
		names = append(names, s.Name)
	}
	if want := []string{stepHeaders, stepBody, stepVerified, stepClaimed, stepForwarded, stepResponse, stepCommitted}; !slices.Equal(names, want) {
		t.Errorf("steps %q, want %q", names, want)
	}
	if o.Header.Get("Authorization") != "(removed)" || o.Header.Get("Webhook-Verified-Id") != "spoofed" {
		t.Errorf("headers %v", o.Header)
	}
	if string(o.Body) != content[:min(64, len(content))] || o.BodyCut != (len(content) > 64) || o.Response != 202 || o.Secret != "1" {
		t.Errorf("%+v", o)
	}
}

func TestDryRunsAreNeitherObservedNorCounted(t *testing.T) {
	seen := new(reading)
	defer Observe(seen)()
	r := stripe(present, `{"id":"evt_1"}`)
	got, err := dryrun.Once(dryrun.Aside(t.Context()), []byte(`{"name":"stripe","secrets":[{"secret":"another"}]}`), frozen, r)
	if err != nil || got.Outcome != string(InvalidSignature) || len(seen.seen) > 0 {
		t.Errorf("%+v, %v, observed %d", got, err, len(seen.seen))
	}
}

func TestTokenIsReplacedByItsComparison(t *testing.T) {
	secret, err := signature.NewSecret("user:the secret", "")
	if err != nil {
		t.Fatal(err)
	}
	id := secret.Identity()
	id.Label = "1"
	info := &provider.Info{TokenHeaders: []string{"X-Token"}, Secrets: []signature.Identity{id}}
	for sent, want := range map[string]string{
		"user:the secret":   "(removed: it is secret 1)",
		"another":           "(removed: it is none of the configured secrets)",
		" user:the secret ": "(removed: it is secret 1, with white space around it)",
		`"user:the secret"`: "(removed: it is secret 1, in quotes)",
		"":                  "(removed: it is blank)",
		"Basic " + base64.StdEncoding.EncodeToString([]byte("user:the secret")): "(removed: it is secret 1)",
		base64.StdEncoding.EncodeToString([]byte("user:the secret")):            "(removed: it is secret 1, in base64)",
	} {
		if got := redactHeader(http.Header{"X-Token": {sent}}, info)["X-Token"][0]; got != want || strings.Contains(got, "the secret") {
			t.Errorf("%q: got %q, want %q", sent, got, want)
		}
	}
	h := redactHeader(http.Header{"X_token": {"a"}, "Cookie": {"b"}, "Proxy-Authorization": {"c"}, "X-Other": {"d"}}, info)
	if h["X_token"][0] == "a" || h.Get("Cookie") != "(removed)" || h.Get("Proxy-Authorization") != "(removed)" || h.Get("X-Other") != "d" {
		t.Errorf("%v", h)
	}
}
