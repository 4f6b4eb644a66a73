package main

import (
	"os"
	"syscall"
)

// The exit statuses that are not the program's, as documented; 125 to 127 are
// those of env(1).
const (
	statusDivergence = 86
	statusFailed     = 125
	statusCannotRun  = 126
	statusNotFound   = 127
)

// status is how this process shall end.
type status struct {
	code int
	// signal, when not 0, is the signal of which to die.
	signal syscall.Signal
}

// exit ends the process.
func (s status) exit() {
	if s.signal != 0 {
		dieOf(s.signal)
		// A signal that does not kill, or is blocked for good: as shells do.
		os.Exit(128 + int(s.signal))
	}
	os.Exit(s.code)
}
