package signature

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Invariant 2.
func TestEmptyOrBlankSecretIsAnError(t *testing.T) {
	for _, text := range []string{"", " ", "\t\n", "\u00a0", " secret", "secret\n", "\u2003secret"} {
		if _, err := NewSecret(text, ""); err == nil {
			t.Errorf("%q is accepted as a secret", text)
		}
	}
	if _, err := NewSecret("secret", "a\nb"); err == nil {
		t.Error("a label with a line break is accepted")
	}
}

func TestSecretThatDecodesToNothingIsAnError(t *testing.T) {
	for _, c := range []struct {
		format KeyFormat
		text   string
	}{
		{KeyFormat{Prefix: "whsec_"}, "whsec_"},
		{KeyFormat{Encoding: "base64", Prefix: "whsec_"}, "whsec_"},
		{KeyFormat{Encoding: "base64", Prefix: "whsec_"}, "whsec_===="},
		{KeyFormat{Encoding: "base64"}, "="},
		{KeyFormat{Encoding: "base64"}, "not base64!"},
		{KeyFormat{Encoding: "hex"}, "0g"},
		{KeyFormat{Encoding: "hex"}, "0"},
		{KeyFormat{Encoding: "rot13"}, "secret"},
		{KeyFormat{Prefix: "whsec_", PrefixRequired: true}, "secret"},
		{KeyFormat{PrefixRequired: true}, "secret"},
	} {
		s := githubScheme()
		s.Key = c.format
		_, err := s.Compile(secretsOf(t, c.text), 0)
		if err == nil {
			t.Errorf("%+v accepts %q", c.format, c.text)
		} else if strings.Contains(err.Error(), strings.TrimPrefix(c.text, "whsec_")) && len(c.text) > 6 {
			t.Errorf("the error contains the secret: %v", err)
		}
	}
}

func TestKeysAreDecodedInTheProvidersFormat(t *testing.T) {
	for _, c := range []struct {
		format KeyFormat
		text   string
		want   string
	}{
		{KeyFormat{}, "whsec_AP8", "whsec_AP8"},
		{KeyFormat{Encoding: "utf8"}, "zwölf", "zwölf"},
		{KeyFormat{Encoding: "hex"}, "00FF", "\x00\xff"},
		{KeyFormat{Encoding: "base64"}, "+/8=", "\xfb\xff"},
		{KeyFormat{Encoding: "base64"}, "-_8", "\xfb\xff"},
		{KeyFormat{Encoding: "base64", Prefix: "whsec_"}, "whsec_AP8=", "\x00\xff"},
		{KeyFormat{Encoding: "base64", Prefix: "whsec_"}, "AP8=", "\x00\xff"},
	} {
		if got, err := c.format.Decode(secretsOf(t, c.text)[0]); err != nil || string(got) != c.want {
			t.Errorf("%+v %q: got %q, %v", c.format, c.text, got, err)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	const text = "correct-horse-battery"
	secret, err := NewSecret(text, "label")
	if err != nil {
		t.Fatal(err)
	}
	v, err := githubScheme().Compile([]Secret{secret}, 0)
	if err != nil {
		t.Fatal(err)
	}
	type exported struct {
		S Secret
		P *Secret
		M map[string]Secret
		I Identity
	}
	type unexported struct {
		s Secret
		p *Secret
		i any
	}
	values := []any{
		secret, &secret,
		[]Secret{secret},
		v, v.Secrets(), secret.Identity(), secret.Reveal,
		exported{secret, &secret, map[string]Secret{"k": secret}, secret.Identity()},
		unexported{secret, &secret, secret},
		&unexported{secret, &secret, &secret},
		errors.Join(fmt.Errorf("with %v", secret)),
	}
	var out strings.Builder
	for _, value := range values {
		// %p is missing: fmt calls no method for it, and vet rejects it.
		for _, verb := range "vTtbcdoOqxXUeEfFgGs" {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "20.5"} {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", value)
			}
		}
		fmt.Fprintln(&out, value)
		for _, encoder := range []interface{ Encode(any) error }{json.NewEncoder(&out), xml.NewEncoder(&out), gob.NewEncoder(&out)} {
			if err := encoder.Encode(value); err != nil {
				fmt.Fprintln(&out, err)
			}
		}
		logInto(&out, value)
	}
	fmt.Fprintf(&out, "%p %p", secret.Reveal, &secret)
	fingerprint := secret.Identity().Fingerprint
	for name, leak := range map[string]string{
		"text": text, "hex": hexOf([]byte(text)), "HEX": strings.ToUpper(hexOf([]byte(text))),
		"base64": base64Of([]byte(text)), "decimal": decimals([]byte(text)), "a part": text[:8],
		"fingerprint": decimals(fingerprint[:8]), "fingerprint in hex": hexOf(fingerprint[:8]),
	} {
		if i := strings.Index(out.String(), leak); i >= 0 {
			t.Errorf("%s leaked: …%s…", name, out.String()[max(0, i-80):min(out.Len(), i+80)])
		}
	}
}

// decimals returns bytes as fmt prints them.
func decimals(b []byte) string {
	var all []string
	for _, c := range b {
		all = append(all, strconv.Itoa(int(c)))
	}
	return strings.Join(all, " ")
}

func logInto(out *strings.Builder, value any) {
	var buf bytes.Buffer
	for _, enc := range []zapcore.Encoder{zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())} {
		logger := zap.New(zapcore.NewCore(enc, zapcore.AddSync(&buf), zap.DebugLevel))
		logger.Info("message", zap.Any("value", value), zap.Reflect("reflected", value))
		logger.Sugar().Infow("sugared", "value", value)
	}
	slog.New(slog.NewTextHandler(&buf, nil)).Info("message", "value", value)
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("message", "value", value)
	out.Write(buf.Bytes())
}

func TestDuplicateKeyIsAnErrorInAnyFormat(t *testing.T) {
	for _, texts := range [][]string{{"whsec_AP8=", "whsec_AP8="}, {"whsec_AP8=", "AP8"}} {
		if _, err := standardScheme().Compile(secretsOf(t, texts...), 0); err == nil {
			t.Errorf("%q are accepted as two keys", texts)
		}
	}
}

func TestFingerprintDependsOnTheKeyAndNotOnTheLabel(t *testing.T) {
	identity := func(text, label string) Identity {
		s, err := NewSecret(text, label)
		if err != nil {
			t.Fatal(err)
		}
		v, err := standardScheme().Compile([]Secret{s}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return v.Secrets()[0]
	}
	first := identity("whsec_AP8=", "")
	if first.Label != "1" {
		t.Errorf("the default label is %q", first.Label)
	}
	if other := identity("AP8", "new"); other.Fingerprint != first.Fingerprint || other.Label != "new" {
		t.Error("the format or the label changes the fingerprint")
	}
	if other := identity("AP8A", ""); other.Fingerprint == first.Fingerprint {
		t.Error("two keys have the same fingerprint")
	}
}

func TestSecretsAreEqualOnlyIfEveryByteIs(t *testing.T) {
	s := secretsOf(t, "secret", "secret", "secreT", "secrets")
	if !s[0].Equal(s[1]) || s[0].Equal(s[2]) || s[0].Equal(s[3]) || s[0].Equal(Secret{}) {
		t.Error("Equal is wrong")
	}
	if got := (Secret{}).Reveal(); got != nil {
		t.Errorf("the zero secret is %q", got)
	}
}

func TestPrefixSelectsTheSchemeOfASecret(t *testing.T) {
	ed, shared := standardEd25519(), standardScheme()
	for text, want := range map[string]bool{"whpk_AAAA": true, "whsec_AAAA": false, "AAAA": false, "WHPK_AAAA": false} {
		secret := secretsOf(t, text)[0]
		if ed.Accepts(secret) != want || !shared.Accepts(secret) {
			t.Errorf("%s: %t, %t", text, ed.Accepts(secret), shared.Accepts(secret))
		}
	}
}

func TestMissingSecretIsAnError(t *testing.T) {
	if _, err := githubScheme().Compile(nil, 0); err == nil {
		t.Error("Compile accepts a scheme without a secret")
	}
}
