package load_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/bench/load"
)

const secret = "bench"

// TestDeliveriesMatchTheirKind checks deliveries as received by a server.
func TestDeliveriesMatchTheirKind(t *testing.T) {
	tests := []struct {
		kind                      load.Kind
		signed, genuine, distinct bool
	}{
		{load.Accepted, true, true, true},
		{load.WrongSignature, true, false, true},
		{load.NoSignature, false, false, true},
		{load.Malformed, true, false, true},
		{load.TooLarge, true, true, true},
	}
	for _, test := range tests {
		for _, size := range []int{1 << 10, 64 << 10} {
			t.Run(string(test.kind), func(t *testing.T) {
				var mu sync.Mutex
				bodies, ids := map[string]bool{}, map[string]bool{}
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil || len(body) != size {
						t.Errorf("%d bytes, %v", len(body), err)
					}
					header := r.Header.Get("X-Hub-Signature-256")
					if (header != "") != test.signed || hmac.Equal([]byte(header), []byte(signature(body))) != test.genuine {
						t.Errorf("signature %q", header)
					}
					mu.Lock()
					defer mu.Unlock()
					bodies[string(bytes.TrimSpace(body))] = true
					ids[r.Header.Get("X-GitHub-Delivery")] = true
				}))
				defer server.Close()

				result := load.Run(context.Background(), load.Plan{
					Address: strings.TrimPrefix(server.URL, "http://"), Batch: load.NewSigner(secret).Sign(test.kind, size, 40),
					Connections: 4, Most: time.Minute,
				})
				if result.Done != 40 || result.Failed != 0 || result.Statuses[200] != 40 {
					t.Errorf("%+v", result)
				}
				if len(bodies) != 40 || len(ids) != 40 {
					t.Errorf("%d bodies and %d IDs are distinct", len(bodies), len(ids))
				}
			})
		}
	}
}

// TestDeliveriesGoToEachEndpointInTurn counts deliveries by path. Each path has its
// own secret.
func TestDeliveriesGoToEachEndpointInTurn(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("secret of "+r.URL.Path))
		mac.Write(body)
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("X-Hub-Signature-256") == "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			got[r.URL.Path]++
		}
	}))
	defer server.Close()

	signer := load.NewSignerOf(load.Endpoint{Path: "/a", Secret: "secret of /a"}, load.Endpoint{Path: "/b", Secret: "secret of /b"})
	load.Run(context.Background(), load.Plan{
		Address: strings.TrimPrefix(server.URL, "http://"), Batch: signer.Sign(load.Accepted, 1<<10, 10), Connections: 2, Most: time.Minute,
	})
	if got["/a"] != 5 || got["/b"] != 5 {
		t.Errorf("%v", got)
	}
}

// A response that arrives before the whole body is written counts as a response.
func TestEarlyRefusalDoesNotBlock(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()

	result := load.Run(context.Background(), load.Plan{
		Address: strings.TrimPrefix(server.URL, "http://"), Batch: load.NewSigner(secret).Sign(load.NoSignature, 4<<20, 8),
		Connections: 2, Most: time.Minute,
	})
	if result.Statuses[http.StatusUnauthorized] != 8 || result.Failed != 0 {
		t.Errorf("%+v", result)
	}
}

// A server that has stopped must not appear in the tables with good figures.
func TestDeliveriesWithoutResponseCountAsFailed(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := strings.TrimPrefix(server.URL, "http://")
	server.Close()

	result := load.Run(context.Background(), load.Plan{
		Address: address, Batch: load.NewSigner(secret).Sign(load.Accepted, 1<<10, 3), Times: 2, Connections: 2, Most: time.Minute,
	})
	if result.Done != 0 || result.Failed != 6 {
		t.Errorf("%+v", result)
	}
}

func signature(body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
