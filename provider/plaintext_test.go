package provider

import (
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// Every option must be marked as a secret if its name or its documented value shows
// that it is one.
func TestSecretOptionsAreMarked(t *testing.T) {
	name := regexp.MustCompile(`secret|token|password|private|api_?key`)
	for _, s := range presetOptions {
		if want := name.MatchString(s.name) || s.value == "{env.NAME}"; s.secret != want {
			t.Errorf("%s: secret is %t", s.name, s.secret)
		}
		if s.secret && s.text == nil {
			t.Errorf("%s does not have a single text", s.name)
		}
	}
}

func TestPlaintextSecretInAnOptionIsLogged(t *testing.T) {
	for i := range presetOptions {
		s := &presetOptions[i]
		if s.text == nil {
			continue
		}
		for value, plain := range map[string]bool{"written out": true, "{env.NAME}": false, "{file./run/secret}": false} {
			core, logs := observer.New(zapcore.WarnLevel)
			var set PresetOptions
			*s.text(&set) = value
			set.warnPlaintext(zap.New(core), "example")
			if got := logs.Len() == 1; got != (plain && s.secret) {
				t.Errorf("%s %s: warning logged: %t", s.name, value, got)
			}
			for _, e := range logs.All() {
				if strings.Contains(e.Message, value) || e.ContextMap()["option"] != s.name {
					t.Errorf("%s: %s %v", s.name, e.Message, e.ContextMap())
				}
			}
		}
	}
}
