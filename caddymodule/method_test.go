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

// Laravel and WordPress take the method from the query, PHP treats several spellings of
// a name as the same, and WordPress can respond with 200 to everything.
func TestQueryCannotMakeTheAppRespondWithoutHandling(t *testing.T) {
	for query, refused := range map[string]bool{
		"_method=OPTIONS":           true,
		"_method=options":           true,
		"x=1&_method=HEAD":          true,
		"_method=POST&_method=HEAD": true,
		"_method=GET":               true,
		"%5fmethod=%4fPTIONS":       true,
		"%20_method=HEAD":           true,
		".method=HEAD":              true,
		"_METHOD=HEAD":              true,
		"_method%00x=HEAD":          true,
		"x;_method=HEAD":            true,
		"x=%zz&_method=HEAD":        true,
		"_envelope":                 true,
		"_envelope=1":               true,
		"_Envelope=1":               true,
		"_method=POST":              false,
		"_method=PUT":               false,
		"method=HEAD":               false,
		"x=_method&envelope=1":      false,
		"rest_route=/hooks/v1":      false,
	} {
		t.Run(query, func(t *testing.T) {
			b := trial(t, config("github", ""))
			r := github("1", content)
			r.URL.RawQuery, r.RequestURI = query, "/in?"+query
			if got := b.Send(r); got.Reached == refused || refused && (got.Outcome != Malformed || got.Status != 400) {
				t.Errorf("%s, status %d, reached %t", got.Outcome, got.Status, got.Reached)
			}
			b.App = answering(200)
			if refused {
				b.expect(t, github("1", content), Verified, 200)
			}
		})
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
