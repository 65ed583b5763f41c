package command

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress is a progress bar for long work. It prints nothing unless the output is
// a terminal.
type progress struct {
	out     io.Writer // nil if it is not a terminal
	total   int
	done    int
	printed time.Time
	now     func() time.Time
}

// newProgress returns a bar that is shown if out is a terminal and the work has
// many steps.
func newProgress(out io.Writer, total int) *progress {
	p := &progress{total: total, now: time.Now}
	if escaping, ok := out.(terminal); ok {
		out = escaping.out
	}
	if total >= 50 && isTerminal(out) {
		p.out = out
	}
	return p
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

const (
	barWidth = 40
	// barPause is the shortest time between two updates.
	barPause = 100 * time.Millisecond
)

// step records a finished step.
func (p *progress) step() {
	p.done++
	now := p.now()
	if p.out == nil || now.Sub(p.printed) < barPause && p.done < p.total {
		return
	}
	p.printed = now
	filled := barWidth * p.done / p.total
	fmt.Fprintf(p.out, "\r[%s%s] %d/%d", strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), p.done, p.total)
}

// clear removes the bar, so that a line can be printed.
func (p *progress) clear() {
	if p.out != nil && !p.printed.IsZero() {
		fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", barWidth+2+2*12))
	}
}
