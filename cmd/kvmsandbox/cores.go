package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/corefile"
	"github.com/multivar/multivar/libmultivar/report"
)

// dumpWithin bounds how long all dumps may take together.
const dumpWithin = time.Minute

// maxSameName bounds how many dumps with one name are kept.
const maxSameName = 99

// cores writes a core dump of each variant when they diverge.
type cores struct {
	host frontend.Host
	// written are the names of the dumps, failed says which are missing and why.
	written, failed []string
}

// dump writes the dumps into the working directory. It is called on the session's
// goroutine while the tasks stand still.
func (c *cores) dump(ctx context.Context, d *report.Divergence, standing [][]frontend.Task) {
	ctx, cancel := context.WithTimeout(ctx, dumpWithin)
	defer cancel()
	for v, tasks := range standing {
		name := fmt.Sprintf("core.%d.%d", d.Process.Pid, v)
		p := corefile.Process{Pid: d.Process.Pid, Comm: d.Process.Comm, Tasks: tasks}
		if d.Scene != nil && v < len(d.Scene.Views) {
			p.Signal = d.Scene.Views[v].Signal
		}
		name, err := c.write(ctx, name, p)
		if err != nil {
			c.failed = append(c.failed, fmt.Sprintf("no core dump of variant %d: %v", v, err))
			continue
		}
		c.written = append(c.written, name)
	}
}

// write writes one dump and returns its name. What is there with that name already stays as
// it is: it may be a link that leads elsewhere. The dump then has a number behind its name.
func (c *cores) write(ctx context.Context, name string, p corefile.Process) (string, error) {
	f, err := createNew(name)
	for n := 1; n <= maxSameName && errors.Is(err, fs.ErrExist); n++ {
		f, err = createNew(fmt.Sprintf("%s.%d", name, n))
	}
	if err != nil {
		return "", err
	}
	err = corefile.Write(ctx, f, c.host, p)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return f.Name(), err
}

// createNew creates a file that only its owner can read.
func createNew(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
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
