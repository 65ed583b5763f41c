package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Providers send deliveries while an operator reloads.
func TestReloadsUnderLoadRejectNothingAndForwardNothingTwice(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	var reloaded atomic.Bool
	var sent atomic.Int64
	var senders sync.WaitGroup
	for sender := range 4 {
		client := client(t, "HTTP/1.1")
		senders.Go(func() {
			for i := 0; !reloaded.Load(); i++ {
				id := fmt.Sprint(sender, "-", i)
				for range 2 { // the second is a duplicate, perhaps in another config
					if status := c.insist(client, id); status != 200 {
						t.Errorf("%s got %d", id, status)
					}
				}
				sent.Add(1)
			}
		})
	}
	for i := range 50 {
		c.load("", siteOf("github", fmt.Sprintf("max_body %dKiB", 100+i)))
	}
	reloaded.Store(true)
	senders.Wait()

	seen := make(map[string]int)
	for _, a := range c.app.arrivals() {
		seen[a.header.Get("X-GitHub-Delivery")]++
	}
	if int64(len(seen)) != sent.Load() {
		t.Errorf("%d of %d deliveries reached the app", len(seen), sent.Load())
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s reached the app %d times", id, n)
		}
	}
}

// insist retries a delivery if its connection is lost, as providers do: a reload
// can close a socket with connections that were not accepted yet.
func (c *realCaddy) insist(client *http.Client, id string) int {
	for range 100 {
		r, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/in", strings.NewReader(content+id))
		if err != nil {
			c.t.Error(err)
			return 0
		}
		for i, h := 0, githubHeaders(id, content+id); i < len(h); i += 2 {
			r.Header.Set(h[i], h[i+1])
		}
		resp, err := client.Do(r)
		if err == nil {
			resp.Body.Close()
			return resp.StatusCode
		}
	}
	return 0
}
