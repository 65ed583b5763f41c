package faults

import (
	"os/exec"
	"strconv"
	"testing"
)

// A full disk refuses deliveries, loses none, and forgets none that was
// acknowledged. Only a crash before the disk has room again could do that.
func TestAFullDiskOnlyDelays(t *testing.T) {
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
	// Handled while the disk was full means: remembered soon after, and blocked
	// until then. Once no replay is refused, all of it has come to the disk.
	p.replayAll()
	s.crash()
	p.replayAll()
	if f := p.keptWithoutGap(t, a); f.unavailable == 0 {
		t.Error("no delivery was refused: the disk was never full")
	}
}

// limitFiles makes every write of Caddy fail that goes beyond so many bytes of
// a file, as those beyond the end of a full disk do.
func (s *site) limitFiles(size string) {
	s.t.Helper()
	pid := strconv.Itoa(s.caddy.PID())
	if out, err := exec.CommandContext(s.t.Context(), "prlimit", "--pid", pid, "--fsize="+size+":unlimited").CombinedOutput(); err != nil {
		s.t.Fatalf("limiting the size of caddy's files: %v\n%s", err, out)
	}
}
