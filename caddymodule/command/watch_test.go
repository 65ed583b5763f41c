package command

import (
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/inspector"
)

func TestWatchPrintsOneLineForEachDelivery(t *testing.T) {
	refused := &inspector.Summary{Number: 17, Outcome: caddymodule.InvalidSignature, Endpoint: "github", Method: "POST", Path: "/in\x1b[2J", ID: "\x1b]0;x\x07", Response: 401, Size: 12, Reason: "no configured secret\nmade it"}
	plain := (&watchFlags{}).line(refused)
	if strings.ContainsAny(plain, "\x1b\x07") || !strings.Contains(plain, "invalid_signature") || !strings.Contains(plain, "answered 401") || !strings.Contains(plain, "no configured secret") {
		t.Errorf("%q", plain)
	}
	colored := (&watchFlags{colored: true}).line(refused)
	if !strings.Contains(colored, colorBad+"invalid_signature") || strings.Contains(colored, "\x1b[2J") {
		t.Errorf("%q", colored)
	}
}

func TestWatchFilters(t *testing.T) {
	d := &inspector.Summary{Outcome: caddymodule.Stale, Endpoint: "orders", Provider: "stripe", Path: "/webhooks/stripe", ID: "evt_1", Event: "invoice.paid"}
	for _, c := range []struct {
		f    watchFlags
		want bool
	}{
		{watchFlags{}, true},
		{watchFlags{endpoint: "orders"}, true},
		{watchFlags{endpoint: "stripe"}, true},
		{watchFlags{endpoint: "/webhooks/*"}, true},
		{watchFlags{endpoint: "github"}, false},
		{watchFlags{outcomes: []string{"refused"}}, true},
		{watchFlags{outcomes: []string{"verified", "stale"}}, true},
		{watchFlags{outcomes: []string{"verified"}}, false},
		{watchFlags{text: "INVOICE"}, true},
		{watchFlags{text: "push"}, false},
	} {
		if got := c.f.wants(d); got != c.want {
			t.Errorf("%+v: got %v", c.f, got)
		}
	}
}
