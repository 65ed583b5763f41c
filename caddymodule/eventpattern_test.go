package caddymodule

import (
	"regexp"
	"strings"
	"testing"
)

// matchReference is another implementation of matchEvent, with a regular
// expression.
func matchReference(pattern, event string) bool {
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`\A(?s:` + strings.Join(parts, ".*") + `)\z`).MatchString(event)
}

func TestEventPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, event string
		want           bool
	}{
		{"push", "push", true},
		{"push", "Push", false},
		{"push", "push.x", false},
		{"*", "", true},
		{"*", "anything/at.all", true},
		{"", "", true},
		{"", "x", false},
		{"invoice.*", "invoice.paid", true},
		{"invoice.*", "invoice.", true},
		{"invoice.*", "invoice", false},
		{"invoice.*", "my.invoice.paid", false},
		{"*.deleted", "customer.subscription.deleted", true},
		{"a*b*c", "abc", true},
		{"a*b*c", "ac", false},
		{"a*a", "a", false},
		{"**", "x", true},
		{"a**b", "ab", true},
	} {
		if got := matchEvent(test.pattern, test.event); got != test.want {
			t.Errorf("%q matches %q: %t", test.pattern, test.event, got)
		}
		if got := matchReference(test.pattern, test.event); got != test.want {
			t.Errorf("matchReference is wrong for %q and %q", test.pattern, test.event)
		}
	}
}

func FuzzMatchEvent(f *testing.F) {
	f.Add("invoice.*", "invoice.paid")
	f.Add("a*b*c", "aXbXc")
	f.Add("*a*", "")
	f.Fuzz(func(t *testing.T, pattern, event string) {
		if strings.ToValidUTF8(pattern, "") != pattern || strings.ToValidUTF8(event, "") != event {
			return // matchReference supports no other pattern
		}
		if got, want := matchEvent(pattern, event), matchReference(pattern, event); got != want {
			t.Errorf("%q matches %q: %t, want %t", pattern, event, got, want)
		}
	})
}
