package caddymodule

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// An app that closes a connection that was idle, with a delivery on it, makes
// the transport send the delivery again on another one, with a body that it
// asks us for. The app answers that before it has read it, and the handler
// returns: the transport has what it was given until it lets go of it.
func TestInvariant10ABodyThatTheTransportAskedForIsItsOwnUntilItIsClosed(t *testing.T) {
	const atOnce = 8
	for _, size := range parcelSizes {
		t.Run(fmt.Sprintf("%d KiB", size>>10), func(t *testing.T) {
			openers, slow, others := newParcels(atOnce, 1<<10), newParcels(atOnce, size), newParcels(3*atOnce, size)
			transport := newSlowTransport(t, slow, append(openers, others...))
			transport.again = true
			app := newClosingApp(t, atOnce, openers, slow, others)
			c := startCaddy(t, "", parcelSite(app.Addr().String()))
			client := client(t, "HTTP/1.1")
			c.postAll(client, openers, atOnce, 200)                           // all at once, so that there are as many connections
			c.postAll(client, slow, atOnce, 200, "Idempotency-Key", "as one") // otherwise no POST is sent twice
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
				t.Errorf("%d bodies were asked for, and %d bytes read late; want %d", transport.asked, lateBytes, atOnce)
			}
			if held := bodiesHeld(t); held > 0 {
				t.Errorf("at the end %d bytes are held", held)
			}
		})
	}
}

// newClosingApp starts an app that takes the openers together, then the slow
// parcels together: those it reads, and closes their connections. When they
// come again, it answers first.
func newClosingApp(t *testing.T, atOnce int, openers, slow, others []*parcel) *bareApp {
	opened, cut := newMeeting(atOnce), newMeeting(atOnce)
	open, late, whole := byID(openers), byID(slow), byID(others)
	var attempts sync.Map
	return startBareApp(t, func(r *bareRequest) bool {
		id := r.Header.Get("Webhook-Verified-Id")
		if p := open[id]; p != nil {
			opened.meet()
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
			cut.meet() // no connection is idle now
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
