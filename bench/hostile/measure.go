//go:build unix

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// endpoint is a real handler, configured for a provider as in one of its vectors.
type endpoint struct {
	provider string
	vector   conformance.Vector
	trial    *dryrun.Endpoint
	coded    bool               // the provider has its own code
	inflates bool               // it signs bodies before compression
	maxBody  int                // the default for such a request, in bytes
	spent    map[string]float64 // CPU time for each byte of the last size, by shape
}

// endpoints configures at most `most` endpoints for every preset, one for each
// combination of method and content type of its genuine requests.
func endpoints(vectors string, most int) ([]*endpoint, error) {
	var out []*endpoint
	for _, p := range provider.Presets() {
		all, err := conformance.ReadFile(filepath.Join(vectors, p.Name+".json"))
		if err != nil {
			return nil, err
		}
		n := 0
		var kinds []string
		for _, v := range genuine(all) {
			kind := fmt.Sprint(v.Request.Method, v.Request.Headers["Content-Type"], variant(v), len(v.Request.Headers))
			if n == most || slices.Contains(kinds, kind) {
				continue
			}
			kinds = append(kinds, kind)
			trial, err := oneSecret(v).Open()
			if err != nil {
				trial, err = v.Open() // some vectors need all secrets
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			n++
			e := &endpoint{provider: p.Name, vector: v, trial: trial, coded: p.Code != nil || p.Values != nil, inflates: inflates(&p)}
			e.maxBody = cmp.Or(int(p.MaxBody), e.defaultMaxBody())
			out = append(out, e)
		}
		if n == 0 {
			return nil, fmt.Errorf("%s has no vector of a genuine delivery", p.Name)
		}
	}
	return out, nil
}

// defaultMaxBody is the handler's usual default of max_body.
const defaultMaxBody = 25 << 20

// defaultMaxBody returns the default of max_body for requests like the vector's.
func (e *endpoint) defaultMaxBody() int {
	for most := defaultMaxBody; ; {
		c, ok := e.send("", unsigned(with(e.vector.Request, make([]byte, most))))
		if !ok || c.outcome != string(caddymodule.TooLarge) {
			return most
		}
		most = min(most/2, 4<<20)
	}
}

// inflates reports whether a preset signs bodies before compression.
func inflates(p *provider.Preset) bool {
	return slices.ContainsFunc(p.Schemes, func(s signature.Scheme) bool { return strings.Contains(s.Signed, "{body_inflated}") })
}

// oneSecret returns the vector with only the first of its secrets, because the body
// is hashed once for each secret.
func oneSecret(v conformance.Vector) conformance.Vector {
	var options map[string]any
	if json.Unmarshal(v.Provider, &options) != nil {
		return v // the handler reports the error
	}
	secrets, _ := options["secrets"].([]any)
	if len(secrets) < 2 {
		return v
	}
	options["secrets"] = secrets[:1]
	if raw, err := json.Marshal(options); err == nil {
		v.Provider = raw
	}
	return v
}

// variant returns the `scheme` option of a vector's endpoint.
func variant(v conformance.Vector) string {
	var options struct {
		Scheme string `json:"scheme"`
	}
	_ = json.Unmarshal(v.Provider, &options) // the handler reports errors
	return options.Scheme
}

// genuine returns the vectors of genuine deliveries, or of handshakes if there are
// no deliveries.
func genuine(all []conformance.Vector) []conformance.Vector {
	accepted := slices.DeleteFunc(all, func(v conformance.Vector) bool { return v.Expect != "accept" })
	deliveries := slices.DeleteFunc(slices.Clone(accepted), func(v conformance.Vector) bool { return v.Answer != nil })
	if len(deliveries) > 0 {
		return deliveries
	}
	return accepted
}

// cost is the cost of one request.
type cost struct {
	provider, shape string
	size            int // of the request: headers, URL and body
	allocated       int // bytes, including those freed immediately
	cpu             time.Duration
	outcome         string
	request         conformance.Request
	endpoint        *endpoint
}

// constant is the allocation in bytes that is allowed for a request of any size.
const constant = 512 << 10

// multiple returns the allocation above the constant as a multiple of the size.
func (c *cost) multiple() float64 { return float64(c.allocated-constant) / float64(c.size) }

// sizeOf returns the size of the request on the wire.
func sizeOf(r *http.Request) int {
	n := len(r.RequestURI) + max(0, int(r.ContentLength))
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value) + 4
		}
	}
	return n
}

// send sends a request and measures it. It returns false if the request is genuine
// or if no server could receive it.
func (e *endpoint) send(name string, q conformance.Request) (cost, bool) {
	r, err := q.HTTP()
	if err != nil {
		return cost{}, false
	}
	c := cost{provider: e.provider, shape: name, size: sizeOf(r), request: q, endpoint: e}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := cpuTime()
	tried := e.trial.Send(r)
	c.cpu = cpuTime() - start
	runtime.ReadMemStats(&after)
	c.allocated = int(after.TotalAlloc - before.TotalAlloc)
	c.outcome = tried.Outcome
	return c, !tried.Reached && tried.Outcome != string(caddymodule.Handshake) && tried.Outcome != string(caddymodule.Duplicate) && tried.Outcome != string(caddymodule.Replayed)
}

// cpuTime returns the user and system time of the process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Above this size, only the shapes that took the most CPU time in the size before it
// are sent, because work before trust is linear, and sending all takes an hour.
const (
	allShapes = 4 << 20
	decisive  = 8
)

// attack sends shapes of one size and calls each with the cost of each request.
func (e *endpoint) attack(size int, generic map[string][]byte, each func(cost)) {
	sent := e.shapesFor(size)
	spent := make(map[string]float64)
	genuine := e.vector.Request
	try := func(name string, q conformance.Request) {
		for _, q := range []conformance.Request{unsigned(q), q} {
			if c, ok := e.send(name, q); ok {
				spent[name] = max(spent[name], c.cpu.Seconds()/float64(max(c.size, size)))
				each(c)
				return
			}
		}
	}
	for name, body := range generic {
		if sent(name) {
			try(name, with(genuine, body))
		}
	}
	for _, s := range slices.Concat(made, compressed) {
		if size > s.most || (s.coded && !e.coded) || (s.inflated && !e.inflates) || !sent(s.name) {
			continue
		}
		for _, q := range s.make(genuine, size) {
			try(s.name, q)
		}
	}
	e.spent = spent
}

// shapesFor returns which shapes are sent in a size.
func (e *endpoint) shapesFor(size int) func(name string) bool {
	if size <= allShapes || len(e.spent) == 0 {
		return func(string) bool { return true }
	}
	names := slices.SortedFunc(maps.Keys(e.spent), func(a, b string) int { return cmp.Compare(e.spent[b], e.spent[a]) })
	names = names[:min(len(names), decisive)]
	return func(name string) bool { return slices.Contains(names, name) }
}

// genericBodies returns the bodies that are the same for all providers.
func genericBodies(size int) map[string][]byte {
	out := make(map[string][]byte)
	for _, s := range bodies {
		out[s.name] = s.body(size)
	}
	return out
}
