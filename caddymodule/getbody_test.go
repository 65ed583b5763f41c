package caddymodule

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// If an app closes an idle connection on which a delivery was just sent, the
// transport sends the delivery on another connection, with a body from GetBody.
// Here the app responds before it has read that body, and the handler returns.
// The body must stay valid until the transport closes it.
func TestInvariant10BodyFromGetBodyIsValidUntilItIsClosed(t *testing.T) {
	const atOnce = 8
	for _, size := range bodySizes {
		t.Run(fmt.Sprintf("%d KiB", size>>10), func(t *testing.T) {
			openers, slow, others := newMarkedDeliveries(atOnce, 1<<10), newMarkedDeliveries(atOnce, size), newMarkedDeliveries(3*atOnce, size)
			transport := newSlowTransport(t, slow, append(openers, others...))
			transport.again = true
			app := newClosingApp(t, atOnce, openers, slow, others)
			c := startCaddy(t, "", proxySite(app.Addr().String()))
			client := client(t, "HTTP/1.1")
			c.postAll(client, openers, atOnce, 200)                           // concurrently, so that there are as many connections
			c.postAll(client, slow, atOnce, 200, "Idempotency-Key", "as one") // otherwise the transport does not retry a POST
			c.postAll(client, others, atOnce, 200)
			close(transport.gate)

			late, rest := transport.late()
			for _, l := range append(late, rest...) {
				await(t, "the transport", l.ended)
			}
			lateBytes := 0
			for _, l := range late {
				lateBytes += l.at
				if l.failure != nil {
					t.Errorf("%s was cut off: %v", l.p.id, l.failure)
				}
			}
			if transport.asked != atOnce || lateBytes == 0 {
				t.Errorf("GetBody was called %d times, and %d bytes were read late; want %d", transport.asked, lateBytes, atOnce)
			}
			if held := bodyMemory(t); held > 0 {
				t.Errorf("%d bytes are not released", held)
			}
		})
	}
}

// newClosingApp starts an app that receives the openers together, then the slow
// deliveries together. It reads the slow deliveries and closes their connections. When
// they are retried, it responds before reading.
func newClosingApp(t *testing.T, atOnce int, openers, slow, others []*markedDelivery) *bareApp {
	opened, cut := newBarrier(atOnce), newBarrier(atOnce)
	open, late, whole := byID(openers), byID(slow), byID(others)
	var attempts sync.Map
	return startBareApp(t, func(r *bareRequest) bool {
		id := r.Header.Get("Webhook-Verified-Id")
		if p := open[id]; p != nil {
			opened.wait()
			return r.readThenAnswer(t, p)
		}
		if p := whole[id]; p != nil {
			return r.readThenAnswer(t, p)
		}
		p := late[id]
		if _, again := attempts.LoadOrStore(id, true); !again {
			if err := p.readWhole(r.Body); err != nil {
				t.Error(err)
			}
			cut.wait() // no connection is idle now
			return false
		}
		r.answer(http.StatusOK)
		<-p.answered
		if _, err := p.readBody(r.Body); err != nil {
			t.Error(err)
		}
		return false
	})
}
