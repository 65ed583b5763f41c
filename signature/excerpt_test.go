package signature

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestExcerptsAreShortAndPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"plain text":             "plain text",
		`"quoted" \`:             `"quoted" \`,
		"größe":                  "größe",
		"a\nb\r\tc":              `a\nb\r\tc`,
		"\x1b[2Jred":             `\x1b[2Jred`,
		"\u009b31m":              `\u009b31m`,
		"\u202eevil":             `\u202eevil`,
		"\u2066x":                `\u2066x`,
		"\xff\xfe":               `\xff\xfe`,
		"\u00a0":                 `\u00a0`,
		"\u200b":                 `\u200b`,
		"12345678901":            "1234567890…",
		"ää34567890€":            "ää34567890…",
		"\n\n\n\n\n\n\n\n\n\n\n": `\n\n\n\n\n\n\n\n\n\n…`,
	} {
		if got := Excerpt(text, 10); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestReasonsQuoteOnlyAnExcerptOfTheRequest(t *testing.T) {
	type name string
	long := strings.Repeat("\x01é", 480_000)
	for _, arg := range []any{long, []byte(long), name(long), errors.New(long), Field{From: "header", Name: long}} {
		for _, format := range []string{"%s", "%q", "%v", "the %s comes twice"} {
			var r *Refusal
			if !errors.As(Refuse(Malformed, format, arg), &r) || len(r.Reason) > 400 {
				t.Errorf("%T with %s: a reason of %d bytes", arg, format, len(r.Reason))
			}
			if strings.ContainsRune(r.Reason, 1) {
				t.Errorf("%T with %s: control characters", arg, format)
			}
		}
	}
	got := Refuse(Stale, "signed %s ago, %d times by %q and %s", time.Minute, 3, "x\n", Base64).(*Refusal).Reason
	if want := `signed 1m0s ago, 3 times by "x\n" and ` + string(Base64); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
