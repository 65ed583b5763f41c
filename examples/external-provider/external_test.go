package external

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/verify-webhook/caddy-verify-webhook"
)

// sender sends deliveries of one provider, each with different content.
type sender struct {
	url  string
	sign func(secret, body string) http.Header
	n    int
}

// send sends a new delivery and returns the status.
func (s *sender) send(t *testing.T, secret string) int {
	t.Helper()
	s.n++
	return s.post(t, secret, fmt.Sprintf(`{"id":%d,"type":"order.paid"}`, s.n))
}

func (s *sender) post(t *testing.T, secret, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = s.sign(secret, body)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func signAcme(secret, body string) http.Header {
	at := fmt.Sprint(time.Now().Unix())
	return http.Header{
		"X-Acme-Timestamp": {at}, "X-Acme-Delivery": {"d-" + body},
		"X-Acme-Signature": {"v1=" + hex.EncodeToString(mac([]byte(secret), at+"."+body))},
	}
}

func signGlobex(secret, body string) http.Header {
	return http.Header{"X-Globex-Id": {"d-" + body}, "X-Globex-Signature": {hex.EncodeToString(mac(mac([]byte(secret), "us"), body))}}
}

// freeAddress returns an address with a free port.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs Caddy with both providers in front of an app. It returns the URL and a
// counter of the requests that reach the app.
func start(t *testing.T, secretFile string) (url string, reached *atomic.Int64) {
	t.Helper()
	reached = new(atomic.Int64)
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(app.Close)
	address := freeAddress(t)
	text := fmt.Sprintf(`{
		admin off
		auto_https off
		persist_config off
		verify_webhook {
			store memory
		}
	}
	http://%[1]s {
		handle /acme {
			verify_webhook acme {file.%[2]s} {
				namespace acme
			}
			reverse_proxy %[3]s
		}
		handle /globex {
			verify_webhook globex {file.%[2]s} {
				region us
				namespace globex
			}
			reverse_proxy %[3]s
		}
	}`, address, secretFile, app.Listener.Addr())
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	return "http://" + address, reached
}

// until calls f until it returns true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatal("timed out after a minute: " + what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestProvidersOfAnotherModuleVerifyAndRotate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(secret string) {
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("the first secret of the provider")
	url, reached := start(t, file)
	senders := map[string]*sender{"acme": {url: url + "/acme", sign: signAcme}, "globex": {url: url + "/globex", sign: signGlobex}}
	for name, s := range senders {
		before := reached.Load()
		if got := s.send(t, "the first secret of the provider"); got != http.StatusOK || reached.Load() != before+1 {
			t.Errorf("%s: a genuine delivery: status %d, %d reached the app", name, got, reached.Load()-before)
		}
		if got := s.post(t, "the first secret of the provider", fmt.Sprintf(`{"id":%d,"type":"order.paid"}`, s.n)); got != http.StatusOK || reached.Load() != before+1 {
			t.Errorf("%s: a copy: status %d, %d reached the app", name, got, reached.Load()-before)
		}
		if got := s.send(t, "another secret"); got != http.StatusUnauthorized || reached.Load() != before+1 {
			t.Errorf("%s: a forged delivery: status %d, %d reached the app", name, got, reached.Load()-before)
		}
	}

	write("the second secret of the provider, with a different length")
	for name, s := range senders {
		until(t, name+" uses the new secret", func() bool {
			return s.send(t, "the second secret of the provider, with a different length") == http.StatusOK
		})
		if got := s.send(t, "the first secret of the provider"); got != http.StatusUnauthorized {
			t.Errorf("%s: signed with the old secret: status %d", name, got)
		}
	}
}
