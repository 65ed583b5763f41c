package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redisserver"
)

// operator is a client of the admin API of the Caddy in this process.
type operator struct {
	t     *testing.T
	admin string
}

func (o operator) ask(method, path, body string) (int, []DeliveryStatus, string) {
	o.t.Helper()
	r, err := http.NewRequest(method, "http://"+o.admin+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	var found []DeliveryStatus
	if resp.StatusCode == 200 {
		if err := json.Unmarshal(raw, &found); err != nil {
			o.t.Fatalf("%v: %s", err, raw)
		}
	}
	return resp.StatusCode, found, string(raw)
}

func (o operator) seen(provider, id, state string) {
	o.t.Helper()
	status, found, raw := o.ask(http.MethodGet, AdminSeenPath+"?"+url.Values{"provider": {provider}, "id": {id}}.Encode(), "")
	if status != 200 || len(found) != 1 || found[0].State != state {
		o.t.Errorf("%s %s: status %d, %s; want %s", provider, id, status, raw, state)
	}
}

func (o operator) forget(provider, id string, forgotten bool) {
	o.t.Helper()
	status, found, raw := o.ask(http.MethodPost, AdminForgetPath, fmt.Sprintf(`{"provider":%q,"id":%q}`, provider, id))
	if status != 200 || len(found) != 1 || found[0].Forgotten != forgotten {
		o.t.Errorf("%s %s: status %d, %s; want forgotten %t", provider, id, status, raw, forgotten)
	}
}

// deliver sends a GitHub delivery with its own body.
func (c *realCaddy) deliver(id, body string, status, reached int) {
	c.t.Helper()
	got := c.send(client(c.t, "HTTP/1.1"), strings.NewReader(body), githubHeaders(id, body)...)
	if seen := c.app.arrivals(); got.status != status || len(seen) != reached {
		c.t.Errorf("%s: status %d, the app received %d; want %d, %d", id, got.status, len(seen), status, reached)
	}
}

func startWithAdmin(t *testing.T, site string) (*realCaddy, operator) {
	admin := freeAddress(t)
	return startCaddy(t, "admin "+admin, site), operator{t, admin}
}

// siteWith returns the config of an endpoint with a store, in front of the app.
func siteWith(store string) string {
	return fmt.Sprintf(`verify_webhook github {env.%s} {
		replay {
			store %s
		}
	}
	reverse_proxy APP`, secretVariable, store)
}

// overStores runs a test with each store; store is an argument for siteWith.
func overStores(t *testing.T, test func(t *testing.T, store string)) {
	t.Run("memory", func(t *testing.T) { test(t, "memory STORE") })
	t.Run("file", func(t *testing.T) { test(t, "file "+t.TempDir()+"/a.db") })
	t.Run("redis", func(t *testing.T) {
		const password = "p@ss:w/rd?{}%#"
		t.Setenv("REDIS_PASSWORD", password)
		test(t, "redis redis://:{env.REDIS_PASSWORD}@"+redisserver.Start(t, password))
	})
}

func TestForgottenDeliveryIsAcceptedOnce(t *testing.T) {
	overStores(t, func(t *testing.T, store string) {
		c, o := startWithAdmin(t, siteWith(store))
		o.seen("github", "1", "free")
		c.deliver("1", "one", 200, 1)
		c.deliver("2", "two", 200, 1)
		o.seen("github", "1", "handled")
		c.deliver("1", "one", 200, 0)
		o.forget("github", "1", true)
		o.seen("github", "1", "free")

		c.deliver("9", "one", 200, 0) // the pass is for this ID only
		c.deliver("1", "one", 200, 1)
		c.deliver("1", "one", 200, 0) // and for one delivery
		c.deliver("9", "one", 200, 0)
		c.deliver("2", "two", 200, 0) // other deliveries are not affected
		o.seen("github", "1", "handled")

		o.forget("github", "1", true) // a second pass, also for one delivery
		o.forget("github", "1", false)
		c.deliver("1", "one", 200, 1)
		c.deliver("1", "one", 200, 0)
	})
}

func TestOneOfManyCopiesOfAForgottenDeliveryReachesTheApp(t *testing.T) {
	overStores(t, func(t *testing.T, store string) {
		c, o := startWithAdmin(t, siteWith(store))
		c.deliver("1", "one", 200, 1)
		client := client(t, "HTTP/1.1")
		for range 10 {
			o.forget("github", "1", true)
			var good atomic.Int64
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if got := c.send(client, strings.NewReader("one"), githubHeaders("1", "one")...); got.status == 200 {
						good.Add(1)
					}
				})
			}
			wg.Wait()
			if seen := c.app.arrivals(); len(seen) != 1 || good.Load() != 50 {
				t.Errorf("the app received %d, %d of 50 had success", len(seen), good.Load())
			}
		}
	})
}

func TestForgottenDeliveryCanBeRetriedIfTheAppFails(t *testing.T) {
	overStores(t, func(t *testing.T, store string) {
		c, o := startWithAdmin(t, siteWith(store))
		c.deliver("1", "one", 200, 1)
		o.forget("github", "1", true)
		c.app.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		c.deliver("1", "one", 500, 1)
		c.app.answers(nil)
		c.deliver("1", "one", 200, 1)
		c.deliver("1", "one", 200, 0)
	})
}

func TestForgettingAnUnhandledIDGrantsNoPass(t *testing.T) {
	overStores(t, func(t *testing.T, store string) {
		c, o := startWithAdmin(t, siteWith(store))
		c.deliver("1", "one", 200, 1)
		o.forget("github", "never seen", false)
		c.deliver("never seen", "one", 200, 0)
	})
}

func TestAdminAPIErrors(t *testing.T) {
	c, o := startWithAdmin(t, siteWith("memory STORE"))
	for _, q := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", AdminForgetPath, `{"provider":"githup","id":"1"}`, 404, "available: github"},
		{"POST", AdminForgetPath, `{"provider":"github"}`, 400, "must not be empty"},
		{"POST", AdminForgetPath, `{"provider":"github","ids":"1"}`, 400, "unknown field"},
		{"POST", AdminForgetPath, strings.Repeat(" ", 1<<17), 400, "reading the request"},
		{"GET", AdminForgetPath, "", 405, "POST"},
		{"POST", AdminSeenPath, "", 405, "GET"},
		{"GET", AdminSeenPath + "?provider=github", "", 400, "must not be empty"},
	} {
		status, _, raw := o.ask(q.method, q.path, q.body)
		if status != q.status || !strings.Contains(raw, q.want) {
			t.Errorf("%s %s %.40s: status %d, %s; want %d, %q", q.method, q.path, q.body, status, raw, q.status, q.want)
		}
	}

	// A config that fails to start does not replace the running one.
	config, err := adapt(c.caddyfile("admin "+o.admin, siteWith("memory STORE")+"\nverify_webhook github {env."+secretVariable+"}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err == nil {
		t.Fatal("the broken config was accepted")
	}
	o.seen("github", "1", "free")
}
