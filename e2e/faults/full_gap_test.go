package faults

import (
	"testing"
	"time"
)

// attempt is one request of the provider.
type attempt struct {
	began, ended time.Time
	status       int // 0: no answer
}

// handling is one time that the app has handled a delivery.
type handling struct {
	attempt int // of the provider, from 1
	at      time.Time
}

// fault is a time in which a process was away.
type fault struct {
	site       int
	store      bool // it was Redis, else Caddy
	began, end time.Time
}

// recorded is how long after the app's work its record may be on its way to the
// disk.
const recorded = 2 * time.Second

// inGap reports whether a delivery that the app has handled may reach it again:
// Caddy, or Redis, was away between the app's work and the record of it. That
// is the gap which docs/replays.md and docs/queue.md describe.
func inGap(queued bool, h handling, attempts []attempt, faults []fault) bool {
	if h.attempt < 1 || h.attempt > len(attempts) {
		return false
	}
	until := h.at.Add(recorded)
	if !queued {
		a := attempts[h.attempt-1]
		if a.status != 0 {
			until = a.ended
		}
	}
	for _, f := range faults {
		if f.store && !f.began.After(until) && f.end.After(h.at.Add(-recorded)) {
			return true // the success is returned, the record is lost
		}
		if f.store || f.began.After(until) || f.end.Before(h.at) {
			continue
		}
		if queued || attempts[h.attempt-1].status == 0 {
			return true
		}
	}
	return false
}

func TestTheGapIsBetweenTheAppsWorkAndItsRecord(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	answered := []attempt{{at(100), at(200), 200}}
	broken := []attempt{{at(100), at(200), 0}}
	killed := func(from, to int) []fault { return []fault{{0, false, at(from), at(to)}} }
	outage := func(from, to int) []fault { return []fault{{0, true, at(from), at(to)}} }
	tests := []struct {
		name     string
		queued   bool
		attempts []attempt
		faults   []fault
		want     bool
	}{
		{"nothing has failed", false, answered, nil, false},
		{"the provider hung up, and nothing has failed", false, broken, nil, false},
		{"caddy was killed before the answer", false, broken, killed(180, 900), true},
		{"caddy was killed after the answer", false, answered, killed(201, 900), false},
		{"caddy was killed before the app had it", false, broken, killed(20, 90), false},
		{"redis went before the record, and the success was returned", false, answered, outage(180, 900), true},
		{"redis went after the answer", false, answered, outage(201, 900), false},
		{"redis went and came long before", false, answered, outage(-9000, -5000), false},
		{"of the queue: caddy was killed soon after", true, answered, killed(400, 900), true},
		{"of the queue: caddy was killed long after", true, answered, killed(9000, 9900), false},
		{"of the queue: nothing has failed", true, answered, nil, false},
		{"of the queue: redis went soon after", true, answered, outage(400, 900), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := inGap(test.queued, handling{1, at(150)}, test.attempts, test.faults); got != test.want {
				t.Errorf("in the gap: %v, want %v", got, test.want)
			}
		})
	}
}
