package caddymodule

import (
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// seenBehind sends a delivery and returns the VerifiedDelivery that the next
// handler gets.
func seenBehind(t *testing.T, b *bench, r *http.Request) (found *VerifiedDelivery) {
	t.Helper()
	b.App = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := FromContext(r.Context()); v != nil {
			found = &VerifiedDelivery{
				Provider: v.Provider, Endpoint: v.Endpoint, ID: v.ID, Event: v.Event, Timestamp: v.Timestamp,
				Key: v.Key, Unsigned: v.Unsigned, Window: v.Window,
			}
			if v.Key != r.Header.Get(headerKey) {
				t.Errorf("the key is %q, that of the header %q", v.Key, r.Header.Get(headerKey))
			}
		}
		w.WriteHeader(200)
	})
	b.Send(r)
	return found
}

func TestNextHandlersGetTheVerifiedDelivery(t *testing.T) {
	b := trial(t, config("github", `"namespace":"repo","replay":{"window":"48h"}`))
	v := seenBehind(t, b, github("1", content))
	if v == nil || v.Provider != "github" || v.Endpoint != "repo" || v.ID != "1" || v.Key == "" || v.Window != 48*time.Hour || v.Unsigned == "" {
		t.Errorf("found %+v", v)
	}
}

func TestContextContainsOnlyVerifiedDeliveries(t *testing.T) {
	b := trial(t, config("github", `"mode":"monitor"`))
	forged := github("1", content)
	forged.Header.Set("X-Hub-Signature-256", "sha256="+sign("another secret", content))
	if v := seenBehind(t, b, forged); v != nil {
		t.Errorf("a forged delivery that was forwarded in mode monitor is in the context: %+v", v)
	}
	if v := FromContext(t.Context()); v != nil {
		t.Errorf("found %+v without verify_webhook", v)
	}
}

// Mode monitor forwards genuine deliveries that mode enforce would not forward.
func TestContextContainsGenuineDeliveriesOfEachOutcome(t *testing.T) {
	b := trial(t, config("github", `"mode":"monitor","events":["push"]`))
	store := b.faultyStore()
	ping := github("3", content)
	ping.Header.Set("X-GitHub-Event", "ping")
	for _, test := range []struct {
		want  Outcome
		r     *http.Request
		fault error
	}{
		{Verified, github("1", content), nil},
		{Duplicate, github("1", content), nil},
		{Replayed, github("2", content), nil},
		{Ignored, ping, nil},
		{StoreUnavailable, github("4", `{"n":4}`), errStore},
	} {
		store.set(&store.claim, test.fault)
		if v := seenBehind(t, b, test.r); v == nil || v.Provider != "github" || v.ID == "" || v.Key == "" {
			t.Errorf("%s: found %+v", test.want, v)
		}
	}
	options := github("5", content)
	options.Method = http.MethodOptions
	if v := seenBehind(t, b, options); v != nil {
		t.Errorf("a signed OPTIONS request is in the context: %+v", v)
	}
}

// If a handler has stored the delivery, its response does not wait for the replay
// store.
func TestStoredDeliveryIsCommittedInTheBackground(t *testing.T) {
	storing := func(b *bench, status int) {
		b.App = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			FromContext(r.Context()).Stored()
			w.WriteHeader(status)
		})
	}
	t.Run("the response is sent first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := trial(t, config("github", `"replay":{"wait":"1s"}`))
			store := b.faultyStore()
			store.set(&store.commit, errStore)
			storing(b, 202)
			b.expect(t, github("1", content), Verified, 202)
			b.expect(t, github("1", content), InProgress, 503) // still claimed
			store.set(&store.commit, nil)
			time.Sleep(10 * time.Second)
			b.expect(t, github("1", content), Duplicate, 200)
		})
	})
	t.Run("a failure releases it", func(t *testing.T) {
		b := trial(t, config("github", ""))
		storing(b, 500)
		b.expect(t, github("1", content), Verified, 500)
		b.expect(t, github("1", content), Verified, 500)
	})
	t.Run("too many commits are in the background", func(t *testing.T) {
		b := trial(t, config("github", ""))
		for range cap(b.handler.background) {
			b.handler.background <- struct{}{}
		}
		storing(b, 202)
		b.expect(t, github("1", content), Verified, 202)
		if state := b.state(t, github("1", content)); state != replay.Handled {
			t.Errorf("the key is %s", state)
		}
	})
}

// watching is an observer that records its observations.
type watching struct {
	mu   sync.Mutex
	seen []Observation
}

func (w *watching) DeliveryEnded(o Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, o)
}

func TestObserversAreNotifiedOfEveryOutcome(t *testing.T) {
	b := trial(t, config("github", ""))
	one, two := new(watching), new(watching)
	stopOne, stopTwo := Observe(one), Observe(two)
	defer stopTwo()
	b.App = answering(201)
	b.Send(github("1", content))
	stopOne()
	stopOne() // a second call changes nothing
	b.Send(github("1", content))
	forged := github("1", content)
	forged.Header.Set("X-Hub-Signature-256", "sha256="+sign("another secret", content))
	b.Send(forged)

	var outcomes []Outcome
	for _, o := range two.seen {
		outcomes = append(outcomes, o.Outcome)
	}
	if !slices.Equal(outcomes, []Outcome{Verified, Duplicate, InvalidSignature}) || len(one.seen) != 1 {
		t.Fatalf("one observed %d, two observed %v", len(one.seen), outcomes)
	}
	first, last := two.seen[0], two.seen[2]
	if first.Status != 201 || first.ID != "1" || first.Key == "" || first.Size != int64(len(content)) || first.Endpoint != "github" || first.Method != "POST" || first.URI != "/in" || first.Host == "" {
		t.Errorf("the first is %+v", first)
	}
	if last.Status != 0 || last.ID != "" || last.Key != "" || last.Reason == "" {
		t.Errorf("the forged one is %+v", last)
	}
}

func TestHooksRunAtStartAndStop(t *testing.T) {
	var ran []string
	note := func(name string) func() { return func() { ran = append(ran, name) } }
	app := &App{budget: budget, BodyMemory: defaultBodyMemory, BodyDisk: defaultBodyDisk}
	for _, name := range []string{"a", "b"} {
		app.OnStart(func() error { note("start " + name)(); return nil })
		app.OnStop(note("stop " + name))
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	if err := app.Stop(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"start a", "start b", "stop b", "stop a"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	failing := &App{budget: budget, BodyMemory: defaultBodyMemory, BodyDisk: defaultBodyDisk}
	failing.OnStart(func() error { return errStore })
	if err := failing.Start(); !errors.Is(err, errStore) || apps.latest() == failing {
		t.Errorf("Start: %v", err)
	}
}
