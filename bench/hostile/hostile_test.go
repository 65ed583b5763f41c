//go:build unix && !race

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
)

const vectors = "../../catalogue/testdata/vectors"

func open(tb testing.TB, each int) []*endpoint {
	tb.Helper()
	all, err := endpoints(vectors, each)
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// wantCheap checks that a request allocates at most four times its size plus a
// constant. This includes bytes freed immediately, so a request holds less.
func wantCheap(t *testing.T, c cost) {
	t.Helper()
	if most := 4*c.size + constant; c.allocated > most {
		t.Errorf("%s: %s, %d bytes: %d bytes were allocated, at most %d may be (%s)", c.provider, c.shape, c.size, c.allocated, most, c.outcome)
	}
}

// TestInvariant12NoUnsignedRequestTakesMoreMemoryThanFourTimesItsSize covers every
// preset and many shapes.
func TestInvariant12NoUnsignedRequestTakesMoreMemoryThanFourTimesItsSize(t *testing.T) {
	all := open(t, 1)
	for _, size := range []int{64 << 10, 1 << 20} {
		generic := genericBodies(size)
		for _, e := range all {
			if size > 64<<10 && !e.coded {
				continue // independent of the size
			}
			e.attack(size, generic, func(c cost) { wantCheap(t, c) })
		}
	}
}

// The allocation for a body of max_body does not depend on its size, because the body
// and its form fields are hashed from the temporary file.
func TestInvariant12LargeBodiesAreNotReadIntoMemory(t *testing.T) {
	const most = 2 * constant // with a reserve for buffer pools that have just been emptied
	for _, e := range open(t, 3) {
		if e.maxBody < defaultMaxBody && (e.coded || !e.hashesForm()) {
			continue // code can parse the body, and Ed25519 needs it in memory
		}
		for _, s := range bodies {
			if !slices.Contains([]string{"letters", "one long string", "escaped letters in a field"}, s.name) {
				continue
			}
			wantBounded(t, e, s.name, with(e.vector.Request, s.body(e.maxBody)), most)
		}
		for _, q := range longFields(e.vector.Request, e.maxBody) {
			wantBounded(t, e, "a genuine field made long", q, most)
		}
	}
}

func wantBounded(t *testing.T, e *endpoint, shape string, q conformance.Request, most int) {
	t.Helper()
	c, ok := e.send(shape, unsigned(q))
	if ok && c.allocated > most {
		t.Errorf("%s: %s: %d bytes were allocated for %d, at most %d may be (%s)", c.provider, c.shape, c.allocated, c.size, most, c.outcome)
	}
}

// hashesForm reports whether the endpoint's deliveries are forms.
func (e *endpoint) hashesForm() bool {
	kinds := e.vector.Request.Headers["Content-Type"]
	return slices.ContainsFunc(kinds, func(kind string) bool { return strings.HasPrefix(kind, "application/x-www-form-urlencoded") })
}

// The places of fuzzed text other than the body and headers.
const (
	fuzzedTokenHeader = "the header of a token"
	fuzzedClaims      = "the claims of a token"
	fuzzedParts       = "the headers of parts"
)

// FuzzWorkBeforeTrust sends fuzzed requests to every provider. It checks allocations,
// because times differ from run to run.
func FuzzWorkBeforeTrust(f *testing.F) {
	all := open(f, 1)
	const most = 256 << 10
	for i := range all {
		f.Add(uint8(i), "", "[", "{},", "{}]", uint16(1<<15))
		f.Add(uint8(i), fuzzedTokenHeader, `,"a":[`, "[],", "[]]", uint16(1<<9))
		f.Add(uint8(i), fuzzedClaims, `,"a":[`, "[],", "[]]", uint16(1<<11))
		f.Add(uint8(i), fuzzedParts, "", ";a=b", "", uint16(30))
	}
	f.Add(uint8(0), "X-Hub-Signature-256", "", "a=1,", "", uint16(1<<15))
	f.Add(uint8(1), "Authorization", "Bearer ", "e30.", "", uint16(1<<14))
	f.Fuzz(func(t *testing.T, which uint8, header, start, piece, end string, times uint16) {
		e := all[int(which)%len(all)]
		text := start + strings.Repeat(piece, min(int(times), most/max(1, len(piece)))) + end
		if len(text) > 2*most {
			return
		}
		q := unsigned(with(e.vector.Request, []byte(text)))
		switch header {
		case "":
		case fuzzedTokenHeader:
			q = withTokenMember(e.vector.Request, 0, text)
		case fuzzedClaims:
			q = withTokenMember(e.vector.Request, 1, text)
		case fuzzedParts:
			q = withPartHeaders(e.vector.Request, text, min(999, most/(len(text)+1)))
		default:
			q = unsigned(withHeader(e.vector.Request, header, text))
		}
		if c, ok := e.send("fuzzed", q); ok {
			wantCheap(t, c)
		}
	})
}

// withHeader returns a genuine request with one header replaced.
func withHeader(q conformance.Request, name, value string) conformance.Request {
	q = clone(q)
	q.Headers[name] = []string{value}
	return q
}
