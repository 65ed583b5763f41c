package caddymodule

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// lose is how an upstream can lose a delivery: having read nothing of its
// body, half of it, or all.
var lose = map[string]func(body io.Reader, size int) io.Reader{
	"nothing": func(io.Reader, int) io.Reader { return http.NoBody },
	"half":    func(body io.Reader, size int) io.Reader { return io.LimitReader(body, int64(size/2)) },
	"all":     func(body io.Reader, _ int) io.Reader { return body },
}

var troubles = []string{"nothing", "half", "all"}

// untroubled parcels reach the app on the first attempt.
const untroubled = ""

// troubledApp closes the connection on the first attempt at some parcels.
type troubledApp struct {
	*bareApp
	t       *testing.T
	known   map[string]*parcel
	trouble map[string]string // by ID

	mu       sync.Mutex
	attempts map[string]int
	handled  map[string]int
}

func startTroubledApp(t *testing.T, perTrouble, size int) *troubledApp {
	a := &troubledApp{t: t, known: make(map[string]*parcel), trouble: make(map[string]string), attempts: make(map[string]int), handled: make(map[string]int)}
	for _, trouble := range append(troubles, untroubled) {
		for _, p := range newParcels(perTrouble, size) {
			a.known[p.id], a.trouble[p.id] = p, trouble
		}
	}
	a.bareApp = startBareApp(t, a.take)
	return a
}

// parcels returns those with one of these troubles.
func (a *troubledApp) parcels(troubles ...string) []*parcel {
	var some []*parcel
	for id, p := range a.known {
		if slices.Contains(troubles, a.trouble[id]) {
			some = append(some, p)
		}
	}
	return some
}

func (a *troubledApp) take(r *bareRequest) bool {
	p := a.known[r.Header.Get("Webhook-Verified-Id")]
	a.mu.Lock()
	a.attempts[p.id]++
	first := a.attempts[p.id] == 1
	a.mu.Unlock()

	body, lost := io.Reader(r.Body), first && a.trouble[p.id] != untroubled
	if lost {
		body = lose[a.trouble[p.id]](body, len(p.body))
	}
	n, err := p.readBody(body)
	if err != nil {
		a.t.Error(err)
	}
	if n < len(p.body) || lost {
		return false
	}
	a.mu.Lock()
	a.handled[p.id]++
	a.mu.Unlock()
	r.answer(http.StatusOK)
	return true
}

// counts returns how often a parcel has come, and how often it was handled.
func (a *troubledApp) counts(id string) (attempts, handled int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.attempts[id], a.handled[id]
}

// countRetries counts those of reverse_proxy, by ID.
func countRetries(t *testing.T) func(id string) int {
	var mu sync.Mutex
	counts := make(map[string]int)
	doBetween(t, func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		err := next.ServeHTTP(w, r)
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		retries, _ := repl.Get("http.reverse_proxy.retries")
		n, _ := retries.(int)
		mu.Lock()
		defer mu.Unlock()
		counts[r.Header.Get("Webhook-Verified-Id")] += n
		return err
	})
	return func(id string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[id]
	}
}

const retriesOfPOST = `
	lb_policy round_robin
	lb_retries 5
	lb_retry_match {
		method POST
	}
	`

// Where reverse_proxy keeps the body for another try, the app gets it whole.
func TestInvariant01ARetryOfReverseProxyBringsTheWholeBody(t *testing.T) {
	for _, size := range parcelSizes {
		t.Run(strconv.Itoa(size>>10)+" KiB", func(t *testing.T) {
			retries := countRetries(t)
			app := startTroubledApp(t, 8, size)
			c := startCaddy(t, "", parcelSite(app.Addr().String()+" {"+retriesOfPOST+"request_buffers 4MiB\n}"))
			c.postAll(client(t, "HTTP/1.1"), app.parcels(append(troubles, untroubled)...), 8, 200)
			for id, trouble := range app.trouble {
				want := 1
				if trouble == untroubled {
					want = 0
				}
				attempts, handled := app.counts(id)
				if retries(id) != want || attempts != 1+want || handled != 1 {
					t.Errorf("%s (%s): %d retries, %d reached the app, which handled %d", id, trouble, retries(id), attempts, handled)
				}
			}
		})
	}
}

// Where it does not, it can try again what no upstream has begun to read. The
// rest is for the provider's own retry. Nothing else reaches the app that it
// could take for whole.
func TestInvariant01ARetryOfReverseProxyBringsNoPartForTheWholeBody(t *testing.T) {
	for _, size := range parcelSizes {
		t.Run(strconv.Itoa(size>>10)+" KiB", func(t *testing.T) {
			retries := countRetries(t)
			app := startTroubledApp(t, 6, size)
			c := startCaddy(t, "", parcelSite(freeAddress(t)+" "+app.Addr().String()+" {"+retriesOfPOST+"}"))
			client := client(t, "HTTP/1.1")
			lone := app.parcels(untroubled)[:2]
			c.postUntil(client, lone, 1, 200)
			if retries(lone[0].id)+retries(lone[1].id) == 0 {
				t.Error("of two deliveries after each other, none came to the upstream that refuses")
			}
			c.postUntil(client, app.parcels(append(troubles, untroubled)...), 8, 200)

			for id, trouble := range app.trouble {
				if _, handled := app.counts(id); handled != 1 {
					t.Errorf("%s (%s): the app handled it %d times", id, trouble, handled)
				}
				if retries(id) == 0 && trouble != untroubled {
					t.Errorf("%s (%s) has led to no retry", id, trouble)
				}
			}
		})
	}
}
