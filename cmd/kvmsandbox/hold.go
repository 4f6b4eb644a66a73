package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/multivar/multivar/frontend"
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
	left := false
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
			if i == 0 {
				left = true
				c.say(fmt.Sprintf("%s stands still for gdb -p %d", name, t.Host))
			}
		}
	}
	if !left {
		return
	}
	c.say(fmt.Sprintf("Ctrl-C here, or kill %d, ends all variants", syscall.Getpid()))
	select {
	case <-ended:
	case <-ctx.Done():
	}
}
