package caddymodule

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

func TestInvariant02EmptySecretIsAConfigError(t *testing.T) {
	blank := filepath.Join(t.TempDir(), "blank")
	if err := os.WriteFile(blank, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEBHOOK_EMPTY", "")
	t.Setenv("WEBHOOK_BLANK", "  ")
	for name, test := range map[string]struct{ secret, want string }{
		"empty":          {``, "empty"},
		"blank":          {`  `, "empty"},
		"unset variable": {`{env.WEBHOOK_UNSET}`, "{env.WEBHOOK_UNSET}"},
		"empty variable": {`{env.WEBHOOK_EMPTY}`, "{env.WEBHOOK_EMPTY}"},
		"blank variable": {`{env.WEBHOOK_BLANK}`, "{env.WEBHOOK_BLANK}"},
		"missing file":   {`{file./nonexistent/secret}`, "{file./nonexistent/secret}"},
		"blank file":     {`{file.` + blank + `}`, "{file." + blank + "}"},
		"unknown name":   {`{http.request.header.X}`, "{http.request.header.X}"},
		"an unset part":  {`abc{env.WEBHOOK_UNSET}`, "braces"},
	} {
		for _, provider := range []string{"github", "stripe", "slack", "shopify", "standard-webhooks"} {
			t.Run(provider+" "+name, func(t *testing.T) {
				config := `{"provider":{"name":"` + provider + `","secrets":[{"secret":"` + test.secret + `"}]}}`
				trial, err := OpenTrial(quietly(t), json.RawMessage(config), nil)
				if err == nil {
					trial.Close()
					t.Fatal("the config is accepted")
				}
				if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), provider) {
					t.Errorf("unexpected error: %v", err)
				}
			})
		}
	}
}

func TestInvariant02SecretsAppearNowhere(t *testing.T) {
	admin := freeAddress(t)
	c := startCaddy(t, "admin "+admin, siteOf("github", "")+`
	handle_errors {
		respond "{http.error.message} {http.error} {http.verify_webhook.secret} {http.verify_webhook.reason} {http.verify_webhook.key}"
	}`)
	expected := sign(secret, content)
	raw := hmacSHA256(secret, content)
	taboo := []string{secret, expected, strings.ToUpper(expected), base64.StdEncoding.EncodeToString(raw), fmt.Sprint(string(raw))}

	client := client(t, "HTTP/1.1")
	var said strings.Builder
	for _, headers := range [][]string{
		nil,
		{"X-Hub-Signature-256", "sha256=" + strings.Repeat("0", 64)},
		{"X-Hub-Signature-256", "sha256=" + expected[:63] + "g"},
		githubHeaders("1", content), githubHeaders("1", content), githubHeaders("2", content),
	} {
		got := c.send(client, strings.NewReader(content), headers...)
		fmt.Fprintln(&said, got.status, got.header, got.body)
	}
	for _, a := range c.app.arrivals() {
		a.header.Del("X-Hub-Signature-256") // sent by the provider
		fmt.Fprintln(&said, a)
	}
	for _, path := range []string{"/config/", "/metrics"} {
		resp, err := http.Get("http://" + admin + path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&said, readAll(t, resp.Body))
		resp.Body.Close()
	}
	// Caddy's access log contains request headers: ignore the sent values.
	for line := range strings.Lines(c.logged()) {
		if !strings.Contains(line, `"request":{`) {
			said.WriteString(line)
		}
	}
	if !strings.Contains(said.String(), "{env."+secretVariable+"}") {
		t.Fatal("the config was not read")
	}
	for _, word := range taboo {
		if strings.Contains(said.String(), word) {
			t.Errorf("%q appears", word)
		}
	}
}

func TestInvariant03SignatureEncodingDoesNotChangeTheDelivery(t *testing.T) {
	upper := "sha256=" + strings.ToUpper(sign(secret, content))
	b := trial(t, config("github", ""))
	b.expect(t, request(content, "X-Hub-Signature-256", "sha256="+sign(secret, content)), Verified, 200)
	b.expect(t, request(content, "X-Hub-Signature-256", upper), Duplicate, 200)
}

func TestInvariant03NonCanonicalEncodingsAreRejected(t *testing.T) {
	hexadecimal := sign(secret, content)
	for name, value := range map[string]string{
		"no prefix": hexadecimal, "another prefix": "sha1=" + hexadecimal, "prefix in capitals": "SHA256=" + hexadecimal,
		"short": "sha256=" + hexadecimal[:62], "long": "sha256=" + hexadecimal + "00", "odd": "sha256=" + hexadecimal[:63],
		"space inside": "sha256= " + hexadecimal, "not hex": "sha256=" + hexadecimal[:62] + "zz", "empty": "sha256=",
		"base64": "sha256=" + sign64(secret, content), "twice in one": "sha256=" + hexadecimal + ",sha256=" + hexadecimal,
	} {
		t.Run("github "+name, func(t *testing.T) {
			if got := trial(t, config("github", "")).Send(request(content, "X-Hub-Signature-256", value)); got.Reached || got.Status/100 != 4 {
				t.Errorf("%s, status %d", got.Outcome, got.Status)
			}
		})
	}
	standard := sign64(secret, content)
	stray := standard[:42] + string(rune(standard[42]+1)) + "=" // changes bits that lenient decoders ignore
	for name, value := range map[string]string{
		"unpadded": strings.TrimRight(standard, "="), "URL-safe": strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(standard),
		"line break": standard[:20] + "\r\n" + standard[20:], "stray bits": stray, "more padding": standard + "=", "hex": sign(secret, content),
	} {
		t.Run("shopify "+name, func(t *testing.T) {
			r := request(content)
			r.Header["X-Shopify-Hmac-Sha256"] = []string{value}
			if got := trial(t, config("shopify", "")).Send(r); got.Reached || got.Status/100 != 4 {
				t.Errorf("%s, status %d", got.Outcome, got.Status)
			}
		})
	}
}

func TestInvariant04DuplicateSignatureHeaderIsRefused(t *testing.T) {
	good, bad := "sha256="+sign(secret, content), "sha256="+sign("another", content)
	for _, pair := range [][2]string{{good, bad}, {bad, good}, {good, good}} {
		got := trial(t, config("github", "")).Send(request(content, "X-Hub-Signature-256", pair[0], "X-Hub-Signature-256", pair[1]))
		if got.Reached || got.Status/100 != 4 {
			t.Errorf("%s, status %d", got.Outcome, got.Status)
		}
	}
}

func TestInvariant04OtherDuplicateHeaderIsRefused(t *testing.T) {
	for _, name := range []string{"X-GitHub-Delivery", "X-GitHub-Event"} {
		r := github("1", content)
		r.Header.Add(name, "other")
		if got := trial(t, config("github", "")).Send(r); got.Reached {
			t.Errorf("two headers %s: %s", name, got.Outcome)
		}
	}
}

func TestInvariant04AddedStripeSignaturesDoNotCount(t *testing.T) {
	at := strconv.FormatInt(present.Unix(), 10)
	good, bad := sign(secret, at+"."+content), sign("another", at+"."+content)
	for value, want := range map[string]Outcome{
		"t=" + at + ",v1=" + bad + ",v1=" + good:               Verified, // rotation
		"t=" + at + ",v1=" + bad:                               InvalidSignature,
		"t=" + at + ",v0=" + good:                              MissingSignature,
		"t=" + at + ",t=" + at + ",v1=" + good:                 Malformed,
		"t=" + at + ",t=1600000000,v1=" + good:                 Malformed,
		"v1=" + good:                                           Malformed,
		"t=" + at + ",v1=" + good[:63]:                         Malformed,
		"t=" + strconv.Itoa(1700000001) + ",v1=" + good:        InvalidSignature,
		"t=" + at + ",v1=" + sign(secret, "0."+content) + ",x": InvalidSignature,
	} {
		got := trial(t, config("stripe", "")).Send(request(content, "Stripe-Signature", value))
		if got.Outcome != want && (want != Malformed || got.Status/100 != 4) {
			t.Errorf("%s: %s (%s), want %s", value, got.Outcome, got.Reason, want)
		}
	}
}

func TestInvariant05WeakerAlgorithmIsNeverAccepted(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"GitHub's SHA-1":  request(content, "X-Hub-Signature", "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"),
		"a named one":     request(content, "X-Hub-Signature-256", "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"),
		"none":            request(content, "X-Hub-Signature-256", "none="),
		"the empty value": request(content, "X-Hub-Signature-256", ""),
	} {
		if got := trial(t, config("github", "")).Send(r); got.Reached || got.Status/100 != 4 {
			t.Errorf("%s: %s, status %d", name, got.Outcome, got.Status)
		}
	}
}

func TestInvariant06InvalidOrDistantTimestampsAreRefused(t *testing.T) {
	for at, want := range map[string]Outcome{
		"1700000000": Verified, "1699999700": Verified, "1700000300": Verified,
		"1699999699": Stale, "1700000301": Stale, "0": Stale, "1": Stale, "9999999999": Stale,
		"-1700000000": Malformed, "+1700000000": Malformed, "1700000000.0": Malformed, "17e8": Malformed, "": Malformed,
		"0x6553f100": Malformed, " 1700000000": Malformed, "١٧٠٠٠٠٠٠٠٠": Malformed,
		"1700000000000": Stale, "18446744073709551616": Malformed, "18446745773709551616": Malformed, "9223372036854775808": Malformed,
	} {
		got := trial(t, config("stripe", "")).Send(request(content, "Stripe-Signature", "t="+at+",v1="+sign(secret, at+"."+content)))
		if want == Verified {
			if got.Outcome != Verified {
				t.Errorf("t=%s: %s (%s)", at, got.Outcome, got.Reason)
			}
			continue
		}
		if got.Reached || got.Status/100 != 4 {
			t.Errorf("t=%s: %s, status %d", at, got.Outcome, got.Status)
		}
	}
}

// countingStore counts its calls.
type countingStore struct {
	Store
	calls int
}

func (s *countingStore) Claim(context.Context, replay.Keys, replay.Owner, time.Duration) (replay.Verdict, error) {
	s.calls++
	return 0, errors.New("unexpected call")
}

func TestInvariant09UnsignedRequestsUseNeitherStoreNorMemory(t *testing.T) {
	b := trial(t, config("github", ""))
	store := &countingStore{Store: b.handler.store}
	b.handler.store = store
	for range 100 {
		b.expect(t, request(content), MissingSignature, 401)
		b.expect(t, request(content, "X-Hub-Signature-256", "sha256="+sign("another", content)), InvalidSignature, 401)
	}
	if memory, disk := b.handler.app.budget.InUse(); store.calls+int(memory)+int(disk) != 0 {
		t.Errorf("%d calls to the store, %d bytes of memory and %d of disk", store.calls, memory, disk)
	}
}

func TestInvariant09TotalSizeOfBodiesIsBounded(t *testing.T) {
	b := trial(t, config("github", ""))
	b.handler.app.budget = body.NewBudget(8<<10, 0)
	release, working := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			b.run(github(strconv.Itoa(i), content+strconv.Itoa(i)), func(http.ResponseWriter, *http.Request) error {
				working <- struct{}{}
				<-release
				return nil
			})
		})
		<-working
	}
	b.expect(t, github("3", content+"3"), Overloaded, 503)
	close(release)
	wg.Wait()
	b.expect(t, github("3", content+"3"), Verified, 200)
}

func TestInvariant09FullStoreRefusesAndForgetsNothing(t *testing.T) {
	b := trial(t, config("github", `"replay":{"store":{"type":"memory","name":"full","max_entries":2}}`))
	b.expect(t, github("1", content), Verified, 200) // stores two keys
	b.expect(t, github("2", content+"2"), StoreUnavailable, 503)
	b.expect(t, github("1", content), Duplicate, 200)
	b.expect(t, github("3", content), Replayed, 200)
}

func TestInvariant10BodyReadsFailAfterTheHandlerHasReturned(t *testing.T) {
	b := trial(t, config("github", ""))
	var late io.ReadCloser
	var again func() (io.ReadCloser, error)
	b.run(github("1", content), func(_ http.ResponseWriter, r *http.Request) error {
		late, again = r.Body, r.GetBody
		var first [5]byte
		_, err := io.ReadFull(r.Body, first[:])
		return err
	})
	// Another delivery may use the buffer now.
	b.expect(t, github("2", strings.Repeat("x", len(content))), Verified, 200)
	if p, err := io.ReadAll(late); len(p) != 0 || !errors.Is(err, body.ErrClosed) {
		t.Errorf("a late reader got %q, %v", p, err)
	}
	late, err := again()
	if err != nil {
		t.Fatal(err)
	}
	if p, err := io.ReadAll(late); len(p) != 0 || !errors.Is(err, body.ErrClosed) {
		t.Errorf("a late GetBody got %q, %v", p, err)
	}
	if memory, _ := b.handler.app.budget.InUse(); memory != 0 {
		t.Errorf("%d bytes are not released", memory)
	}
}

// A transport can read after the handler has returned. It must get bytes of its
// own delivery, or an error.
func TestInvariant10LateReadsNeverGetAnotherDelivery(t *testing.T) {
	b := trial(t, config("github", ""))
	var wg sync.WaitGroup
	for i := range 200 {
		content := strings.Repeat(strconv.Itoa(i%10), 5000)
		b.run(github(strconv.Itoa(i), strconv.Itoa(i)+content), func(_ http.ResponseWriter, r *http.Request) error {
			wg.Go(func() {
				p, _ := io.ReadAll(r.Body)
				if !strings.HasPrefix(strconv.Itoa(i)+content, string(p)) {
					t.Errorf("delivery %d reads %.20q", i, p)
				}
			})
			return nil
		})
	}
	wg.Wait()
}
