package main

import (
	"fmt"
	"runtime"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// place gives followers processors of their own, where --cpus says so.
func (c *command) place(variant, pid int) error {
	set := c.opts.followerCPUs
	if set == nil || variant == frontend.Leader {
		return nil
	}
	if err := unix.SetAffinity(pid, set); err != nil {
		return fmt.Errorf("--cpus %s: %w", unix.FormatCPUs(set), err)
	}
	return nil
}

// prepareHost does what --cpus and --low-latency ask for, in the process in which the
// session will run, and returns what ends it.
func (c *command) prepareHost() (release func(), err error) {
	if c.opts.cpus != nil {
		if err := unix.SetProcessAffinity(c.opts.cpus); err != nil {
			return nil, fmt.Errorf("--cpus %s: %w", unix.FormatCPUs(c.opts.cpus), err)
		}
	}
	// Where Go may run on few processors its runtime takes one from a thread that waits in the
	// kernel, as the session's does and those that answer for filters, and gives it back late.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 4))
	if !c.opts.lowLatency {
		return func() {}, nil
	}
	held, err := unix.HoldLatency()
	if err != nil {
		return nil, fmt.Errorf("--low-latency: %w; run as root, or allow to write that file", err)
	}
	return func() { _ = held.Close() }, nil
}
