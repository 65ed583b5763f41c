package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/body"
)

// A transport may still read after the handler has returned with the app's
// response. Its reads then fail, because other deliveries already use the
// buffers.
func TestInvariant10LateReadsOfTheTransportFail(t *testing.T) {
	for _, app := range []struct {
		protocol string
		start    func(t *testing.T, known map[string]*markedDelivery, status int) string
		status   int
	}{
		{"HTTP/1.1", startEarlyApp, 200},
		{"HTTP/1.1", startEarlyApp, 500},
		// On a failure over HTTP/2, reverse_proxy reads and closes its own wrapper
		// of the body concurrently, which is a data race.
		{"HTTP/2", startEarlyHTTP2App, 200},
	} {
		for _, size := range bodySizes {
			t.Run(fmt.Sprintf("%s, %d KiB, %d", app.protocol, size>>10, app.status), func(t *testing.T) {
				slow, others := newMarkedDeliveries(8, size), newMarkedDeliveries(16, size)
				transport := newSlowTransport(t, slow, others)
				c := startCaddy(t, "", proxySite(app.start(t, byID(append(others, slow...)), app.status)))
				client := client(t, "HTTP/1.1")
				c.postAll(client, slow, len(slow), app.status)
				c.postAll(client, others, 8, app.status)
				close(transport.gate)

				late, rest := transport.late()
				if len(late) != len(slow) {
					t.Errorf("%d deliveries with %d readers", len(slow), len(late))
				}
				for _, l := range append(late, rest...) {
					await(t, "the transport", l.ended)
				}
				for _, l := range late {
					if l.at > 0 || !errors.Is(l.failure, body.ErrClosed) {
						t.Errorf("%s: %d bytes were read late, then %v", l.p.id, l.at, l.failure)
					}
				}
				if held := bodyMemory(t); held > 0 {
					t.Errorf("%d bytes are not released", held)
				}
			})
		}
	}
}

// startEarlyApp starts an app that responds after the request header, and reads
// the body when the sender has the response.
func startEarlyApp(t *testing.T, known map[string]*markedDelivery, status int) string {
	return startBareApp(t, func(r *bareRequest) bool {
		p := known[r.Header.Get("Webhook-Verified-Id")]
		r.answer(status)
		<-p.answered
		n, err := p.readBody(r.Body)
		if err != nil {
			t.Error(err)
		}
		return n == len(p.body)
	}).Addr().String()
}

// A handler that returns during a read of the transport does not wait for it,
// and does not reuse its buffer.
func TestInvariant10ReadInProgressEndsAfterTheHandlerHasReturned(t *testing.T) {
	for _, size := range bodySizes {
		t.Run(fmt.Sprintf("%d KiB", size>>10), func(t *testing.T) {
			deliveries := newMarkedDeliveries(64, size)
			transport := newSlowTransport(t, deliveries, nil)
			transport.overtaken = true
			app := startBareApp(t, func(r *bareRequest) bool {
				// The transport does not wait for the app to read or to close.
				_, _ = io.WriteString(r.Conn, "HTTP/1.1 200 Done\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				return false
			})
			c := startCaddy(t, "", proxySite(app.Addr().String()))
			c.postAll(client(t, "HTTP/1.1"), deliveries, 8, 200)

			late, _ := transport.late()
			overtaken := 0
			for _, l := range late {
				await(t, "the transport", l.ended)
				if l.at > 0 && errors.Is(l.failure, body.ErrClosed) {
					overtaken++
				}
			}
			if overtaken == 0 {
				t.Error("no handler returned during a read")
			}
			if held := bodyMemory(t); held > 0 {
				t.Errorf("%d bytes are not released", held)
			}
		})
	}
}

// An app may begin its response, read the body while other deliveries are
// handled, and then end its response. The body stays available until then.
func TestInvariant10AppThatRespondsEarlyGetsTheWholeBody(t *testing.T) {
	for protocol, upstream := range map[string]string{"HTTP/1.1": "", "HTTP/2": "h2c://"} {
		for _, size := range bodySizes {
			t.Run(fmt.Sprintf("%s, %d KiB", protocol, size>>10), func(t *testing.T) {
				slow, others := newMarkedDeliveries(8, size), newMarkedDeliveries(24, size)
				transport := newSlowTransport(t, slow, others)
				begun := newBarrier(len(slow) + 1)
				app := startStreamingApp(t, slow, others, begun, transport.gate)
				c := startCaddy(t, "", proxySite(upstream+app.Listener.Addr().String()))
				client := client(t, "HTTP/1.1")
				var senders sync.WaitGroup
				senders.Go(func() { c.postAll(client, slow, len(slow), 200) })
				begun.wait()
				c.postAll(client, others, 8, 200)
				close(transport.gate)
				senders.Wait()

				late, _ := transport.late()
				for _, l := range late {
					await(t, "the transport", l.ended)
					if l.at != size {
						t.Errorf("%s: %d bytes were read late", l.p.id, l.at)
					}
				}
			})
		}
	}
}

// startStreamingApp starts an app that sends the header of its response to a slow
// delivery first, and continues when proceed is closed.
func startStreamingApp(t *testing.T, slow, others []*markedDelivery, begun *barrier, proceed <-chan struct{}) *httptest.Server {
	talkative, whole := byID(slow), byID(others)
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Webhook-Verified-Id")
		p := whole[id]
		if p == nil {
			p = talkative[id]
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex() // not needed for HTTP/2
			w.WriteHeader(http.StatusOK)
			if err := rc.Flush(); err != nil {
				t.Error(err)
			}
			begun.wait()
			<-proceed
		}
		if err := p.readWhole(r.Body); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "done")
	}))
	app.Config.Protocols = new(http.Protocols)
	app.Config.Protocols.SetHTTP1(true)
	app.Config.Protocols.SetUnencryptedHTTP2(true)
	app.Start()
	t.Cleanup(app.Close)
	return app
}
