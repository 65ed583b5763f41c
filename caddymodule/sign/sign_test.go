package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody"  // the directive request_body
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy" // the directive reverse_proxy
	_ "github.com/caddyserver/caddy/v2/modules/logging"                // the log encoders

	_ "github.com/verify-webhook/caddy-verify-webhook/caddymodule/store" // the replay stores
	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"         // the presets
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	_ "github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redial" // a reload resets connections
)

const (
	githubSecret = "It's a Secret to Everybody"
	first        = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	second       = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

var seed = bytes.Repeat([]byte{7}, ed25519.SeedSize)

func TestMain(m *testing.M) {
	if err := os.Setenv("SIGN_TEST_GITHUB", githubSecret); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// site is a Caddy instance in this process that signs deliveries for an app.
type site struct {
	t       *testing.T
	address string
	log     string
	app     *httptest.Server

	mu       sync.Mutex
	requests []received
	response int
}

type received struct {
	header http.Header
	body   []byte
}

// start runs a Caddy instance with the given directives between verify_webhook
// and reverse_proxy, and the given options of verify_webhook.
func start(t *testing.T, options, directives string) *site {
	t.Helper()
	s := &site{t: t, log: filepath.Join(t.TempDir(), "caddy.log"), address: process.Address(t), response: 200}
	s.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, received{r.Header.Clone(), body})
		w.WriteHeader(s.response)
	}))
	t.Cleanup(s.app.Close)
	s.load(fmt.Sprintf("verify_webhook github {env.SIGN_TEST_GITHUB} {\nreplay {\nstore memory\n}\n%s\n}\n%s", options, directives))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) load(directives string) {
	s.t.Helper()
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	grace_period 100ms
	log default {
		output file %s
		format json
	}
}
http://%s {
	%s
	reverse_proxy %s
}`, s.log, s.address, directives, s.app.Listener.Addr())
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		s.t.Fatal(err)
	}
}

// send sends a GitHub delivery and returns the status.
func (s *site) send(id, body string, header http.Header) int {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.address+"/in", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(githubSecret))
	mac.Write([]byte(body))
	if id != "" {
		r.Header.Set("X-GitHub-Delivery", id)
	}
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	maps.Copy(r.Header, header)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// arrived returns the only request that reached the app since the last call.
func (s *site) arrived() received {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) != 1 {
		s.t.Fatalf("%d requests reached the app, want 1", len(s.requests))
	}
	r := s.requests[0]
	s.requests = nil
	return r
}

// signedWith checks a v1 signature against the specification, independently of
// the code under test.
func (r received) signedWith(secret string) bool {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write(r.signed())
	return r.has("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func (r received) signed() []byte {
	return append([]byte(r.header.Get("webhook-id")+"."+r.header.Get("webhook-timestamp")+"."), r.body...)
}

func (r received) has(signature string) bool {
	return slices.Contains(strings.Split(r.header.Get("webhook-signature"), " "), signature)
}

func TestADeliveryIsSignedAsStandardWebhooksSays(t *testing.T) {
	s := start(t, "", "webhook_sign "+first)
	for name, body := range map[string]string{
		"a short body":        `{"action":"opened"}`,
		"an empty body":       "",
		"any bytes":           "\x00\xff.\r\n",
		"a body on disk":      strings.Repeat("x", 3<<20),
		"dots, as separators": "1.2.3",
	} {
		t.Run(name, func(t *testing.T) {
			if status := s.send(name, body, nil); status != 200 {
				t.Fatalf("status %d", status)
			}
			got := s.arrived()
			if string(got.body) != body {
				t.Errorf("the app received a different body of %d bytes", len(got.body))
			}
			if !got.signedWith(first) {
				t.Errorf("the signature is %q", got.header.Get("webhook-signature"))
			}
			if id := got.header.Get("webhook-id"); id == "" || id != got.header.Get("webhook-verified-key") {
				t.Errorf("webhook-id is %q, the key %q", id, got.header.Get("webhook-verified-key"))
			}
			sent, err := strconv.ParseInt(got.header.Get("webhook-timestamp"), 10, 64)
			if age := time.Since(time.Unix(sent, 0)); err != nil || age < -time.Minute || age > time.Minute {
				t.Errorf("webhook-timestamp is %q", got.header.Get("webhook-timestamp"))
			}
		})
	}
}

func TestARetryHasTheSameID(t *testing.T) {
	s := start(t, "", "webhook_sign "+first)
	s.response = 500
	s.send("1", "body", nil)
	one := s.arrived()
	s.send("1", "body", nil)
	if two := s.arrived(); one.header.Get("webhook-id") != two.header.Get("webhook-id") {
		t.Errorf("the ID of the retry is %q, was %q", two.header.Get("webhook-id"), one.header.Get("webhook-id"))
	}
}

func TestADeliveryThatCannotBeDistinguishedFromACopyHasAUniqueID(t *testing.T) {
	s := start(t, "", "")
	s.load("verify_webhook github {env.SIGN_TEST_GITHUB} {\nreplay {\nstore memory\ncontent repeats\n}\n}\nwebhook_sign " + first)
	s.send("", "body", nil)
	one := s.arrived()
	s.send("", "body", nil)
	two := s.arrived()
	if a, b := one.header.Get("webhook-id"), two.header.Get("webhook-id"); a == "" || a == b {
		t.Errorf("the IDs are %q and %q", a, b)
	}
	if !one.signedWith(first) {
		t.Error("the delivery is not signed")
	}
}

func TestSeveralSecretsEachAddASignature(t *testing.T) {
	private := "whsk_" + base64.StdEncoding.EncodeToString(seed)
	s := start(t, "", fmt.Sprintf("webhook_sign {\nsecret %s\nsecret %s older\nsecret %s\n}", first, second, private))
	s.send("1", "body", nil)
	got := s.arrived()
	if !got.signedWith(first) || !got.signedWith(second) {
		t.Errorf("the signature is %q", got.header.Get("webhook-signature"))
	}
	for text := range strings.SplitSeq(got.header.Get("webhook-signature"), " ") {
		if encoded, ok := strings.CutPrefix(text, "v1a,"); ok {
			sig, err := base64.StdEncoding.DecodeString(encoded)
			public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
			if err != nil || !ed25519.Verify(public, got.signed(), sig) {
				t.Errorf("the Ed25519 signature is %q", text)
			}
			return
		}
	}
	t.Error("missing Ed25519 signature")
}

func TestClientSuppliedSignatureHeadersAreStripped(t *testing.T) {
	s := start(t, "", "webhook_sign "+first)
	s.send("1", "body", http.Header{
		"Webhook-Id": {"forged"}, "Webhook-Timestamp": {"1"}, "Webhook-Signature": {"v1,forged", "v1,again"},
		"Webhook_Signature": {"v1,forged"}, "webhook.id": {"forged"}, "Webhook-Anything": {"forged"}, "Webhooks": {"stays"},
	})
	got := s.arrived()
	if !got.signedWith(first) {
		t.Errorf("the signature is %q", got.header.Get("webhook-signature"))
	}
	for name, values := range got.header {
		if strings.Contains(strings.Join(values, " "), "forged") {
			t.Errorf("%s: %q reached the app", name, values)
		}
	}
	if got.header.Get("Webhooks") != "stays" || got.header.Get("Webhook-Verified-Provider") != "github" {
		t.Errorf("the headers are %v", got.header)
	}
}

func TestOnlyVerifiedDeliveriesAreSigned(t *testing.T) {
	forged := http.Header{"X-Hub-Signature-256": {"sha256=" + strings.Repeat("0", 64)}}
	for name, options := range map[string]string{"monitor": "mode monitor", "enforce": ""} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options, "webhook_sign "+first)
			if status := s.send("1", "body", forged); status < 400 {
				t.Errorf("status %d", status)
			}
			if len(s.requests) != 0 {
				t.Error("the delivery reached the app")
			}
		})
	}
	t.Run("without verify_webhook", func(t *testing.T) {
		s := start(t, "", "")
		s.load("webhook_sign " + first)
		if status := s.send("1", "body", nil); status != 503 {
			t.Errorf("status %d", status)
		}
		log, err := os.ReadFile(s.log)
		if err != nil || !strings.Contains(string(log), "write verify_webhook before webhook_sign") {
			t.Errorf("the log does not contain the advice: %v", err)
		}
		if strings.Contains(string(log), first) {
			t.Error("the secret is in the log")
		}
	})
}

func TestASecretFileIsReloadedWhenItChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(first)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		defer cancel()
		h := new(Handler)
		if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("webhook_sign {file." + file + "}")); err != nil {
			t.Fatal(err)
		}
		if err := h.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		signed := func() received {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
			if err := h.sign(r, "1"); err != nil {
				t.Fatal(err)
			}
			return received{r.Header, []byte("body")}
		}
		for _, step := range []struct{ file, secret string }{{first, first}, {second, second}, {"", second}, {"whsec_c2hvcnQ=", second}, {first, first}} {
			write(step.file)
			time.Sleep(time.Minute)
			if !signed().signedWith(step.secret) {
				t.Errorf("with %q in the file, the delivery is not signed with %s", step.file, step.secret)
			}
		}
	})
}

func TestInvalidSecretsAreErrors(t *testing.T) {
	long := base64.StdEncoding.EncodeToString(make([]byte, 65))
	for text, want := range map[string]string{
		"webhook_sign":                                  "write `webhook_sign {env.NAME}`",
		"webhook_sign {env.SIGN_TEST_UNSET}":            "SIGN_TEST_UNSET",
		"webhook_sign whsec_not-base64!":                "not base64",
		"webhook_sign whsec_c2hvcnQ=":                   "it has 5 bytes",
		"webhook_sign whsec_" + long:                    "it has 65 bytes",
		"webhook_sign whsk_c2hvcnQ=":                    "decodes to 5 bytes",
		"webhook_sign whpk_" + long:                     "whsk_",
		"webhook_sign whsk_" + long[:len(long)-4] + "A": "not base64",
		"webhook_sign {\nsecret\n}":                     "write, for example, secret {env.NAME}",
		"webhook_sign {\nsecret \"\"\n}":                "empty secret",
		"webhook_sign {\nsecrets x\n}":                  "did you mean secret",
		"webhook_sign " + first + " more":               "too many arguments",
	} {
		t.Run(text, func(t *testing.T) {
			ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
			defer cancel()
			h := new(Handler)
			err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
			if err == nil {
				err = h.Provision(ctx)
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want it to contain %q", err, want)
			}
			if err != nil && strings.Contains(err.Error(), "c2hvcnQ") {
				t.Errorf("the secret is in the error %v", err)
			}
		})
	}
}

func TestABodyThatAnotherHandlerHasReplacedIsNotSigned(t *testing.T) {
	private := "whsk_" + base64.StdEncoding.EncodeToString(seed)
	for name, secret := range map[string]string{"hmac": first, "ed25519": private} {
		t.Run(name, func(t *testing.T) {
			s := start(t, "", "route {\nrequest_body {\nset another-one\n}\nwebhook_sign "+secret+"\n}")
			if status := s.send("1", "body", nil); status != 503 {
				t.Errorf("status %d", status)
			}
			if len(s.requests) != 0 {
				t.Error("the delivery reached the app")
			}
		})
	}
}

func TestABodyThatCannotBeReadAgainIsNotSigned(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	h := new(Handler)
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("webhook_sign " + first)); err != nil {
		t.Fatal(err)
	}
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.sign(httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body")), "1"); err == nil {
		t.Error("no error")
	}
}
