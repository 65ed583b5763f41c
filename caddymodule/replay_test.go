package caddymodule

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// standardSecret returns a secret of Standard Webhooks.
func standardSecret(key string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))
}

// standard returns a Standard Webhooks delivery that is signed with each key, in
// order.
func standard(id string, at time.Time, body string, keys ...string) *http.Request {
	t := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, key := range keys {
		signatures = append(signatures, "v1,"+sign64(key, id+"."+t+"."+body))
	}
	return request(body, "webhook-id", id, "webhook-timestamp", t, "webhook-signature", strings.Join(signatures, " "))
}

func standardConfig(keys ...string) string {
	var secrets []string
	for _, key := range keys {
		secrets = append(secrets, `{"secret":"`+standardSecret(key)+`"}`)
	}
	return `{"provider":{"name":"standard-webhooks","secrets":[` + strings.Join(secrets, ",") + `]}}`
}

func TestSignedIDIsTheKey(t *testing.T) {
	b := trial(t, standardConfig("old"))
	b.expect(t, standard("msg_1", present, content, "old"), Verified, 200)
	b.expect(t, standard("msg_1", present.Add(time.Minute), content, "old"), Duplicate, 200) // a retry with a new signature
	b.expect(t, standard("msg_2", present, content, "old"), Verified, 200)                   // the same content with another ID
	changed := standard("msg_1", present, content, "old")
	changed.Header.Set("webhook-id", "msg_3")
	b.expect(t, changed, InvalidSignature, 401)
}

func TestUnsignedIDDoesNotHideAReplay(t *testing.T) {
	b := trial(t, config("github", ""))
	b.expect(t, github("1", content), Verified, 200)
	b.expect(t, github("2", content), Replayed, 200)
	b.expect(t, github("", content), Duplicate, 200)
	b.expect(t, github("1", content), Duplicate, 200)
	b.expect(t, github("1", content+" "), Verified, 200) // an unsigned ID alone never makes a duplicate
}

func TestFailedDeliveryIsReleasedForEveryID(t *testing.T) {
	b := trial(t, config("github", ""))
	b.App = answering(500)
	b.expect(t, github("1", content), Verified, 500)
	b.App = nil
	b.expect(t, github("2", content), Verified, 200)
	b.expect(t, github("1", content), Replayed, 200)
}

// While secrets are rotated, providers sign with both. Each signature alone is
// valid too.
func TestDeliveryWithoutOneOfItsSignaturesIsADuplicate(t *testing.T) {
	for _, left := range []string{"old", "new"} {
		b := trial(t, standardConfig("new", "old"))
		b.expect(t, standard("msg_1", present, content, "old", "new"), Verified, 200)
		b.expect(t, standard("msg_1", present, content, left), Duplicate, 200)
	}
	for _, left := range []string{"old", "new"} {
		b := trial(t, standardConfig("new", "old"))
		b.expect(t, standard("msg_1", present, content, left), Verified, 200)
		b.expect(t, standard("msg_1", present, content, "old", "new"), Duplicate, 200)
	}
}

func TestDeliveriesOfTwoSecretsNeverCollide(t *testing.T) {
	one, two := trial(t, standardConfig("one")), trial(t, standardConfig("two"))
	two.handler.store = one.handler.store
	one.expect(t, standard("msg_1", present, content, "one"), Verified, 200)
	two.expect(t, standard("msg_1", present, content, "two"), Verified, 200)
}

func TestNamespacesSeparateAndMergeEndpoints(t *testing.T) {
	a, b, same := trial(t, config("github", `"namespace":"a"`)), trial(t, config("github", `"namespace":"b"`)), trial(t, config("github", `"namespace":"a"`))
	b.handler.store, same.handler.store = a.handler.store, a.handler.store
	a.expect(t, github("1", content), Verified, 200)
	b.expect(t, github("1", content), Verified, 200)
	same.expect(t, github("1", content), Duplicate, 200)
}

func TestHandledDeliveryIsRememberedForItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"window":"1h"}`))
		b.expect(t, github("1", content), Verified, 200)
		time.Sleep(time.Hour - time.Second)
		b.expect(t, github("1", content), Duplicate, 200)
		time.Sleep(2 * time.Second)
		b.expect(t, github("1", content), Verified, 200)
	})
}

func TestWindowShorterThanTwiceTheToleranceIsRejected(t *testing.T) {
	_, err := OpenTrial(quietly(t), []byte(config("stripe", `"replay":{"window":"9m"}`)), nil)
	if err == nil || !strings.Contains(err.Error(), "write window 10m0s or more") {
		t.Errorf("got %v", err)
	}
}

func TestRetryAfterAFailureOfTheAppIsForwarded(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	overBoth(t, func(t *testing.T, client *http.Client) {
		id := t.Name()
		send := func() answer {
			return c.send(client, strings.NewReader(content+id), githubHeaders(id, content+id)...)
		}
		c.app.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		if got := send(); got.status != 500 {
			t.Errorf("the app's failure: %d", got.status)
		}
		c.app.answers(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		if got := send(); got.status != 502 {
			t.Errorf("the app closing the connection: %d", got.status)
		}
		c.app.answers(nil)
		if got := send(); got.status != 200 {
			t.Errorf("the retry: %d", got.status)
		}
		c.app.arrivals()
		if got := send(); got.status != 200 || len(c.app.arrivals()) != 0 {
			t.Errorf("a duplicate: %d", got.status)
		}
	})
}

func TestInvariant07OneOfManyCopiesReachesTheAppInARealCaddy(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	overBoth(t, func(t *testing.T, client *http.Client) {
		id := t.Name()
		// The other copies get their response after the first one.
		arrived, hold := make(chan struct{}, 60), make(chan struct{})
		c.app.answers(func(w http.ResponseWriter, _ *http.Request) {
			arrived <- struct{}{}
			<-hold
			w.WriteHeader(201)
		})
		var wg sync.WaitGroup
		var good atomic.Int64
		for range 60 {
			wg.Go(func() {
				if got := c.send(client, strings.NewReader(content+id), githubHeaders(id, content+id)...); got.status == 201 || got.status == 200 {
					good.Add(1)
				}
			})
		}
		<-arrived
		close(hold)
		wg.Wait()
		if seen := c.app.arrivals(); len(seen) != 1 || good.Load() != 60 {
			t.Errorf("the app received %d copies, %d of 60 were answered with success", len(seen), good.Load())
		}
	})
}

func TestHandledDeliveriesAreRememberedAcrossReloads(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	client := client(t, "HTTP/1.1")
	c.insist(client, "1")
	for i := range 3 {
		c.load("", siteOf("github", fmt.Sprintf("max_body %dMiB", i+1)))
		client.CloseIdleConnections()
		status := c.insist(client, "1")
		if seen := c.app.arrivals(); status != 200 || len(seen) > 1-min(i, 1) {
			t.Errorf("after reload %d: status %d, the app received %d", i+1, status, len(seen))
		}
	}
}

func TestRejectedConfigDoesNotAffectTheRunningOne(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	client := client(t, "HTTP/1.1")
	c.send(client, strings.NewReader(content), githubHeaders("1", content)...)
	c.app.arrivals()
	for _, broken := range []string{
		siteOf("github", "secret {env.WEBHOOK_UNSET}"),
		siteOf("github", "") + "\nverify_webhook github {env." + secretVariable + "}", // fails after the store was opened
	} {
		config, err := adapt(c.caddyfile("", broken))
		if err != nil {
			t.Fatal(err)
		}
		if err := caddy.Load(config, true); err == nil {
			t.Fatal("the broken config was accepted")
		}
	}
	got := c.send(client, strings.NewReader(content), githubHeaders("1", content)...)
	if seen := c.app.arrivals(); got.status != 200 || len(seen) != 0 {
		t.Errorf("status %d, the app received %d", got.status, len(seen))
	}
}

func TestProviderDisconnectsInARealCaddy(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	overBoth(t, func(t *testing.T, client *http.Client) {
		id := t.Name()
		arrived, hungUp := make(chan struct{}), make(chan struct{})
		c.app.answers(func(w http.ResponseWriter, _ *http.Request) {
			close(arrived)
			<-hungUp
			w.WriteHeader(200)
		})
		r, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/in", strings.NewReader(content+id))
		if err != nil {
			t.Fatal(err)
		}
		for i, h := 0, githubHeaders(id, content+id); i < len(h); i += 2 {
			r.Header.Set(h[i], h[i+1])
		}
		ctx, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		r = r.WithContext(ctx)
		done := make(chan error)
		go func() {
			resp, err := client.Do(r)
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
		<-arrived
		hangUp()
		if err := <-done; err == nil {
			t.Error("the provider did not disconnect")
		}
		close(hungUp)
		// The retry waits for the result, or is a duplicate.
		got := c.send(client, strings.NewReader(content+id), githubHeaders(id, content+id)...)
		if seen := c.app.arrivals(); got.status != 200 || len(seen) != 1 {
			t.Errorf("the retry got %d, the app received %d", got.status, len(seen))
		}
	})
}
