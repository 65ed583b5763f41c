package catalogue

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// parse parses the Caddyfile segment of a provider.
func parse(t *testing.T, name, text string) (caddy.Module, error) {
	t.Helper()
	info, err := caddy.GetModule(provider.Namespace + "." + name)
	if err != nil {
		t.Fatal(err)
	}
	m := info.New()
	return m, m.(caddyfile.Unmarshaler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func TestPresetOptionsInTheCaddyfile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       provider.PresetOptions
	}{
		{"hubspot", "hubspot s {\n scheme v2\n}", provider.PresetOptions{Scheme: "v2"}},
		{"meta", "meta s {\n verify_token {env.TOKEN}\n}", provider.PresetOptions{VerifyToken: "{env.TOKEN}"}},
		{"okta", "okta s {\n header X-Okta\n}", provider.PresetOptions{Header: "X-Okta"}},
		{"aws-sns", "aws-sns {\n topic arn:1 arn:2\n topic arn:3\n accept_handshake\n}", provider.PresetOptions{Topics: []string{"arn:1", "arn:2", "arn:3"}, AcceptHandshake: true}},
		{"paypal", "paypal {\n webhook_id W\n environment sandbox\n}", provider.PresetOptions{WebhookID: "W", Environment: "sandbox"}},
	} {
		m, err := parse(t, c.name, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := m.(*provider.Module).PresetOptions; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v", c.text, got)
		}
	}
}

func TestInvalidCaddyfileOptionsAreRejected(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"github", "github s {\n scheme v2\n}", "unrecognized option"},
		{"github", "github s {\n topic x\n}", "unrecognized option"},
		{"hubspot", "hubspot s {\n scheme v2\n scheme v3\n}", "duplicate option: scheme"},
		{"hubspot", "hubspot s {\n scheme\n}", "missing value"},
		{"hubspot", "hubspot s {\n scheme v2 v3\n}", "too many arguments"},
		{"aws-sns", "aws-sns {\n accept_handshake yes\n}", "too many arguments"},
		{"aws-sns", "aws-sns {\n topic\n}", "missing value"},
	} {
		if _, err := parse(t, c.name, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.text, err, c.want)
		}
	}
}

func TestProvisioningErrorsSayWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		name, secret string
		set          provider.PresetOptions
		want         string
	}{
		{"github", "s", provider.PresetOptions{Scheme: "x"}, "scheme is not an option"},
		{"hubspot", "s", provider.PresetOptions{Scheme: "v9"}, `unrecognized scheme: v9; write v3 or v2 or v1`},
		{"github", "", provider.PresetOptions{}, "missing secret"},
		{"aws-sns", "", provider.PresetOptions{}, "write `topic"},
		{"aws-sns", "", provider.PresetOptions{Topics: []string{"MyTopic"}}, "not the ARN"},
		{"plaid", "", provider.PresetOptions{}, "client_id and client_secret"},
		{"plaid", "", provider.PresetOptions{JWKS: "x"}, "not a JSON Web Key Set"},
		{"paypal", "", provider.PresetOptions{WebhookID: "W", Environment: "test"}, "production or sandbox"},
		{"paypal", "", provider.PresetOptions{WebhookID: "W", Roots: []string{"x"}}, "missing certificate in PEM"},
		{"meta", "s", provider.PresetOptions{VerifyToken: "{env.NOT_SET_ANYWHERE}"}, "unset"},
		{"rfc9421", "s", provider.PresetOptions{}, "ALGORITHM:KEY"},
		{"google-pubsub", "", provider.PresetOptions{Audience: "a"}, "write `service_account"},
		{"adyen", "not hex", provider.PresetOptions{}, "not valid hex"},
	} {
		_, err := trySetUp(c.name, c.secret, c.set)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %+v: got %v, want %q", c.name, c.set, err, c.want)
		}
		if err != nil && c.secret != "" && len(c.secret) > 1 && strings.Contains(err.Error(), c.secret) {
			t.Errorf("%s: the error quotes the secret: %v", c.name, err)
		}
	}
}

func TestCustomCaddyfileSetsEveryField(t *testing.T) {
	m, err := parse(t, "custom", `custom s {
		algorithm hmac-sha256
		key hex prefix k_
		signature header X-Sig base64 prefix v1= prefix_optional repeated spaces separator , assign = element v1
		signed "{timestamp}.{body_inflated}"
		timestamp header X-Time iso8601
		id header X-Id
		event json type
		action json action
		key_id header X-Key
		when method post method PUT content_type application/json
		require X-Version 1
		refuse_empty
		json_body
		refuse_query a b
	}`)
	if err != nil {
		t.Fatal(err)
	}
	want := signature.Scheme{
		Algorithm: signature.HMACSHA256,
		Key:       signature.KeyFormat{Encoding: "hex", Prefix: "k_"},
		Signature: signature.SignatureField{Field: inHeader("X-Sig"), Encoding: signature.Base64, Prefix: "v1=", PrefixOptional: true, Repeated: true, Spaces: true, Separator: ",", Assign: "=", Element: "v1"},
		Signed:    "{timestamp}.{body_inflated}",
		Timestamp: &signature.TimestampField{Field: inHeader("X-Time"), Format: "iso8601"},
		ID:        new(inHeader("X-Id")), Event: new(inJSON("type")), Action: new(inJSON("action")), KeyID: new(inHeader("X-Key")),
		When:        &signature.Condition{Methods: []string{"POST", "PUT"}, ContentType: "application/json"},
		Require:     map[string]string{"X-Version": "1"},
		RefuseEmpty: true, JSONBody: true, RefuseQuery: []string{"a", "b"},
	}
	if got := m.(*provider.Custom).Scheme; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestDeclarativePresetsCanBeWrittenAsCustom: the custom provider supports every
// field that declarative presets use.
func TestDeclarativePresetsCanBeWrittenAsCustom(t *testing.T) {
	for _, p := range provider.Presets() {
		if p.Code != nil || p.Values != nil || len(p.Families) > 0 {
			continue
		}
		for _, s := range p.Schemes {
			s.Signature.Layout = "" // used only for signing
			raw, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			var custom provider.Custom
			if err := caddy.StrictUnmarshalJSON(raw, &custom); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			} else if !reflect.DeepEqual(custom.Scheme, s) {
				t.Errorf("%s: got %+v, want %+v", p.Name, custom.Scheme, s)
			}
		}
	}
}
