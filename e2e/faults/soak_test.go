// Package faults tests the guarantees about replays with the built binary, a real Redis
// server and a real disk, under crashes, outages, reloads, full disks and failing apps,
// all under load.
//
// A delivery is acknowledged when its sender has got a 2xx. From then on no attempt must
// reach the app. The documented gap is allowed and counted: an attempt without a response
// may have reached the app.
//
// go test runs a short form of each test, go test -soak the long form. The full_
// files run all faults at once: see TestEverythingAtOnce.
package faults

import "flag"

var soak = flag.Bool("soak", false, "run the long form of every test")

// times returns the number of repetitions in the short or long form of a test.
func times(short, long int) int {
	if *soak {
		return long
	}
	return short
}
