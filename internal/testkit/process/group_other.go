//go:build !unix

package process

import "os/exec"

func ownGroup(*exec.Cmd) {}

func terminateGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

// endedByOurSignal is always true: without signals, stopping is killing.
func endedByOurSignal(error) bool { return true }
