package queue

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func fixed(f float64) func() float64 { return func() float64 { return f } }

func TestNext(t *testing.T) {
	p := DefaultPolicy()
	const day = 24 * time.Hour
	for _, c := range []struct {
		what       string
		failures   int
		age, after time.Duration
		random     float64
		want       time.Duration // 0: give up
	}{
		{"the first failure", 1, 0, 0, 0.5, 5 * time.Second},
		{"a refused connection, which does not count", 0, 0, 0, 0.5, 5 * time.Second},
		{"the second failure", 2, 0, 0, 0.5, 30 * time.Second},
		{"the last delay", 9, day, 0, 0.5, 12 * time.Hour},
		{"the last delay is repeated", 10, day, 0, 0.5, 12 * time.Hour},
		{"the last delay is repeated indefinitely", 1000, day, 0, 0.5, 12 * time.Hour},
		{"20 % less", 2, 0, 0, 0, 24 * time.Second},
		{"nearly 20 % more", 2, 0, 0, 0.999999, 35999988 * time.Microsecond},
		{"Retry-After is later", 1, 0, time.Minute, 0.5, time.Minute},
		{"Retry-After is earlier", 3, 0, time.Minute, 0.5, 2 * time.Minute},
		{"Retry-After is limited", 1, 0, 100 * time.Hour, 0.5, time.Hour},
		{"the last attempt is at give_up", 9, 3*day - time.Hour, 0, 0.5, time.Hour},
		{"the last attempt is at give_up despite Retry-After", 1, 3*day - time.Minute, time.Hour, 0.5, time.Minute},
		{"older than give_up", 9, 3 * day, 0, 0.5, 0},
		{"older", 1, 4 * day, 0, 0.5, 0},
	} {
		got, again := p.Next(c.failures, c.age, c.after, fixed(c.random))
		if diff := got - c.want; again != (c.want != 0) || diff < -time.Millisecond || diff > time.Millisecond {
			t.Errorf("%s: %v, %t; want %v", c.what, got, again, c.want)
		}
	}
}

func TestTheWholeSchedule(t *testing.T) {
	p := DefaultPolicy()
	var delays []time.Duration
	age, failures := time.Duration(0), 1
	for {
		delay, again := p.Next(failures, age, 0, fixed(0.5))
		if !again {
			break
		}
		delays = append(delays, delay)
		age += delay
		failures++
	}
	if age != p.GiveUp || !slices.Equal(delays[:9], DefaultSchedule()) || len(delays) != 14 {
		t.Errorf("attempts after %v, until %v", delays, age)
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	const bound = time.Hour
	for value, want := range map[string]time.Duration{
		"0":                                0,
		"120":                              2 * time.Minute,
		" 120 ":                            2 * time.Minute,
		"3600":                             time.Hour,
		"3601":                             bound,
		"99999999999999999999999999":       bound,
		"Thu, 26 Nov 2026 12:05:00 GMT":    5 * time.Minute,
		"Thursday, 26-Nov-26 12:05:00 GMT": 5 * time.Minute,
		"Thu Nov 26 12:05:00 2026":         5 * time.Minute,
		"Thu, 26 Nov 2026 11:00:00 GMT":    0,
		"Thu, 26 Nov 2099 12:05:00 GMT":    bound,
	} {
		if got, ok := ParseRetryAfter(value, now, bound); !ok || got != want {
			t.Errorf("%q: %v, %t; want %v", value, got, ok, want)
		}
	}
	for _, value := range []string{"", " ", "-1", "+1", "1.5", "1 2", "soon", "1s", "0x10", "Thu, 26 Nov 2026"} {
		if got, ok := ParseRetryAfter(value, now, bound); ok || got != 0 {
			t.Errorf("%q: %v, %t; want invalid", value, got, ok)
		}
	}
}

func TestPolicyCheck(t *testing.T) {
	if err := DefaultPolicy().Check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Policy){
		"missing retry delays":           func(p *Policy) { p.Schedule = nil },
		"invalid retry delay 0s":         func(p *Policy) { p.Schedule = []time.Duration{time.Second, 0} },
		"invalid retry delay -1s":        func(p *Policy) { p.Schedule = []time.Duration{-time.Second} },
		"invalid jitter 1":               func(p *Policy) { p.Jitter = 1 },
		"invalid jitter -0.1":            func(p *Policy) { p.Jitter = -0.1 },
		"invalid give_up 0s":             func(p *Policy) { p.GiveUp = 0 },
		"invalid maximum of Retry-After": func(p *Policy) { p.MaxRetryAfter = -1 },
	} {
		p := DefaultPolicy()
		change(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check = %v, want %q", err, want)
		}
	}
}

func TestStates(t *testing.T) {
	for state := Waiting; state <= Discarded; state++ {
		if got, err := ParseState(state.String()); err != nil || got != state {
			t.Errorf("ParseState(%q) = %v, %v", state, got, err)
		}
	}
	if got, err := ParseState("in flight"); err != nil || got != InFlight {
		t.Errorf("ParseState = %v, %v", got, err)
	}
	for _, text := range []string{"", "Waiting", "state(0)", "lost"} {
		if _, err := ParseState(text); err == nil || !strings.Contains(err.Error(), "discarded") {
			t.Errorf("ParseState(%q) = %v", text, err)
		}
	}
}

func TestShorten(t *testing.T) {
	long := strings.Repeat("é", MaxErrorLength)
	for _, text := range []string{"", "short", long, "x" + long, "\xff"} {
		got := Shorten(text)
		if len(got) > MaxErrorLength || !utf8.ValidString(got) || len(text) < 10 && text != "\xff" && got != text {
			t.Errorf("Shorten of %d bytes has %d", len(text), len(got))
		}
	}
}

func TestFullErrors(t *testing.T) {
	for what, want := range map[string]string{
		FullEntries: "queue is full: max_entries 5 is reached",
		FullBytes:   "queue is full: max_bytes 5 is reached",
		FullDisk:    "queue is full: less than 5 bytes would remain free on its disk",
		FullMemory:  "queue is full: redis has reached maxmemory",
	} {
		err := error(&FullError{What: what, Limit: 5})
		if err.Error() != want || !errors.Is(err, ErrFull) {
			t.Errorf("the error is %q, want %q", err, want)
		}
	}
	if err := error(&FullError{What: FullDisk}); err.Error() != "queue is full: its disk is full" {
		t.Errorf("the error is %q", err)
	}
}
