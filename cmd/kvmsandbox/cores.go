package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/corefile"
	"github.com/multivar/multivar/libmultivar/report"
)

// cores writes a core dump of each variant when they diverge.
type cores struct {
	host frontend.Host
	// written are the names of the dumps, failed says which are missing and why.
	written, failed []string
}

// dump writes the dumps into the working directory. It is called on the session's
// goroutine while the tasks stand still.
func (c *cores) dump(d *report.Divergence, standing [][]frontend.Task) {
	for v, tasks := range standing {
		name := fmt.Sprintf("core.%d.%d", d.Process.Pid, v)
		p := corefile.Process{Pid: d.Process.Pid, Comm: d.Process.Comm, Tasks: tasks}
		if d.Scene != nil && v < len(d.Scene.Views) {
			p.Signal = d.Scene.Views[v].Signal
		}
		if err := c.write(name, p); err != nil {
			c.failed = append(c.failed, fmt.Sprintf("no core dump of variant %d: %v", v, err))
			continue
		}
		c.written = append(c.written, name)
	}
}

// write writes one dump. What is there with that name already stays as it is: it may be a
// link that leads elsewhere.
func (c *cores) write(name string, p corefile.Process) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = corefile.Write(f, c.host, p)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(name)
	}
	return err
}

// tell says what was written and what was not, each on a line.
func (c *cores) tell(say func(string)) {
	if c == nil {
		return
	}
	if len(c.written) > 0 {
		say("core dumps: " + strings.Join(c.written, ", ") + "; look at one with gdb PROG FILE")
	}
	for _, text := range c.failed {
		say(text)
	}
}
