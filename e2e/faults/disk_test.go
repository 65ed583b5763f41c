package faults

import (
	"os/exec"
	"strconv"
	"testing"
)

// While the disk is full, deliveries are refused, but none is lost, and no acknowledged
// one is forgotten unless Caddy crashes before the disk has space.
func TestAFullDiskOnlyDelays(t *testing.T) {
	t.Parallel()
	a := startApp(t)
	s := startSite(t, a, "file STATE/replays.db", "30s")
	p := newProvider(t, s)
	p.underLoad(8, func() {
		for i := range times(2, 12) {
			a.awaitMore(t, 20)
			s.limitFiles(strconv.Itoa(4096 * (i + 1)))
			p.awaitRefusals(30)
			s.limitFiles("unlimited")
		}
		a.awaitMore(t, 50)
	})
	// Deliveries that were handled while the disk was full are blocked until they are
	// stored. When no replay is refused, all of them are on disk.
	p.replayAll()
	s.crash()
	p.replayAll()
	if f := p.keptWithoutGap(t, a); f.unavailable == 0 {
		t.Error("no delivery was refused: the disk was never full")
	}
}

// limitFiles makes writes of Caddy beyond a file size fail, like writes to a full disk.
func (s *site) limitFiles(size string) {
	s.t.Helper()
	pid := strconv.Itoa(s.caddy.PID())
	if out, err := exec.CommandContext(s.t.Context(), "prlimit", "--pid", pid, "--fsize="+size+":unlimited").CombinedOutput(); err != nil {
		s.t.Fatalf("limiting the size of caddy's files: %v\n%s", err, out)
	}
}
