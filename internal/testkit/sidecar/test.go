package sidecar

import "testing"

// Run starts Caddy for a test and stops it when the test ends, unless it was
// killed before. Only the log of a test that has failed is printed.
func Run(t testing.TB, c Config) *Sidecar {
	t.Helper()
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("caddy's log:\n%s", s.Log())
		}
	})
	return s
}
