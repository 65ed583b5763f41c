//go:build linux

package main

import (
	"net/http"
	"slices"
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
	short       bool // part of make bench
}

const (
	kiB = 1 << 10
	miB = 1 << 20

	// mostOfOne limits the time of a single measurement. A slow target sends fewer
	// responses within it.
	mostOfOne = 3 * time.Second
)

// works are all kinds of load. Refusals before the body have sizes for which
// net/http would read the rest of the body to keep the connection open.
var works = slices.Concat([]work{
	{"1 KiB", load.Accepted, kiB, 32, 6000, true},
	{"8 KiB", load.Accepted, 8 * kiB, 32, 6000, true},
	{"64 KiB", load.Accepted, 64 * kiB, 32, 4000, true},
	{"1 MiB", load.Accepted, miB, 32, 600, true},
	{many, load.Accepted, kiB, 256, 8000, true},
	{lone, load.Accepted, kiB, 1, 600, true},
	{"wrong signature, 1 KiB", load.WrongSignature, kiB, 32, 8000, true},
	{"wrong signature, 64 KiB", load.WrongSignature, 64 * kiB, 32, 4000, false},
	{"wrong signature, 1 MiB", load.WrongSignature, miB, 32, 600, false},
	{"duplicate, 1 KiB", load.Duplicate, kiB, 32, 8000, true},
	{"no signature, 1 MiB", load.NoSignature, miB, 32, 2000, false},
}, earlyRefusals())

// early has the kinds of deliveries that are refused before the body is read.
var early = []load.Kind{load.NoSignature, load.Malformed, load.Stale, load.TooLarge}

// earlySizes are the sizes that have a goal.
var earlySizes = []struct {
	name       string
	bytes      int
	deliveries int
}{{"1 KiB", kiB, 8000}, {"64 KiB", 64 * kiB, 8000}, {"256 KiB", 256 * kiB, 4000}}

func earlyRefusals() []work {
	var all []work
	for _, kind := range early {
		for _, size := range earlySizes {
			all = append(all, work{earlyName(kind, size.name), kind, size.bytes, 32, size.deliveries, kind == load.NoSignature && size.bytes != 64*kiB})
		}
	}
	return all
}

func earlyName(kind load.Kind, size string) string { return string(kind) + ", " + size }

const (
	lone = "1 KiB, alone"
	many = "1 KiB, 256 connections"

	// distinctDuplicates is the number of deliveries sent before duplicates are measured.
	distinctDuplicates = 256
)

// does reports whether the target is measured with the work. Some refusals have
// endpoints only in Caddy, and peers are not measured with all works.
func (w work) does(name string) bool {
	switch {
	case target.Queues(name): // verify_webhook handles refusals and duplicates
		return w.Kind == load.Accepted && w.Size == kiB
	case w.Kind == load.Stale || w.Kind == load.TooLarge || w.Kind == load.Malformed:
		return name == target.Caddy || name == target.Memory
	case w.Kind == load.NoSignature:
		return name == target.Caddy || name == target.Floor || target.Own(name) || target.Peer(name) && w.Size != 64*kiB
	case name == target.Told:
		return w.Kind == load.Accepted
	default:
		return true
	}
}

// distinct returns the number of different deliveries that the work needs.
func (w work) distinct() int {
	if w.Kind == load.Duplicate {
		return min(distinctDuplicates, w.Deliveries)
	}
	return w.Deliveries
}

// expected reports whether the target should respond with the status.
func expected(name, targetName string, status int) bool {
	for _, w := range works {
		if w.Name != name || targetName == target.Caddy {
			continue
		}
		switch w.Kind {
		case load.WrongSignature, load.NoSignature, load.Stale:
			return status == http.StatusUnauthorized
		case load.Malformed:
			return status == http.StatusBadRequest
		case load.TooLarge:
			return status == http.StatusRequestEntityTooLarge
		}
	}
	if target.Queues(targetName) {
		return status == http.StatusAccepted
	}
	return status == http.StatusOK
}
