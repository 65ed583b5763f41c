package sidecar

import "testing"

// Run starts Caddy for a test and stops it at the end of the test. The log is printed
// only if the test fails.
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
