package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// acme returns the config of a provider that signs the body, with more options.
func acme(more, handler string) string {
	if handler != "" {
		handler = "," + handler
	}
	if more != "" {
		more = "," + more
	}
	return `{"provider":{"name":"custom","algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Acme-Signature"},
		"secrets":[{"secret":"{env.` + secretVariable + `}"}]` + more + `}` + handler + `}`
}

const (
	unsignedID = `"id":{"from":"header","name":"X-Acme-Delivery"}`
	signedID   = `"id":{"from":"json","name":"id"}`
	repeats    = `"content":"repeats"`
	unique     = `"content":"unique"`
)

// acmeDelivery returns a genuine delivery. headers are pairs of name and value;
// with an empty id the delivery has none.
func acmeDelivery(secret, id, body string, headers ...string) *http.Request {
	headers = append(headers, "X-Acme-Signature", sign(secret, body))
	if id != "" {
		headers = append(headers, "X-Acme-Delivery", id)
	}
	return request(body, headers...)
}

// Each row is a row of the table "Telling deliveries apart" in the docs, or a
// sentence below it: a sequence of requests and their outcomes.
func TestDistinguishingDeliveries(t *testing.T) {
	type sent struct {
		id, body string
		want     Outcome
	}
	tests := []struct {
		name, provider, handler string
		sequence                []sent
	}{
		{
			"a signed ID identifies the delivery", signedID, "",
			[]sent{
				{"", `{"id":"1","n":1}`, Verified},
				{"", `{"id":"1","n":1}`, Duplicate},
				{"", `{"id":"1","n":2}`, Duplicate},
				{"", `{"id":"2","n":1}`, Verified},
			},
		},
		{
			"a signed ID identifies the delivery although content repeats", signedID + "," + repeats, "",
			[]sent{{"", `{"id":"1"}`, Verified}, {"", `{"id":"1"}`, Duplicate}},
		},
		{
			"a delivery without the ID that its provider signs falls back to its content", signedID, "",
			[]sent{{"", `{"n":1}`, Verified}, {"", `{"n":1}`, Duplicate}, {"", `{"n":2}`, Verified}},
		},
		{
			"an unsigned ID, content unique", unsignedID, "",
			[]sent{
				{"1", "a", Verified},
				{"1", "a", Duplicate},
				{"2", "a", Replayed},
				{"1", "b", Verified},
				{"2", "c", Verified},
			},
		},
		{
			"an unsigned ID that is removed", unsignedID, "",
			[]sent{{"1", "a", Verified}, {"", "a", Duplicate}, {"", "b", Verified}, {"9", "b", Replayed}},
		},
		{
			"an unsigned ID, content repeats", unsignedID + "," + repeats, "",
			[]sent{
				{"1", "a", Verified},
				{"1", "a", Duplicate},
				{"2", "a", Verified},
				{"2", "a", Duplicate},
				{"1", "b", Verified},
			},
		},
		{
			"an unsigned ID that is removed, content repeats", unsignedID + "," + repeats, "",
			[]sent{{"1", "a", Verified}, {"", "a", Verified}, {"", "a", Verified}, {"1", "a", Duplicate}},
		},
		{
			"no ID, content unique", unique, "",
			[]sent{{"", "a", Verified}, {"", "a", Duplicate}, {"", "b", Verified}, {"", "", Verified}, {"", "", Duplicate}},
		},
		{
			"no ID, content repeats", repeats, "",
			[]sent{{"", "a", Verified}, {"", "a", Verified}, {"", "", Verified}, {"", "", Verified}},
		},
		{
			"content that repeats in some deliveries only", unsignedID + `,"repeats_when":[{"from":"json","name":"client_payload"}]`, "",
			[]sent{
				{"1", `{"ref":"a"}`, Verified},
				{"2", `{"ref":"a"}`, Replayed},
				{"3", `{"client_payload":{}}`, Verified},
				{"4", `{"client_payload":{}}`, Verified},
				{"4", `{"client_payload":{}}`, Duplicate},
				// Only the member counts, not its name elsewhere in the body.
				{"5", `{"ref":"client_payload"}`, Verified},
				{"6", `{"ref":"client_payload"}`, Replayed},
				{"7", `{"in":{"client_payload":1}}`, Verified},
				{"8", `{"in":{"client_payload":1}}`, Replayed},
			},
		},
		{
			"content unique, as the operator says", unsignedID + "," + repeats, `"replay":{"content":"unique"}`,
			[]sent{{"1", "a", Verified}, {"2", "a", Replayed}},
		},
		{
			"content repeats, as the operator says", unsignedID + "," + unique, `"replay":{"content":"repeats"}`,
			[]sent{{"1", "a", Verified}, {"2", "a", Verified}, {"2", "a", Duplicate}},
		},
		{
			"no replay protection", unsignedID, `"replay":{"off":true}`,
			[]sent{{"1", "a", Verified}, {"1", "a", Verified}, {"2", "a", Verified}, {"", "a", Verified}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := trial(t, acme(test.provider, test.handler))
			for i, s := range test.sequence {
				got := b.Send(acmeDelivery(secret, s.id, s.body))
				if got.Outcome != s.want || got.Reached != (s.want == Verified) || got.Status != 200 {
					t.Errorf("%d: ID %q, body %q: %s, reached %t, status %d; want %s", i, s.id, s.body, got.Outcome, got.Reached, got.Status, s.want)
				}
			}
		})
	}
}

func TestHeadersThatVaryArePartOfTheContent(t *testing.T) {
	b := trial(t, acme(`"varies":["x-acme-topic","X-Acme-Shop"]`, ""))
	send := func(want Outcome, headers ...string) {
		t.Helper()
		b.expect(t, acmeDelivery(secret, "", "a", headers...), want, 200)
	}
	send(Verified, "X-Acme-Topic", "created")
	send(Verified, "X-Acme-Topic", "updated")
	send(Duplicate, "X-Acme-Topic", "created", "X-Other", "1")
	send(Verified, "X-Acme-Topic", "created", "X-Acme-Shop", "one")
	// Moving values to another header or splitting them changes the content.
	send(Verified, "X-Acme-Shop", "created")
	send(Verified, "X-Acme-Topic", "cre", "X-Acme-Topic", "ated")
	send(Verified)
	send(Verified, "X-Acme-Topic", "")
	send(Duplicate)
}

// An attacker sends a captured delivery that was not handled yet, with another
// ID. Neither the provider's delivery nor a later one is lost.
func TestUnsignedIDCannotBlockAGenuineDelivery(t *testing.T) {
	for name, config := range map[string]string{"content unique": unsignedID, "content repeats": unsignedID + "," + repeats} {
		t.Run(name, func(t *testing.T) {
			b := trial(t, acme(config, ""))
			reached := map[string]int{}
			send := func(id, body string) {
				got := b.Send(acmeDelivery(secret, id, body))
				if got.Reached {
					reached[body]++
				}
				if got.Status != 200 {
					t.Errorf("ID %s, body %s: status %d", id, body, got.Status)
				}
			}
			send("future", "captured")  // the attacker
			send("genuine", "captured") // the provider
			send("future", "later")     // a genuine delivery with the ID that the attacker used
			send("future", "later")     // its retry
			if reached["captured"] == 0 || reached["later"] != 1 {
				t.Errorf("the app received: %v", reached)
			}
		})
	}
}

func rotatingConfig(more, handler string, secrets ...string) string {
	var list []string
	for _, s := range secrets {
		list = append(list, `{"secret":"`+s+`"}`)
	}
	return strings.Replace(acme(more, handler), `{"secret":"{env.`+secretVariable+`}"}`, strings.Join(list, ","), 1)
}

// A retry that is signed with another configured secret is still a
// retry, and the app's key does not change while the secrets overlap.
func TestRetriesAreRecognizedDuringRotation(t *testing.T) {
	for name, more := range map[string]string{
		"signed ID": signedID, "unsigned ID": unsignedID, "unsigned ID, content repeats": unsignedID + "," + repeats, "no ID": unique,
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"id":"1"}`
			before := trial(t, rotatingConfig(more, "", "old secret"))
			during := trial(t, rotatingConfig(more, "", "new secret", "old secret"))
			after := trial(t, rotatingConfig(more, "", "new secret"))
			during.handler.store, after.handler.store = before.handler.store, before.handler.store
			key := func(b *bench, secret, body string, want Outcome) string {
				t.Helper()
				got := b.Send(acmeDelivery(secret, "x", body))
				if got.Outcome != want {
					t.Errorf("signed with the %s: %s, want %s", secret, got.Outcome, want)
				}
				return got.ReachedHeader.Get(headerKey)
			}
			oldKey := key(before, "old secret", body, Verified)
			key(during, "new secret", body, Duplicate)
			key(during, "old secret", body, Duplicate)

			during.App = answering(500)
			other := `{"id":"2"}`
			withOld, withNew := key(during, "old secret", other, Verified), key(during, "new secret", other, Verified)
			during.App = nil
			if oldKey == "" || withOld == "" || withOld != withNew {
				t.Errorf("the app's key is %q under the old secret, %q under the new one", withOld, withNew)
			}
			key(during, "new secret", other, Verified)
			key(during, "old secret", other, Duplicate)
			key(after, "new secret", other, Duplicate) // handled while both secrets were configured
		})
	}
}

// While secrets overlap, providers sign with both. Without one of the two
// signatures, it is still the same delivery.
func TestRemovedSignatureDoesNotChangeTheDelivery(t *testing.T) {
	repeated := strings.Replace(rotatingConfig(unsignedID, "", "one", "two"), `"name":"X-Acme-Signature"`, `"name":"X-Acme-Signature","repeated":true`, 1)
	both := func(first, second string) *http.Request {
		r := acmeDelivery(first, "1", "a")
		r.Header.Add("X-Acme-Signature", sign(second, "a"))
		return r
	}
	for _, secrets := range [][2]string{{"one", "two"}, {"two", "one"}} {
		b := trial(t, repeated)
		first := b.Send(both(secrets[0], secrets[1]))
		if first.Outcome != Verified {
			t.Fatalf("%s: %s", first.Outcome, first.Reason)
		}
		b.expect(t, acmeDelivery("one", "1", "a"), Duplicate, 200)
		b.expect(t, acmeDelivery("two", "1", "a"), Duplicate, 200)
	}
}

// Deliveries that were handled before an upgrade still count: the keys of IDs and
// contents are derived as before, and an earlier version wrote both.
func TestDeliveriesHandledByAnEarlierVersionCount(t *testing.T) {
	b := trial(t, acme(unsignedID, ""))
	fingerprint := b.handler.info().Secrets[0].Fingerprint[:]
	earlier := replay.Keys{Blocking: []replay.Key{
		replay.NewKey("", fingerprint, replay.KindID, []byte("1")),
		replay.NewKey("", fingerprint, replay.KindContent, hmacSHA256(secret, "a")),
	}}
	owner := replay.NewOwner()
	if _, err := b.handler.store.Claim(t.Context(), earlier, owner, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := b.handler.store.Commit(t.Context(), earlier, owner, time.Hour, 200); err != nil {
		t.Fatal(err)
	}
	b.expect(t, acmeDelivery(secret, "1", "a"), Duplicate, 200)
	b.expect(t, acmeDelivery(secret, "2", "a"), Replayed, 200)
	b.expect(t, acmeDelivery(secret, "1", "b"), Verified, 200)
}

func TestVerifiedKeyHeader(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		has    bool
	}{
		"signed ID":                    {acme(signedID, ""), true},
		"unsigned ID":                  {acme(unsignedID, ""), true},
		"unsigned ID, content repeats": {acme(unsignedID+","+repeats, ""), true},
		"no ID":                        {acme(unique, ""), true},
		"no ID, content repeats":       {acme(repeats, ""), false},
		"no replay protection":         {acme(unsignedID, `"replay":{"off":true}`), true},
	} {
		t.Run(name, func(t *testing.T) {
			b := trial(t, test.config)
			b.App = answering(500)
			first, retry := b.Send(acmeDelivery(secret, "1", `{"id":"x"}`)), b.Send(acmeDelivery(secret, "1", `{"id":"x"}`))
			key := first.ReachedHeader.Get(headerKey)
			if (key != "") != test.has || retry.ReachedHeader.Get(headerKey) != key || !retry.Reached {
				t.Errorf("the keys are %q and %q, want one: %t", key, retry.ReachedHeader.Get(headerKey), test.has)
			}
		})
	}
}

// Without an ID and with content that repeats, concurrent copies all reach the
// app: merging them would lose a change that arrives while the app processes the
// previous one.
func TestIndistinguishableDeliveriesDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, acme(repeats, ""))
		hold := make(chan struct{})
		b.App = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-hold
			w.WriteHeader(200)
		})
		results := make(chan Result, 5)
		for range cap(results) {
			go func() { results <- b.Send(acmeDelivery(secret, "", "changed")) }()
		}
		synctest.Wait()
		close(hold)
		for range cap(results) {
			if got := <-results; got.Outcome != Verified || !got.Reached {
				t.Errorf("%s, reached %t", got.Outcome, got.Reached)
			}
		}
		if s := b.handler.store.Stats(); s.Remembered != 0 || s.Claimed != 0 {
			t.Errorf("the store contains %+v", s)
		}
	})
}

func TestInvalidReplayOptionsAreRejected(t *testing.T) {
	for _, test := range []struct{ name, config, want string }{
		{"content of a signed ID", config("stripe", `"replay":{"content":"repeats"}`), "signs its delivery ID"},
		{"an unrecognized content", config("github", `"replay":{"content":"sometimes"}`), "write unique or repeats"},
		{"off with content", config("github", `"replay":{"off":true,"content":"unique"}`), "replay is off"},
		{"off with a store", config("github", `"replay":{"off":true,"store":{"type":"memory"}}`), "replay is off"},
		{"custom: unrecognized content", acme(`"content":"often"`, ""), "write unique or repeats"},
		{"custom: content that repeats always and sometimes", acme(repeats+`,"repeats_when":[{"from":"json","name":"a"}]`, ""), "repeats_when"},
		{"custom: repeats_when of a header", acme(`"repeats_when":[{"from":"header","name":"X-A"}]`, ""), "repeats_when"},
		{"custom: a header that cannot be", acme(`"varies":["X A"]`, ""), "varies"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := OpenTrial(quietly(t), json.RawMessage(test.config), nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestEndpointThatCannotDistinguishDeliveriesWarnsAtStart(t *testing.T) {
	for _, test := range []struct {
		config string
		warns  bool
	}{
		{acme(repeats, ""), true},
		{acme(unique, `"replay":{"content":"repeats"}`), true},
		{acme(unsignedID, `"replay":{"off":true}`), true},
		{acme(unique, ""), false},
		{acme(unsignedID+","+repeats, ""), false},
		{acme(repeats, `"replay":{"content":"unique"}`), false},
	} {
		b := trial(t, test.config)
		found := slices.ContainsFunc(b.lines(""), func(line string) bool {
			return strings.Contains(line, "copies of a delivery cannot be recognized") || strings.Contains(line, "replay off")
		})
		if found != test.warns {
			t.Errorf("%s: warned %t, want %t", test.config, found, test.warns)
		}
	}
}

// rowsWritten returns a function that counts the rows of an app that has a
// unique column on Webhook-Verified-Key.
func rowsWritten(b *bench) func() int {
	rows := map[string]bool{}
	keyless := 0
	b.App = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key := r.Header.Get(headerKey); key != "" {
			rows[key] = true
		} else {
			keyless++
		}
		w.WriteHeader(200)
	})
	return func() int { return len(rows) + keyless }
}

func TestUniqueColumnOnTheKeyStoresEachDeliveryOnce(t *testing.T) {
	for name, more := range map[string]string{"content unique": unsignedID, "content repeats": unsignedID + "," + repeats} {
		b := trial(t, acme(more, ""))
		rows := rowsWritten(b)
		for i := range 20 {
			r := func() *http.Request { return acmeDelivery(secret, "one ID for all", fmt.Sprint(i)) }
			b.Send(r())
			b.Send(r())
		}
		if got := rows(); got != 20 {
			t.Errorf("%s: %d rows for 20 genuine deliveries", name, got)
		}
	}
}
