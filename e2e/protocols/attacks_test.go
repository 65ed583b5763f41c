package protocols

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

// signed returns the headers of a GitHub delivery.
func signed(body []byte) []field {
	mac := hmac.New(sha256.New, []byte(githubSecret))
	mac.Write(body)
	return []field{{"X-GitHub-Event", "push"}, {"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(mac.Sum(nil))}}
}

func declared(n int) field { return field{"Content-Length", strconv.Itoa(n)} }

// spoofed are forged identity headers or provider headers, as headers or trailers.
var spoofed = []field{
	{"webhook-verified-id", forged},
	{"webhook_verified_id", forged},
	{"webhook-verified-key", forged},
	{"webhook-verified-provider", forged},
	{"x-github-event", forged},
	{"x-forged", forged},
}

// genuine are the ways in which a complete signed body can arrive.
var genuine = map[string]struct {
	body []byte // empty, or the prefix of a number
	more []field
	send func(s stream, body []byte) error
}{
	"in one frame": {body: []byte("body"), send: inOne},
	"a byte in a frame": {body: []byte("body"), send: func(s stream, body []byte) error {
		for i := range body {
			if err := s.data(body[i:i+1], i == len(body)-1); err != nil {
				return err
			}
		}
		return nil
	}},
	"with empty frames": {body: []byte("body"), send: func(s stream, body []byte) error {
		return errors.Join(s.data(nil, false), s.data(body, false), s.data(nil, false), s.data(nil, true))
	}},
	"with trailers": {body: []byte("body"), more: []field{{"Trailer", "X-Forged"}}, send: func(s stream, body []byte) error {
		return errors.Join(s.data(body, false), s.trailers(spoofed))
	}},
	"with Expect":               {body: []byte("body"), more: []field{{"Expect", "100-continue"}}, send: inOne},
	"in a temporary file":       {body: bytes.Repeat([]byte("body"), 600<<10), send: inOne},
	"empty, in an empty frame":  {send: inOne},
	"empty, without a frame":    {},
	"empty, only with trailers": {send: func(s stream, _ []byte) error { return s.trailers(spoofed) }},
}

func inOne(s stream, body []byte) error { return s.data(body, true) }

// A genuine body reaches the app with its length, and without other data, regardless of
// its framing and of Content-Length.
func TestInvariant01AGenuineBodyArrivesInEveryFraming(t *testing.T) {
	s := startSite(t)
	overEach(t, s, func(t *testing.T, dial func() connection) {
		c, n := dial(), 0
		for name, way := range genuine {
			for front := range fronts {
				for _, declare := range []bool{true, false} {
					n++
					body := way.body
					if len(body) > 0 {
						body = fmt.Appendf(nil, "%s%s %d", body, t.Name(), n)
					}
					mark := s.newMark()
					headers := append(append(signed(body), field{sidecar.Mark, mark}, field{"X-GitHub-Delivery", mark}), way.more...)
					headers = append(headers, field{"Webhook-Verified-Id", forged}, field{"Webhook_Verified_Key", forged})
					if declare {
						headers = append(headers, declared(len(body)))
					}
					before := len(s.seen())
					request, err := c.open(s.post("/"+front+"/github", headers...), way.send == nil)
					if err == nil && way.send != nil {
						err = way.send(request, body)
					}
					if err != nil {
						t.Fatalf("%s, behind %s, declared %t: %v", name, front, declare, err)
					}
					status, err := request.response()
					outcome := s.outcome(t, mark)
					repeated := len(body) == 0 && outcome == "replayed" // the same content each time
					if err != nil || (status != 202 && !repeated) || (outcome != "verified" && !repeated) {
						t.Errorf("%s, behind %s, declared %t: %d (%s), %v", name, front, declare, status, outcome, err)
						continue
					}
					if repeated {
						continue
					}
					seen := s.seen()
					if len(seen) != before+1 || !bytes.Equal(seen[before].body, body) || seen[before].header.Get(identity+"Id") != mark {
						t.Errorf("%s, behind %s, declared %t: the app got %d requests, the last with %d bytes", name, front, declare, len(seen)-before, len(seen[len(seen)-1].body))
					}
				}
			}
		}
	})
}

// attack is a request of which no byte must reach the app.
type attack struct {
	path    string // after the front
	headers []field
	send    func(s stream) // sends the data after the headers
	// then aborts the request while Caddy handles it.
	then func(c connection, s stream)
	// outcomes are the allowed outcomes in the access log; "" means that Caddy
	// refuses the request before it reaches the handler.
	outcomes []string
	answered bool // the sender must get a status, not a reset stream
}

var (
	body       = []byte(strings.Repeat("the complete body, which is "+forged+". ", 40))
	half       = body[:len(body)/2]
	long       = bytes.Repeat([]byte(forged+" "), maxBody/8)
	wrongly    = []field{{"X-Hub-Signature-256", "sha256=" + strings.Repeat("0", 64)}}
	whole      = func(s stream) { _ = s.data(body, true) }
	halfOf     = func(s stream) { _ = s.data(half, true) }
	begin      = func(s stream) { _ = s.data(half, false) }
	nothing    = func(stream) {}
	empty      = func(s stream) { _ = s.data(nil, true) }
	inTwo      = func(s stream) { _ = s.data(half, false); _ = s.data(half, true) }
	wholeLong  = func(s stream) { _ = s.data(long, false); _ = s.data(long, true) } // the server does not have to read it
	followedBy = func(p []byte, trailers ...field) func(stream) {
		return func(s stream) { _ = s.data(p, false); _ = s.trailers(trailers) }
	}
	reset = func(_ connection, s stream) { s.reset() }
	drop  = func(c connection, _ stream) { c.close() }
)

func with(fields []field, more ...field) []field {
	return append(append([]field(nil), fields...), more...)
}

// attacks are requests with a faulty body. A signature is valid for the intended body, or
// for the part that is sent.
func attacks() map[string]attack {
	all := map[string]attack{
		"longer than declared":                          {headers: with(signed(body), declared(len(body)-5)), send: whole, outcomes: []string{"malformed", "invalid_signature"}},
		"longer than declared, that part signed":        {headers: with(signed(half), declared(len(half))), send: whole, outcomes: []string{"malformed", "invalid_signature"}},
		"longer than declared, in another frame":        {headers: with(signed(half), declared(len(half))), send: inTwo, outcomes: []string{"malformed"}},
		"declared as empty, then nothing":               {path: "impatient", headers: with(signed(nil), declared(0)), send: nothing, outcomes: []string{"body_timeout"}, answered: true},
		"an unreadable length, then nothing":            {path: "impatient", headers: with(signed(nil), field{"Content-Length", "-1"}), send: nothing, outcomes: []string{"", "body_timeout"}},
		"the declared length, but no end":               {path: "impatient", headers: with(signed(body), declared(len(body))), send: func(s stream) { _ = s.data(body, false) }, outcomes: []string{"body_timeout"}, answered: true},
		"longer than declared as empty":                 {headers: with(signed(nil), declared(0)), send: whole, outcomes: []string{"malformed", "invalid_signature"}},
		"shorter than declared":                         {headers: with(signed(body), declared(len(body)+5)), send: whole, outcomes: []string{"malformed"}},
		"shorter than declared, that part signed":       {headers: with(signed(half), declared(len(body))), send: halfOf, outcomes: []string{"malformed"}},
		"nothing of the declared length":                {headers: with(signed(nil), declared(len(body))), send: empty, outcomes: []string{"malformed"}},
		"a part, with a token":                          {path: "gitlab", headers: []field{{"X-Gitlab-Token", gitlabToken}, {"X-Gitlab-Event", "Push Hook"}, declared(len(body))}, send: halfOf, outcomes: []string{"malformed"}},
		"a part, then trailers":                         {headers: with(signed(half), declared(len(body))), send: followedBy(half, spoofed...), outcomes: []string{"malformed"}},
		"a part, as if complete":                        {headers: signed(body), send: halfOf, outcomes: []string{"invalid_signature"}, answered: true},
		"aborted, declared":                             {headers: with(signed(body), declared(len(body))), send: begin, then: reset, outcomes: []string{"malformed"}},
		"aborted, not declared":                         {headers: signed(half), send: begin, then: reset, outcomes: []string{"malformed"}},
		"aborted, with a token":                         {path: "gitlab", headers: []field{{"X-Gitlab-Token", gitlabToken}, {"X-Gitlab-Event", "Push Hook"}}, send: begin, then: reset, outcomes: []string{"malformed"}},
		"the connection closed":                         {headers: with(signed(body), declared(len(body))), send: begin, then: drop, outcomes: []string{"malformed"}},
		"the connection closed, not declared":           {headers: signed(half), send: begin, then: drop, outcomes: []string{"malformed"}},
		"a body that stalls":                            {path: "impatient", headers: with(signed(body), declared(len(body))), send: begin, outcomes: []string{"body_timeout"}, answered: true},
		"a body that stalls, undeclared":                {path: "impatient", headers: signed(half), send: begin, outcomes: []string{"body_timeout"}, answered: true},
		"a body that does not arrive":                   {path: "impatient", headers: signed(body), send: nothing, outcomes: []string{"body_timeout"}, answered: true},
		"declared too large":                            {headers: with(signed(long), declared(2*len(long))), send: wholeLong, outcomes: []string{"too_large"}},
		"declared too large, with Expect":               {headers: with(signed(long), declared(2*len(long)), field{"Expect", "100-continue"}), send: nothing, outcomes: []string{"too_large"}, answered: true},
		"too large":                                     {headers: signed(long), send: wholeLong, outcomes: []string{"too_large"}},
		"signature in a trailer":                        {send: followedBy(body, with(spoofed, lower(signed(body))...)...), outcomes: []string{"missing_signature"}, answered: true},
		"two signatures":                                {headers: with(signed(body), wrongly...), send: whole, outcomes: []string{"malformed"}, answered: true},
		"two lengths":                                   {headers: with(signed(half), declared(len(half)), declared(len(body))), send: whole, outcomes: []string{"", "malformed"}},
		"two lengths, the longer first":                 {headers: with(signed(half), declared(len(body)), declared(len(half))), send: halfOf, outcomes: []string{"", "malformed"}},
		"a negative length":                             {headers: with(signed(half), declared(-1)), send: whole, outcomes: []string{"", "malformed", "invalid_signature"}},
		"chunked, which is not part of these protocols": {headers: with(signed(nil), field{"Transfer-Encoding", "chunked"}), send: whole, outcomes: []string{"", "invalid_signature"}},
		"trailers in capitals":                          {headers: signed(body), send: followedBy(body, field{"Webhook-Verified-Id", forged}), outcomes: []string{"malformed"}},
		"trailers with a pseudo-header":                 {headers: signed(body), send: followedBy(body, field{":path", "/" + forged}), outcomes: []string{"malformed", "invalid_signature"}},
	}
	// A request that its headers refuse is refused regardless of its body.
	for refusal, headers := range map[string][]field{"no signature": nil, "a wrong signature": wrongly} {
		outcome := "missing_signature"
		if headers != nil {
			outcome = "invalid_signature"
		}
		all[refusal] = attack{headers: with(headers, spoofed[:4]...), send: whole, outcomes: []string{outcome}, answered: true}
		all[refusal+", declared"] = attack{headers: with(headers, declared(len(body))), send: whole, outcomes: []string{outcome}, answered: true}
		all[refusal+", with trailers"] = attack{headers: headers, send: followedBy(body, with(spoofed, lower(signed(body))...)...), outcomes: []string{outcome}, answered: true}
		all[refusal+", empty"] = attack{headers: headers, send: empty, outcomes: []string{outcome}, answered: true}
		all[refusal+", too large"] = attack{headers: headers, send: wholeLong, outcomes: []string{outcome, "too_large"}}
		all[refusal+", aborted"] = attack{headers: headers, send: begin, then: reset, outcomes: []string{outcome, "malformed"}}
		all[refusal+", the connection closed"] = attack{headers: headers, send: begin, then: drop, outcomes: []string{outcome, "malformed"}}
	}
	return all
}

// No byte of a faulty body reaches the app, behind any handler and through an error route
// to the app. The connection stays usable.
func TestInvariant01NoByteOfABrokenOrUnsignedBodyReachesTheApp(t *testing.T) {
	s := startSite(t)
	overEach(t, s, func(t *testing.T, dial func() connection) {
		for front := range fronts {
			t.Run(front, func(t *testing.T) {
				t.Parallel()
				c := dial()
				for name, a := range attacks() {
					s.attack(t, c, front, name, a)
					// Trailers after a response end an HTTP/2 connection.
					if a.then != nil || strings.Contains(name, "trailer") {
						c = dial()
					}
					s.mustAccept(t, c, front, name)
				}
			})
		}
	})
}

// attack sends one request and checks its outcome.
func (s *site) attack(t *testing.T, c connection, front, name string, a attack) {
	t.Helper()
	mark, path := s.newMark(), a.path
	if path == "" {
		path = "github"
	}
	request, err := c.open(s.post("/"+front+"/"+path, with(a.headers, field{sidecar.Mark, mark})...), false)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	a.send(request)
	if a.then != nil {
		s.begun(t, mark, front+"-"+path)
		a.then(c, request)
	}
	status, err := request.response()
	if errors.Is(err, errLate) || (a.answered && err != nil) {
		t.Errorf("%s: %v", name, err)
	}
	if err == nil && status < 400 {
		t.Errorf("%s: the sender got %d", name, status)
	}
	if a.outcomes[0] == "" {
		return // if the server refused it before the handler, it is not in the log
	}
	outcome := s.outcome(t, mark)
	if outcome == "" && err != nil && strings.Contains(fronts[front], "forward_auth") {
		return // the HTTP/2 server aborted it during forward_auth
	}
	if !slices.Contains(a.outcomes, outcome) {
		t.Errorf("%s: %q, want one of %q; the sender got %d, %v", name, outcome, a.outcomes, status, err)
	}
}

// mustAccept sends a genuine delivery after an attack.
func (s *site) mustAccept(t *testing.T, c connection, front, after string) {
	t.Helper()
	mark := s.newMark()
	body := []byte("genuine " + mark)
	request, err := c.open(s.post("/"+front+"/github", with(signed(body), field{sidecar.Mark, mark})...), false)
	if err == nil {
		err = request.data(body, true)
	}
	if err != nil {
		t.Fatalf("after %s: %v", after, err)
	}
	if status, err := request.response(); status != 202 || err != nil {
		t.Fatalf("after %s a genuine delivery gets %d, %v", after, status, err)
	}
}

// The app's result counts even if the sender closed the connection.
func TestAClosedConnectionDoesNotUndoTheAppsWork(t *testing.T) {
	s := startSite(t)
	overEach(t, s, func(t *testing.T, dial func() connection) {
		for name, leave := range map[string]func(connection, stream){"connection": drop, "stream": reset} {
			body := []byte(t.Name() + name)
			before := len(s.seen())
			send := func(c connection, mark string) stream {
				request, err := c.open(s.post("/plain/github", with(signed(body), field{sidecar.Mark, mark})...), false)
				if err == nil {
					err = request.data(body, false)
				}
				if err == nil {
					err = request.data(nil, true)
				}
				if err != nil {
					t.Fatal(err)
				}
				return request
			}
			release := s.hold(t)
			c, mark := dial(), s.newMark()
			request := send(c, mark)
			<-s.arrived
			leave(c, request)
			release()
			if outcome := s.outcome(t, mark); outcome != "verified" {
				t.Errorf("%s: the first attempt has the outcome %q", name, outcome)
			}
			mark = s.newMark()
			status, err := send(dial(), mark).response()
			if outcome := s.outcome(t, mark); status != 200 || err != nil || outcome != "duplicate" {
				t.Errorf("%s: the retry gets %d (%s), %v", name, status, outcome, err)
			}
			if n := len(s.seen()) - before; n != 1 {
				t.Errorf("%s: the app got it %d times", name, n)
			}
		}
	})
}
