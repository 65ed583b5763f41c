//go:build linux

package main

import (
	"net/http"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/bench/load"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

// work is one kind of load.
type work struct {
	Name        string
	Kind        load.Kind
	Size        int
	Connections int
	Deliveries  int
	short       bool // is part of make bench
}

const (
	kiB = 1 << 10
	miB = 1 << 20

	// mostOfOne bounds a single measurement: what a slow target has not done by
	// then is not waited for.
	mostOfOne = 3 * time.Second
)

// works are all kinds of load. Deliveries are so many that the server spends half
// a second of CPU or more.
var works = []work{
	{"1 KiB", load.Accepted, kiB, 32, 6000, true},
	{"8 KiB", load.Accepted, 8 * kiB, 32, 6000, false},
	{"64 KiB", load.Accepted, 64 * kiB, 32, 4000, true},
	{"1 MiB", load.Accepted, miB, 32, 600, true},
	{many, load.Accepted, kiB, 256, 8000, true},
	{"wrong signature, 1 KiB", load.WrongSignature, kiB, 32, 8000, true},
	{"wrong signature, 64 KiB", load.WrongSignature, 64 * kiB, 32, 4000, false},
	{"wrong signature, 1 MiB", load.WrongSignature, miB, 32, 600, false},
	{"no signature, 1 KiB", load.NoSignature, kiB, 32, 8000, true},
	{"no signature, 64 KiB", load.NoSignature, 64 * kiB, 32, 8000, false},
	{"no signature, 256 KiB", load.NoSignature, 256 * kiB, 32, 4000, false},
	{"no signature, 1 MiB", load.NoSignature, miB, 32, 2000, false},
	{"stale, 1 KiB", load.Stale, kiB, 32, 8000, false},
	{"duplicate, 1 KiB", load.Duplicate, kiB, 32, 8000, true},
	{lone, load.Accepted, kiB, 1, 600, true},
}

const (
	lone = "1 KiB, alone"
	many = "1 KiB, 256 connections"

	// distinctDuplicates are sent before duplicates are measured.
	distinctDuplicates = 256
)

// does says whether the target is measured with the work: Stripe's deliveries are
// known to Caddy alone here, and what tells the app more has the same refusals.
func (w work) does(name string) bool {
	switch {
	case target.Queues(name): // refusals and duplicates are verify_webhook's
		return w.Kind == load.Accepted && w.Size == kiB
	case w.Kind == load.Stale:
		return name == target.Caddy || target.Own(name)
	case name == target.Told:
		return w.Kind == load.Accepted
	default:
		return true
	}
}

// distinct returns how many different deliveries the work takes.
func (w work) distinct() int {
	if w.Kind == load.Duplicate {
		return min(distinctDuplicates, w.Deliveries)
	}
	return w.Deliveries
}

// expected says whether the status is what the target should answer.
func expected(name, targetName string, status int) bool {
	for _, w := range works {
		if w.Name != name || targetName == target.Caddy {
			continue
		}
		switch w.Kind {
		case load.WrongSignature, load.NoSignature, load.Stale:
			return status == http.StatusUnauthorized
		}
	}
	if target.Queues(targetName) {
		return status == http.StatusAccepted
	}
	return status == http.StatusOK
}
