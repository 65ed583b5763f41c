package keyfetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// host is a name in the certificate of httptest.
const host = "example.com"

// published is a provider's server, reached as https://example.com.
type published struct {
	*Fetcher
	clock    time.Time
	requests atomic.Int32
}

// publish starts a server. If trusted is set, its certificate is trusted.
func publish(t *testing.T, trusted bool, answer http.HandlerFunc) *published {
	t.Helper()
	p := &published{clock: time.Unix(1760000000, 0)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		answer(w, r)
	}))
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	if trusted {
		roots.AddCert(server.Certificate())
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
	p.Fetcher = New(transport, host)
	p.cache().now = func() time.Time { return p.clock }
	return p
}

func (p *published) cache() *cache { return p.caches[host] }

// wait returns when no fetch is in progress.
func (p *published) wait() {
	c := p.cache()
	for {
		c.mu.Lock()
		var running chan struct{}
		for _, running = range c.running {
			break
		}
		c.mu.Unlock()
		if running == nil {
			return
		}
		<-running
	}
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

func (p *published) get(t *testing.T, path string) (string, error) {
	t.Helper()
	body, err := p.Get(t.Context(), Request{URL: "https://" + host + path})
	return string(body), err
}

func (p *published) wantRequests(t *testing.T, n int32) {
	t.Helper()
	if got := p.requests.Load(); got != n {
		t.Errorf("%d requests were made, want %d", got, n)
	}
}

func TestDocumentIsFetchedOnceADay(t *testing.T) {
	p := publish(t, true, text("keys"))
	for range 3 {
		if body, err := p.get(t, "/keys"); err != nil || body != "keys" {
			t.Fatalf("got %q, %v", body, err)
		}
	}
	p.wantRequests(t, 1)
	p.clock = p.clock.Add(fresh)
	_, _ = p.get(t, "/keys")
	p.wantRequests(t, 2)
}

func TestInvariant15OnlyDocumentedHostsAreContactedOverTLS(t *testing.T) {
	p := publish(t, true, text("keys"))
	for _, address := range []string{
		"http://example.com/keys", "https://example.com:8443/keys", "https://user@example.com/keys", "https://example.org/keys",
		"https://example.com.evil.test/keys", "https://evil.test/https://example.com", "file:///etc/passwd", "//example.com/keys", "",
	} {
		if _, err := p.Get(t.Context(), Request{URL: address}); err == nil {
			t.Errorf("%q was fetched", address)
		}
	}
	p.wantRequests(t, 0)
}

func TestUntrustedCertificateIsAnError(t *testing.T) {
	p := publish(t, false, text("keys"))
	if _, err := p.get(t, "/keys"); err == nil {
		t.Error("fetched from a server with an untrusted certificate")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	p := publish(t, true, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	var status *StatusError
	if _, err := p.get(t, "/keys"); !errors.As(err, &status) || status.Status != http.StatusFound {
		t.Errorf("got %v", err)
	}
	p.wantRequests(t, 1)
}

func TestInvariant15DocumentSizeIsBounded(t *testing.T) {
	p := publish(t, true, text(strings.Repeat("k", maxSize+1)))
	if _, err := p.get(t, "/keys"); err == nil {
		t.Error("a document over the limit was accepted")
	}
}

func TestFailuresAreCachedForAMinute(t *testing.T) {
	p := publish(t, true, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	for range 3 {
		if _, err := p.get(t, "/keys"); err == nil {
			t.Fatal("no error")
		}
	}
	p.wantRequests(t, 1)
	p.clock = p.clock.Add(failed)
	_, _ = p.get(t, "/keys")
	p.wantRequests(t, 2)
}

func TestStaleDocumentIsUsedWhileTheProviderFails(t *testing.T) {
	failing := false
	p := publish(t, true, func(w http.ResponseWriter, _ *http.Request) {
		if failing {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, "keys")
	})
	_, _ = p.get(t, "/keys")
	failing = true
	p.clock = p.clock.Add(fresh)
	_, _ = p.get(t, "/keys") // fails, and the failure is cached
	if body, err := p.get(t, "/keys"); err != nil || body != "keys" {
		t.Errorf("got %q, %v", body, err)
	}
	p.clock = p.clock.Add(stale)
	_, _ = p.get(t, "/keys")
	if _, err := p.get(t, "/keys"); err == nil {
		t.Error("a document from last week is still used")
	}
}

func TestConcurrentRequestsShareOneFetch(t *testing.T) {
	release := make(chan struct{})
	p := publish(t, true, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		fmt.Fprint(w, "keys")
	})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if body, err := p.get(t, "/keys"); err != nil || body != "keys" {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
	close(release)
	all.Wait()
	p.wantRequests(t, 1)
}

func TestWaitingCanBeCanceled(t *testing.T) {
	release := make(chan struct{})
	p := publish(t, true, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Get(ctx, Request{URL: "https://" + host + "/keys"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownNamesAreFetchedAtABoundedRate(t *testing.T) {
	p := publish(t, true, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	for i := range 1000 {
		_, _ = p.get(t, fmt.Sprintf("/unknown/%d", i))
	}
	p.wait()
	p.wantRequests(t, burst)
	p.clock = p.clock.Add(3 * refill)
	_, _ = p.get(t, "/unknown/again")
	p.wait()
	p.wantRequests(t, burst+3)
}

// TestUnknownNamesDoNotBlockGenuineKeys sends many requests of an attacker, each for
// another document that does not exist, between those of a provider.
func TestUnknownNamesDoNotBlockGenuineKeys(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("key fetched before: %t", known), func(t *testing.T) {
			p := publish(t, true, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/genuine" {
					w.WriteHeader(http.StatusNotFound)
				}
			})
			if known {
				if _, err := p.get(t, "/genuine"); err != nil {
					t.Fatal(err)
				}
			}
			flood := 0
			unknown := func(n int) {
				for range n {
					flood++
					_, _ = p.get(t, fmt.Sprintf("/unknown/%d", flood))
				}
			}
			unknown(100) // use up the burst
			tries := 0
			for {
				_, err := p.get(t, "/genuine")
				if tries++; err == nil {
					break
				}
				if !errors.Is(err, ErrBusy) {
					t.Fatal(err)
				}
				if tries > 60 {
					t.Fatal("the genuine key was not fetched within a minute")
				}
				p.clock = p.clock.Add(refill)
				unknown(2)
				p.wait()
			}
			if known && tries > 1 {
				t.Errorf("a known key needed %d attempts", tries)
			}
		})
	}
}

// TestUnknownNamesDoNotEvictKnownKeys also checks that known keys are still
// refreshed.
func TestUnknownNamesDoNotEvictKnownKeys(t *testing.T) {
	p := publish(t, true, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/key") {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	const keys = 5
	for i := range keys {
		if _, err := p.get(t, fmt.Sprintf("/key/%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * maxMissing {
		p.clock = p.clock.Add(refill)
		_, _ = p.get(t, fmt.Sprintf("/unknown/%d", i))
	}
	p.clock = p.clock.Add(fresh)
	for i := range 100 {
		_, _ = p.get(t, fmt.Sprintf("/unknown/again/%d", i))
	}
	for i := range keys {
		if _, err := p.get(t, fmt.Sprintf("/key/%d", i)); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	missing := false
	p := publish(t, true, func(w http.ResponseWriter, _ *http.Request) {
		if missing {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	for i := range 2 * maxKnown {
		p.clock = p.clock.Add(refill)
		_, _ = p.get(t, fmt.Sprintf("/keys/%d", i))
	}
	missing = true
	for i := range 2 * maxMissing {
		p.clock = p.clock.Add(refill)
		_, _ = p.get(t, fmt.Sprintf("/missing/%d", i))
	}
	for i := range 2 * maxWanted {
		_, _ = p.get(t, fmt.Sprintf("/wanted/%d", i))
	}
	c := p.cache()
	for i := range 2 * maxSenders {
		_, _ = p.Get(context.WithValue(t.Context(), SenderKey, fmt.Sprintf("192.0.2.%d", i%256)), Request{URL: fmt.Sprintf("https://%s/sent/%d", host, i)})
		_, _ = p.Get(context.WithValue(t.Context(), SenderKey, fmt.Sprintf("2001:db8:%x::", i)), Request{URL: fmt.Sprintf("https://%s/sent/%d", host, i)})
	}
	if len(c.known) > maxKnown || len(c.missing) > maxMissing || len(c.wanted) > maxWanted || len(c.samples) > maxSenders {
		t.Errorf("%d known, %d missing and %d wanted documents, and samples of %d senders", len(c.known), len(c.missing), len(c.wanted), len(c.samples))
	}
}

// TestRepeatedUnknownNamesDoNotBlockGenuineKeys sends requests of an attacker who
// requests every name several times, more often than the provider has requested the
// name of its key. The genuine key is fetched after a number of its requests that
// grows with the attacker's share of the requests.
func TestRepeatedUnknownNamesDoNotBlockGenuineKeys(t *testing.T) {
	p := publish(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/genuine" {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	const times = 5
	flood := 0
	unknown := func(names int) {
		for range names {
			flood++
			for range times {
				_, _ = p.get(t, fmt.Sprintf("/unknown/%d", flood))
			}
		}
	}
	unknown(2 * maxWanted) // until only names that are requested often are wanted
	const tries = 2000     // 20 requests to one: the expected number is 42
	for range tries {
		_, err := p.get(t, "/genuine")
		if err == nil {
			return
		}
		if !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		p.clock = p.clock.Add(refill)
		unknown(4)
		p.wait()
	}
	t.Errorf("the genuine key was not fetched after %d requests", tries)
}

// TestInvariant12OneSenderDoesNotExcludeTheKeysOfOthers sends a thousand requests of
// one attacker for each of the provider's. Its names
// are requested more often than the genuine one, and new ones replace those that were
// fetched.
func TestInvariant12OneSenderDoesNotExcludeTheKeysOfOthers(t *testing.T) {
	p := publish(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/genuine" {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	genuine := context.WithValue(t.Context(), SenderKey, "198.51.100.7")
	const tries = 100 // each succeeds with a probability of at least 1/4
	for second := range tries {
		for i := range 1000 {
			attacker := context.WithValue(t.Context(), SenderKey, "2001:db8::/64")
			q := Request{Key: fmt.Sprint(second/60, i%100), URL: "https://" + host + "/unknown", MaxAge: fresh}
			if _, _, err := p.cache().lookUp(attacker, q); err != nil && !errors.Is(err, ErrBusy) {
				if status := (*StatusError)(nil); !errors.As(err, &status) {
					t.Fatal(err)
				}
			}
		}
		if _, err := p.Get(genuine, Request{URL: "https://" + host + "/genuine"}); err == nil {
			return
		}
		p.wait()
		p.clock = p.clock.Add(refill)
	}
	t.Errorf("the genuine key was not fetched after %d requests", tries)
}

// TestCacheIsSharedAcrossTheProcess checks that a reload, which creates new Fetchers,
// keeps the cache.
func TestCacheIsSharedAcrossTheProcess(t *testing.T) {
	if Shared("a.example", "b.example").caches["b.example"] != Shared("b.example").caches["b.example"] {
		t.Error("two configs have two caches for one host")
	}
	if New(nil, "a.example").caches["a.example"] == Shared("a.example").caches["a.example"] {
		t.Error("a separate Fetcher shares its cache")
	}
}

func TestMaxAgeRequestsANewerDocument(t *testing.T) {
	p := publish(t, true, text("keys"))
	_, _ = p.get(t, "/keys")
	young := Request{URL: "https://" + host + "/keys", MaxAge: 5 * time.Minute}
	for range 3 {
		if _, err := p.Get(t.Context(), young); err != nil {
			t.Fatal(err)
		}
	}
	p.wantRequests(t, 1)
	p.clock = p.clock.Add(6 * time.Minute)
	for range 3 {
		if _, err := p.Get(t.Context(), young); err != nil {
			t.Fatal(err)
		}
	}
	p.wantRequests(t, 2)
}

func TestRequestWithABodyIsPosted(t *testing.T) {
	p := publish(t, true, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, " ", r.Header.Get("Content-Type"))
	})
	body, err := p.Get(t.Context(), Request{URL: "https://" + host + "/key", Body: []byte("{}"), Key: "id"})
	if err != nil || string(body) != "POST application/json" {
		t.Errorf("got %q, %v", body, err)
	}
}
