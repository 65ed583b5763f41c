// Package faults proves the promises about replays on the built binary, with a
// real Redis server and a real disk, by what goes wrong in production: crashes,
// outages, reloads, full disks and failing apps, all of it under load.
//
// A delivery is acknowledged once its sender has seen a 2xx. From then on no
// attempt may reach the app. The one gap is allowed, and counted, where it is
// promised: an attempt that never got an answer may have reached the app.
//
// go test runs a short form of each test, go test -soak the long one. The full_
// files have all of it at once: see TestEverythingAtOnce.
package faults

import "flag"

var soak = flag.Bool("soak", false, "run the long form of every test")

// times says how often a test does something, in its short and its long form.
func times(short, long int) int {
	if *soak {
		return long
	}
	return short
}
