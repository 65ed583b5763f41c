package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/file"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
	"github.com/verify-webhook/caddy-verify-webhook/replay/redis"
)

// The tests in this file compare the handler with the rules of "Telling deliveries
// apart" in the docs, in random sequences of deliveries, copies, failures, rotations
// and redeliveries.

// rules are the rules for one provider, in the simplest possible form.
type rules struct {
	signedID, unsignedID bool
	repeats              func(body string) bool

	now     time.Duration
	handled map[string]time.Duration // expiry
	claimed map[string]int           // delivery in progress
	passes  map[string]time.Duration // expiry
}

const modelWindow = 90 * time.Minute

func (m *rules) advance(d time.Duration) {
	m.now += d
	expired := func(_ string, until time.Duration) bool { return until <= m.now }
	maps.DeleteFunc(m.handled, expired)
	maps.DeleteFunc(m.passes, expired)
}

// keys returns the blocking keys and notes under the configured secrets.
func (m *rules) keys(secrets []string, id, body string) (blocking, notes []string) {
	for _, secret := range secrets {
		key := func(kind, value string) string { return secret + " " + kind + " " + value }
		switch {
		case id != "" && m.signedID:
			blocking = append(blocking, key("id", id))
		case id != "" && m.repeats(body):
			blocking = append(blocking, key("both", id+" "+body))
			notes = append(notes, key("id", id))
		case id != "":
			blocking = append(blocking, key("content", body))
			notes = append(notes, key("id", id))
		case !m.repeats(body) || m.signedID && body != "":
			blocking = append(blocking, key("content", body))
		}
	}
	return blocking, notes
}

// verdict returns the outcome for a delivery. pass means that it uses a pass.
func (m *rules) verdict(secrets []string, id string, blocking, notes []string) (outcome Outcome, pass bool) {
	isHandled := func(key string) bool { return m.handled[key] > 0 }
	isClaimed := func(key string) bool { return m.claimed[key] != 0 }
	outcome = Verified
	switch {
	case slices.ContainsFunc(blocking, isHandled) && (len(notes) == 0 || slices.ContainsFunc(notes, isHandled)):
		outcome = Duplicate
	case slices.ContainsFunc(blocking, isHandled):
		outcome = Replayed
	case slices.ContainsFunc(blocking, isClaimed):
		outcome = InProgress
	}
	if outcome != Replayed {
		return outcome, false
	}
	for _, secret := range secrets {
		if m.passes[secret+" "+id] > 0 {
			return Verified, true
		}
	}
	return outcome, false
}

// use removes a pass and what it forgets.
func (m *rules) use(secrets []string, id string, blocking []string) {
	for _, secret := range secrets {
		delete(m.passes, secret+" "+id)
	}
	for _, key := range blocking {
		delete(m.handled, key)
	}
}

func (m *rules) commit(keys ...string) {
	for _, key := range keys {
		m.handled[key] = max(m.handled[key], m.now+modelWindow)
	}
}

// forget is an operator's `forget`. It returns how many secrets it affects.
func (m *rules) forget(secrets []string, id string) (n int) {
	for _, secret := range secrets {
		key := secret + " id " + id
		if m.handled[key] == 0 {
			continue
		}
		delete(m.handled, key)
		if !m.signedID {
			m.passes[secret+" "+id] = m.now + passLife
		}
		n++
	}
	return n
}

// held is a delivery that the app works on.
type held struct {
	number          int
	blocking, notes []string
	app             *heldApp
	collect         func() []Result
}

// comparison sends the same deliveries to a handler and to the rules.
type comparison struct {
	t       *testing.T
	r       *rand.Rand
	rules   *rules
	options string // of the provider
	store   *faulty
	timed   bool     // time can advance
	secrets []string // of the current config
	current *bench
	inHand  []held
	number  int
	log     []string
}

func (c *comparison) logf(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf(format, args...))
}

func (c *comparison) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("%s, after\n%s\nat %s: handled %v, claimed %v, passes %v", fmt.Sprintf(format, args...), strings.Join(c.log, "\n"), c.rules.now, c.rules.handled, c.rules.claimed, c.rules.passes)
}

// load replaces the config with one with these secrets.
func (c *comparison) load(secrets ...string) {
	var list []string
	for _, secret := range secrets {
		list = append(list, `{"secret":"`+secret+`"}`)
	}
	config := `{"provider":{"name":"custom","algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Acme-Signature"},
		"secrets":[` + strings.Join(list, ",") + `]` + c.options + `},"replay":{"window":"90m","wait":"100ms"}}`
	tr, err := openTrial(quietly(c.t), json.RawMessage(config), &Handler{logger: zap.NewNop(), now: frozen})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(tr.Close)
	tr.handler.store = c.store
	c.current, c.secrets = &bench{Trial: tr}, secrets
	c.logf("load %v", secrets)
}

// request returns a random delivery.
func (c *comparison) request() (r *http.Request, id, body string, known bool) {
	id = []string{"", "1", "2", "3"}[c.r.IntN(4)]
	n := c.r.IntN(3)
	body = fmt.Sprintf(`{"n":%d}`, n)
	if n == 2 {
		body = `{"again":1}`
	}
	header := id
	if c.rules.signedID {
		header = ""
		if id != "" {
			body = fmt.Sprintf(`{"id":%q,"n":%d}`, id, n)
		}
	} else if !c.rules.unsignedID {
		id, header = "", "ignored"
	}
	secret := []string{"A", "B"}[c.r.IntN(2)]
	c.logf("id %q, body %s, signed by %s", id, body, secret)
	return acmeDelivery(secret, header, body), id, body, slices.Contains(c.secrets, secret)
}

// send sends a delivery. The app responds at once, or later if hold is true.
func (c *comparison) send(hold bool) {
	r, id, body, known := c.request()
	blocking, notes := c.rules.keys(c.secrets, id, body)
	want, pass := InvalidSignature, false
	if known {
		want, pass = c.rules.verdict(c.secrets, id, blocking, notes)
	}
	if pass {
		c.rules.use(c.secrets, id, blocking)
		want, _ = c.rules.verdict(c.secrets, id, blocking, notes) // can be in progress under another secret
	}
	if want != Verified {
		c.check(c.current.Send(r), want, c.refusal(want))
		return
	}
	c.number++
	h := held{number: c.number, blocking: blocking, notes: notes, app: newHeldApp()}
	c.claim(h)
	c.current.App = h.app
	h.collect = c.forwarded(r, h.app)
	if c.inHand = append(c.inHand, h); !hold {
		c.finish(len(c.inHand) - 1)
	}
}

// forwarded sends a request and returns when the app has it.
func (c *comparison) forwarded(r *http.Request, app *heldApp) (collect func() []Result) {
	done, results := make(chan struct{}), make([]Result, 1)
	b := c.current
	go func() {
		defer close(done)
		defer func() { _ = recover() }() // as net/http does
		results[0] = b.Send(r)
	}()
	for start := time.Now(); app.hits.Load() == 0; time.Sleep(time.Millisecond) {
		select {
		case <-done:
			c.fatalf("not forwarded: %s, status %d", results[0].Outcome, results[0].Status)
		default:
		}
		if time.Since(start) > waitLimit {
			c.fatalf("timed out")
		}
	}
	return func() []Result { <-done; return results }
}

func (c *comparison) claim(h held) {
	for _, key := range h.blocking {
		c.rules.claimed[key] = h.number
	}
}

// refusal is the status of an outcome that is not forwarded.
func (c *comparison) refusal(o Outcome) int {
	switch o {
	case Duplicate, Replayed:
		return 200
	case InProgress:
		return 503
	default:
		return 401
	}
}

func (c *comparison) check(got Result, want Outcome, status int) {
	c.t.Helper()
	if c.logf("  %s %d", got.Outcome, got.Status); got.Outcome != want || got.Status != status {
		c.fatalf("got %s, status %d, want %s, status %d", got.Outcome, got.Status, want, status)
	}
}

// finish lets the app respond.
func (c *comparison) finish(i int) {
	h := c.inHand[i]
	c.inHand = slices.Delete(c.inHand, i, i+1)
	status := []int{200, 201, 204, 500, 404, 302, -1}[c.r.IntN(7)]
	if c.r.IntN(3) == 0 {
		status = 200
	}
	c.logf("  response of %d: %d", h.number, status)
	failing := c.timed && status == 200 && len(h.blocking) > 0 && c.r.IntN(6) == 0
	if failing {
		c.store.set(&c.store.commit, errStore)
	}
	h.app.answer <- status
	if got := h.collect()[0]; status != -1 && (got.Outcome != Verified || got.Status != status || !got.Reached) {
		c.fatalf("got %s, status %d, reached %t", got.Outcome, got.Status, got.Reached)
	}
	remembered, passed := status >= 200 && status < 300, time.Duration(0)
	if failing {
		remembered, passed = c.recover()
	}
	for _, key := range h.blocking {
		if c.rules.claimed[key] == h.number {
			delete(c.rules.claimed, key)
		}
	}
	if remembered {
		c.rules.commit(append(h.blocking, h.notes...)...)
	}
	c.rules.advance(passed)
}

// recover ends a failure of the store, before the lease of the claim expires or
// after. It reports whether the delivery is remembered.
func (c *comparison) recover() (remembered bool, passed time.Duration) {
	start, early := time.Now(), c.r.IntN(2) == 0
	if !early {
		time.Sleep(2 * time.Minute) // longer than a lease
	}
	c.store.set(&c.store.commit, nil)
	time.Sleep(10 * time.Second)
	c.logf("  the store failed, and recovered before the lease expired: %t", early)
	return early, time.Since(start)
}

// crash claims a delivery like a process that is killed.
func (c *comparison) crash() {
	secret := c.secrets[0]
	fingerprint := c.current.handler.info().Secrets[0].Fingerprint
	body := `{"n":1}`
	keys := replay.Keys{Blocking: []replay.Key{replay.NewKey("", fingerprint[:], replay.KindContent, hmacSHA256(secret, body))}}
	key := secret + " content " + body
	verdict, err := c.store.Claim(c.t.Context(), keys, replay.NewOwner(), 24*time.Minute)
	if err != nil || (verdict == replay.Ours) != (c.rules.handled[key] == 0 && c.rules.claimed[key] == 0) {
		c.fatalf("claiming for a crash: %v, %v", verdict, err)
	}
	if verdict == replay.Ours {
		c.logf("crash while handling %s", key)
		c.rules.claimed[key] = -1
	}
}

func (c *comparison) advance() {
	d := time.Duration(1+c.r.IntN(3)) * 25 * time.Minute
	time.Sleep(d)
	c.rules.advance(d)
	maps.DeleteFunc(c.rules.claimed, func(_ string, number int) bool { return number == -1 })
	c.logf("%s pass", d)
}

func (c *comparison) forget() {
	id := []string{"1", "2", "3"}[c.r.IntN(3)]
	c.logf("forget %s", id)
	want := c.rules.forget(c.secrets, id)
	statuses, err := c.current.handler.forget(c.t.Context(), id)
	got := 0
	for _, s := range statuses {
		if s.Forgotten {
			got++
		}
	}
	if err != nil || got != want {
		c.fatalf("forgotten %d, %v, want %d", got, err, want)
	}
}

func (c *comparison) run(steps int) {
	c.load("A")
	for range steps {
		switch p := c.r.IntN(100); {
		case p < 50:
			c.send(false)
		case p < 65:
			if len(c.inHand) < 4 {
				c.send(true)
			}
		case p < 78:
			if len(c.inHand) > 0 {
				c.finish(c.r.IntN(len(c.inHand)))
			}
		case p < 86:
			c.forget()
		case p < 92:
			c.load([][]string{{"A"}, {"B"}, {"A", "B"}, {"B", "A"}}[c.r.IntN(4)]...)
		case p < 94 && c.timed && !c.rules.signedID:
			c.crash()
		case c.timed:
			c.advance()
		}
	}
	for len(c.inHand) > 0 {
		c.finish(0)
	}
}

// modelRows are the rows of the table "Telling deliveries apart".
var modelRows = map[string]struct {
	options string
	rules   rules
}{
	"a signed ID":                          {signedID, rules{signedID: true}},
	"an unsigned ID, content unique":       {unsignedID, rules{unsignedID: true}},
	"an unsigned ID, content repeats":      {unsignedID + "," + repeats, rules{unsignedID: true, repeats: func(string) bool { return true }}},
	"no ID, content unique":                {unique, rules{}},
	"no ID, content repeats":               {repeats, rules{repeats: func(string) bool { return true }}},
	"an unsigned ID, some content repeats": {unsignedID + `,"repeats_when":[{"from":"json","name":"again"}]`, rules{unsignedID: true, repeats: func(body string) bool { return strings.Contains(body, "again") }}},
}

func TestDeliveriesAgreeWithTheRules(t *testing.T) {
	stores := map[string]struct {
		open  func(t *testing.T) replay.Store
		timed bool
		seeds uint64
	}{
		"memory": {func(*testing.T) replay.Store { return memory.New(memory.Options{}) }, true, 30},
		"file": {func(t *testing.T) replay.Store {
			s, err := file.Open(file.Options{Path: filepath.Join(t.TempDir(), "replays.db")})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}, true, 3},
		"redis": {nil, false, 3},
	}
	for name, kind := range stores {
		t.Run(name, func(t *testing.T) {
			if name == "redis" {
				server := redistest.Start(t)
				kind.open = func(t *testing.T) replay.Store {
					s, err := redis.New(redis.Options{URL: server.URL(), Prefix: t.Name(), Timeout: redistest.Patience})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = s.Close() })
					return s
				}
			}
			for row, of := range modelRows {
				for seed := range kind.seeds {
					t.Run(fmt.Sprintf("%s, seed %d", row, seed), func(t *testing.T) {
						compare := func(t *testing.T) {
							m := of.rules
							m.handled, m.passes, m.claimed = map[string]time.Duration{}, map[string]time.Duration{}, map[string]int{}
							if m.repeats == nil {
								m.repeats = func(string) bool { return false }
							}
							store := &faulty{Store: newMeteredStore(kind.open(t), "model")}
							c := comparison{t: t, r: rand.New(rand.NewPCG(seed, 1)), rules: &m, options: "," + of.options, store: store, timed: kind.timed}
							c.run(200)
						}
						if kind.timed {
							synctest.Test(t, compare)
						} else {
							compare(t)
						}
					})
				}
			}
		})
	}
}
