//go:build !race

package signature

import "testing"

// With the race detector, pools drop random elements, so it must be off here.
func TestVerificationNeedsTwoAllocations(t *testing.T) {
	for _, size := range benchSizes {
		body := benchBody(size)
		for name, c := range map[string]struct {
			v    *Verifier
			r    *Request
			most float64
		}{
			"github":   {compile(t, githubScheme(), "secret"), githubPost("secret", body), 1},
			"stripe":   {compile(t, stripeScheme(), "secret"), stripePost("secret", body), 2},
			"standard": {compile(t, standardScheme(), base64Of([]byte("secret"))), standardPost("secret", "m1", body), 2},
		} {
			got := testing.AllocsPerRun(100, func() {
				if _, err := c.v.Verify(c.r); err != nil {
					t.Fatal(err)
				}
			})
			if got > c.most {
				t.Errorf("%s, %d bytes: %v allocations", name, size, got)
			}
			if got := testing.AllocsPerRun(100, func() { _ = c.v.CheckHeaders(c.r) }); got > 0 {
				t.Errorf("%s, headers only: %v allocations", name, got)
			}
		}
	}
}
