package command

import (
	"bufio"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSignPrintsHowToConfigureTheReceiver(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want []string // on standard error; nothing if empty
	}{
		{"a secret", []string{"github"}, []string{"generated for this delivery; configure the receiver with the secret:\n"}},
		{"a public key", []string{"telnyx"}, []string{"generated for this delivery; configure the receiver with the public key:\n"}},
		{"a key with a name", []string{"pusher"}, []string{"generated for this delivery; configure the receiver with:\nverify_webhook pusher {\n\tsecret "}},
		{"a published key", []string{"plaid"}, []string{"verify_webhook plaid {\n\tsecret `-----BEGIN PUBLIC KEY-----"}},
		{"a certificate", []string{"aws-sns"}, []string{"\ttopic arn:aws:sns:us-east-1:123456789012:example\n\tcertificate `-----BEGIN CERTIFICATE-----"}},
		{"a certificate with its root", []string{"paypal"}, []string{"\twebhook_id ", "\tcertificate `-----BEGIN", "\troot `-----BEGIN"}},
		{"own options", []string{"paypal", "--options", `{"webhook_id":"WH-MINE"}`}, []string{"\twebhook_id WH-MINE\n"}},
		{"a given secret", []string{"github", "--secret", "one"}, nil},
		{"a given secret without a name", []string{"worldline", "--secret", "one"}, []string{"choose another with --label"}},
		{"a given secret with a name", []string{"worldline", "--secret", "one", "--label", "key-1"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, errOut, err := run(t, signCommand(), "", test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(out))); err != nil {
				t.Errorf("not HTTP: %v\n%s", err, out)
			}
			for _, want := range test.want {
				if !strings.Contains(errOut, want) {
					t.Errorf("got %q, want %q", errOut, want)
				}
			}
			if len(test.want) == 0 && errOut != "" {
				t.Errorf("got %q, want nothing", errOut)
			}
		})
	}
}

func TestSignSendsTheKeyIDIfTheProviderDoes(t *testing.T) {
	for name, header := range map[string]string{"pusher": "X-Pusher-Key: key-1", "worldline": "X-Gcs-Keyid: key-1", "ably": "X-Ably-Key: key-1"} {
		out, _, err := run(t, signCommand(), "", name, "--secret", "one", "--label", "key-1")
		if err != nil || !strings.Contains(out, header) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestGeneratedKeyCanBeSavedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if _, _, err := run(t, signCommand(), "", "plaid", "--save-key", path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, _, err := run(t, signCommand(), "", "plaid", "--private-key", path); err != nil {
		t.Error(err)
	}
	for want, args := range map[string][]string{
		"file exists":                       {"plaid", "--save-key", path},
		"--save-key needs a generated key":  {"github", "--secret", "one", "--save-key", path + "2"},
		"saving the key: open /no/such/dir": {"github", "--save-key", "/no/such/dir/key"},
	} {
		if _, _, err := run(t, signCommand(), "", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", args, err, want)
		}
	}
}
