package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// heldApp is an app that blocks until a test sends the status of its response.
type heldApp struct {
	hits   atomic.Int64
	answer chan int
}

func newHeldApp() *heldApp { return &heldApp{answer: make(chan int)} }

func (a *heldApp) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a.hits.Add(1)
	switch status := <-a.answer; status {
	case 0: // writes nothing
	case -1:
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(status)
	}
}

// inFlight sends requests in goroutines, waits until all of them block, and
// returns a function that collects their results.
func (b *bench) inFlight(requests ...*http.Request) (collect func() []Result) {
	results := make([]Result, len(requests))
	done := make(chan int)
	for i, r := range requests {
		go func() {
			defer func() {
				_ = recover() // as net/http does
				done <- i
			}()
			results[i] = b.Send(r)
		}()
		synctest.Wait() // so that the first request arrives first
	}
	return func() []Result {
		for range requests {
			<-done
		}
		return results
	}
}

func TestInvariant07ExactlyOneConcurrentCopyReachesTheApp(t *testing.T) {
	for _, count := range []int{2, 64, 257} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := trial(t, config("github", ""))
				app := newHeldApp()
				b.App = app
				var copies []*http.Request
				for range count {
					copies = append(copies, github("1", content))
				}
				collect := b.inFlight(copies...)
				app.answer <- 202
				reached := 0
				for _, got := range collect() {
					if got.Reached {
						reached++
					}
					if got.Status != 202 {
						t.Errorf("a copy got %d (%s)", got.Status, got.Outcome)
					}
				}
				if reached != 1 || app.hits.Load() != 1 {
					t.Errorf("%d copies reached the app", app.hits.Load())
				}
			})
		})
	}
}

func TestCopiesGetTheResponseToTheFirst(t *testing.T) {
	for _, test := range []struct {
		name           string
		answer, mirror int
		after          Outcome // of a retry later
	}{
		{"success", 201, 201, Duplicate},
		{"no status", 0, 200, Duplicate},
		{"failure", 500, 500, Verified},
		{"client error", 404, 404, Verified},
		{"redirect", 302, 503, Verified},
		{"panic", -1, 503, Verified},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := trial(t, config("github", ""))
				app := newHeldApp()
				b.App = app
				collect := b.inFlight(github("1", content), github("1", content))
				app.answer <- test.answer
				got := collect()[1]
				if got.Outcome != InProgress || got.Status != test.mirror || got.Reached {
					t.Errorf("the copy got %s, status %d, reached %t", got.Outcome, got.Status, got.Reached)
				}
				if (got.Header.Get("Retry-After") != "") != (got.Status == 503) {
					t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
				}
				b.App = nil
				b.expect(t, github("1", content), test.after, 200)
			})
		})
	}
}

// The signature does not cover the path, most headers and the address of the
// sender. If the app refuses a copy because an attacker has changed one of them, the
// provider must not get the 4xx: it could disable the webhook.
func TestRefusalOfAnotherRequestIsNotReturned(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"path":          func(r *http.Request) { r.URL.Path, r.RequestURI = "/in/x", "/in/x" },
		"query":         func(r *http.Request) { r.URL.RawQuery, r.RequestURI = "x=1", "/in?x=1" },
		"host":          func(r *http.Request) { r.Host = "other.example.com" },
		"method":        func(r *http.Request) { r.Method = http.MethodPut },
		"scheme":        func(r *http.Request) { r.TLS, r.URL.Scheme = nil, "http" },
		"sender":        func(r *http.Request) { r.RemoteAddr = "198.51.100.1:1" },
		"another type":  func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"event":         func(r *http.Request) { r.Header.Set("X-GitHub-Event", "x") },
		"another value": func(r *http.Request) { r.Header.Add("Accept", "text/html") },
		"ID":            func(r *http.Request) { r.Header.Set("X-GitHub-Delivery", "x") },
		"no ID":         func(r *http.Request) { r.Header.Del("X-GitHub-Delivery") },
		"encoding":      func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := trial(t, config("github", ""))
				app := newHeldApp()
				b.App = app
				forged := github("1", content)
				change(forged)
				collect := b.inFlight(forged, github("1", content))
				app.answer <- 404
				got := collect()
				if got[0].Status != 404 {
					t.Errorf("the first got %d", got[0].Status)
				}
				if got[1].Outcome != InProgress || got[1].Status != 503 || got[1].Header.Get("Retry-After") == "" {
					t.Errorf("the delivery got %s, status %d", got[1].Outcome, got[1].Status)
				}
				b.App = nil
				b.expect(t, github("1", content), Verified, 200)
			})
		})
	}
}

// Without a signature over the body, the app can refuse a copy for its body.
func TestRefusalOfAnotherBodyIsNotReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, acme(`"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Signature"},"signed":"{id}","id":{"from":"header","name":"X-Id"}`, ""))
		app := newHeldApp()
		b.App = app
		mail := func(body string) *http.Request { return request(body, "X-Id", "1", "X-Signature", sign(secret, "1")) }
		collect := b.inFlight(mail("forged"), mail("genuine"))
		app.answer <- 400
		if got := collect()[1]; got.Outcome != InProgress || got.Status != 503 {
			t.Errorf("the delivery got %s, status %d", got.Outcome, got.Status)
		}
	})
}

func TestCopyWithANewIDIsAReplayAfterTheFirstSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", ""))
		app := newHeldApp()
		b.App = app
		collect := b.inFlight(github("1", content), github("2", content))
		app.answer <- 200
		if got := collect()[1]; got.Outcome != Replayed || got.Status != 200 || got.Reached {
			t.Errorf("got %s, status %d, reached %t", got.Outcome, got.Status, got.Reached)
		}
	})
}

func TestCopiesWaitForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"wait":"3s"}`))
		app := newHeldApp()
		b.App = app
		first := b.inFlight(github("1", content))
		start := time.Now()
		got := b.expect(t, github("1", content), InProgress, 503)
		if waited := time.Since(start); waited != 3*time.Second {
			t.Errorf("the copy waited %s", waited)
		}
		if got.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		if lines := b.lines("refused a webhook delivery"); len(lines) != 1 {
			t.Errorf("logged %v", lines)
		}
		app.answer <- 200
		first()
	})
}

func TestNumberOfWaitingCopiesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"max_waiting":2}`))
		app := newHeldApp()
		b.App = app
		collect := b.inFlight(github("1", content), github("1", content), github("1", content))
		start := time.Now()
		b.expect(t, github("1", content), InProgress, 503)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a copy above the limit waited %s", waited)
		}
		app.answer <- 200
		collect()
		b.App = nil
		b.expect(t, github("1", content), Duplicate, 200)
	})
}

func TestWaitingCopiesKeepNoBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", ""))
		app := newHeldApp()
		b.App = app
		big := content + string(make([]byte, 100_000))
		collect := b.inFlight(github("1", big))
		one, _ := b.handler.app.budget.InUse()
		copies := b.inFlight(github("1", big), github("1", big))
		if all, _ := b.handler.app.budget.InUse(); all != one || one == 0 {
			t.Errorf("one body uses %d bytes; with two copies waiting, %d bytes are used", one, all)
		}
		app.answer <- 200
		collect()
		copies()
		if memory, disk := b.handler.app.budget.InUse(); memory != 0 || disk != 0 {
			t.Errorf("%d bytes of memory and %d of disk are not released", memory, disk)
		}
	})
}

func TestCopyStopsWaitingIfItsSenderDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", ""))
		app := newHeldApp()
		b.App = app
		first := b.inFlight(github("1", content))
		ctx, hangUp := context.WithCancel(t.Context())
		second := b.inFlight(github("1", content).WithContext(ctx))
		hangUp()
		second()
		if len(b.handler.waiting) != 0 {
			t.Error("its slot is not released")
		}
		app.answer <- 200
		first()
	})
}

func TestWaitingCopyGets503IfTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", ""))
		app := newHeldApp()
		b.App = app
		first := b.inFlight(github("1", content))
		b.faultyStore().await = errStore
		b.expect(t, github("1", content), StoreUnavailable, 503)
		app.answer <- 200
		first()
	})
}
