//go:build linux && amd64

package kvmsandbox

import (
	"os/exec"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// gone returns the id of a process that has ended.
func gone(t *testing.T) int {
	t.Helper()
	c := exec.Command("/bin/true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid
}

// Processes that end leave no block in use: neither their threads' nor those of the
// keepers of their tables, whether others have these or not.
func TestEndsGiveBackBlocks(t *testing.T) {
	const processes = 20
	for name, shared := range map[string]bool{"own table": false, "common table": true} {
		s, tasks := tableUsers(t, 1)
		stays := tasks[0]
		v, pid := stays.proc.variant, gone(t)
		s.tasks, s.procs = map[int]*task{stays.id.Host: stays}, map[int]*process{stays.proc.pid: stays.proc}
		// The next block is always the first one that nobody has.
		next := func() int {
			b, err := v.newBlock(0)
			if err != nil {
				t.Fatal(err)
			}
			v.arena.FreeBlock(b)
			return b.Index()
		}
		before := next()
		for range processes {
			p := &process{variant: v, pid: pid}
			f := newFiles()
			if shared {
				f = stays.files
				f.users++
			}
			block := func() *task {
				b, err := v.newBlock(0)
				if err != nil {
					t.Fatal(err)
				}
				return &task{id: frontend.Task{Host: pid}, proc: p, blk: b, files: f}
			}
			last := block()
			p.tasks = []*task{last}
			f.keeper = block()
			f.keeper.state = leaving
			s.leaveFiles(p)
			s.taskEnded(last, frontend.Status{})
			if f.keeper != nil {
				t.Fatalf("%s: its keeper is still there", name)
			}
		}
		if after := next(); after != before {
			t.Errorf("%s: the next block is %d, before the processes it was %d", name, after, before)
		}
	}
}
