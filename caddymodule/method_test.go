package caddymodule

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// A recorded delivery that the app has not handled is sent with another method, to
// which the app responds with success. The provider's retry must still reach the app.
// Some frameworks convert methods to upper case.
func TestCopyWithAnotherMethodDoesNotCountAsHandled(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	var handled atomic.Int32
	c.app.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			handled.Add(1)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	overBoth(t, func(t *testing.T, client *http.Client) {
		for _, method := range []string{http.MethodOptions, http.MethodHead, http.MethodTrace, http.MethodGet, "options", "Options", "head", "trace", "get"} {
			t.Run(method, func(t *testing.T) {
				body := t.Name()
				send := func(method string) int {
					r, err := http.NewRequest(method, "http://"+c.addr+"/in", strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					headers := githubHeaders(body, body)
					for i := 0; i < len(headers); i += 2 {
						r.Header.Set(headers[i], headers[i+1])
					}
					resp, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					_, _ = io.Copy(io.Discard, resp.Body)
					return resp.StatusCode
				}
				before := handled.Load()
				if status := send(method); status != http.StatusBadRequest {
					t.Errorf("the copy got %d", status)
				}
				if status := send(http.MethodPost); status != http.StatusOK || handled.Load() != before+1 {
					t.Errorf("the delivery got %d, the app handled %d", status, handled.Load()-before)
				}
			})
		}
	})
	for _, a := range c.app.arrivals() {
		if a.method != http.MethodPost {
			t.Errorf("a %s request reached the app", a.method)
		}
	}
}

// FastCGI apps get methods in upper case. Other methods have responses of success, too,
// such as 207 of PROPFIND.
func TestUnknownSpellingsOfMethodsAreRefused(t *testing.T) {
	b := trial(t, config("github", ""))
	known := []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodConnect}
	var methods []string
	for _, method := range known {
		methods = append(methods, strings.ToLower(method), method[:1]+strings.ToLower(method[1:]), strings.ToLower(method[:1])+method[1:])
	}
	for _, method := range append(methods, "PROPFIND", "QUERY", "M-SEARCH", "PURGE", strings.Repeat("A", 5000)) {
		r := github("", content+method)
		r.Method = method
		got := b.expect(t, r, Malformed, 400)
		if got.Reached || len(got.Reason) > 200 {
			t.Errorf("%.20s: reached the app: %t, reason %.300s", method, got.Reached, got.Reason)
		}
	}
}

// Methods that providers use are forwarded.
func TestMethodsOfDeliveriesAreForwarded(t *testing.T) {
	b := trial(t, config("github", ""))
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		r := github(method, method)
		r.Method = method
		if got := b.Send(r); !got.Reached {
			t.Errorf("%s: %s", method, got.Outcome)
		}
	}
	r := github("empty", "")
	r.Method, r.Body, r.ContentLength = http.MethodGet, http.NoBody, 0
	if got := b.Send(r); !got.Reached {
		t.Errorf("GET without a body: %s", got.Outcome)
	}
}
