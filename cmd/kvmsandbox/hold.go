package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/report"
)

// hold reports a divergence, leaves the variants to a debugger and waits until whoever
// looks at them ends this process. It is called on the session's goroutine, so that nothing
// goes on meanwhile; all variants are killed when it returns.
func (c *command) hold(ctx context.Context, host frontend.Releaser, d *report.Divergence, standing [][]frontend.Task) {
	ended := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			signal.Notify(ended, s)
		}
	}
	defer signal.Stop(ended)

	c.held = c.explained(d)
	if err := c.held.WriteText(c.stderr, c.colour); err != nil {
		c.log.Error(err.Error())
	}
	host.EndOthers(slices.Concat(standing...))
	var left []heldThread
	for v, tasks := range standing {
		name := "the leader"
		if v > 0 {
			name = fmt.Sprintf("variant %d", v)
		}
		if len(tasks) == 0 {
			c.say(name + " does not stand still and cannot be looked at")
			continue
		}
		for i, t := range tasks {
			if err := host.Release(t); err != nil {
				c.say(fmt.Sprintf("%s cannot be left to a debugger: %v", name, err))
				continue
			}
			if s, err := unix.StandingOf(t.Host); err == nil {
				left = append(left, heldThread{t.Host, s.Start})
			}
			if i == 0 {
				c.say(fmt.Sprintf("%s stands still for gdb -p %d", name, t.Host))
			}
		}
	}
	if len(left) == 0 {
		return
	}
	c.say(fmt.Sprintf("Ctrl-C here, or kill %d, ends all variants", syscall.Getpid()))
	again := time.NewTicker(holdEvery)
	defer again.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-again.C:
			stopAgain(left)
		}
	}
}

// holdEvery is how often variants that are left to a debugger are looked at.
const holdEvery = 100 * time.Millisecond

// heldThread is a thread that stands still for a debugger. start is that of unix.Standing.
type heldThread struct {
	tid   int
	start uint64
}

// stopAgain stops what goes on with no debugger that lets it: a timer of its own can do that
// by SIGCONT, and the kernel does when a process group is left without a shell.
func stopAgain(left []heldThread) {
	for _, h := range left {
		s, err := unix.StandingOf(h.tid)
		if err != nil || s.Start != h.start || s.Tracer != 0 {
			continue
		}
		switch s.State {
		case 'T', 't', 'Z', 'X':
		default:
			_ = syscall.Kill(h.tid, syscall.SIGSTOP)
		}
	}
}
