//go:build linux && amd64

package kvmsandbox

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
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

// open opens a file and returns its descriptor.
func open(t *testing.T) int {
	t.Helper()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return int(f.Fd())
}

// What waits to be closed in one task is not open for the others with its table: they
// cannot close it, so that the number is nobody else's when it is closed.
func TestLitterIsNotThePrograms(t *testing.T) {
	s, tasks := tableUsers(t, 3)
	s.hiddenBase = 1 << 20
	a, b, c := tasks[0], tasks[1], tasks[2]
	c.files = newFiles()
	s.tasks = map[int]*task{1: a, 2: b, 3: c}
	s.procs = map[int]*process{a.proc.pid: a.proc}
	litter, own := open(t), open(t)
	a.dump(litter)
	closes := func(o *task, fd int) bool {
		_, refused := s.refuse(o, unix.SysClose, [6]uint64{uint64(fd)})
		return !refused
	}
	if closes(b, litter) || !closes(b, own) || !closes(a, litter) || !closes(c, litter) {
		t.Error("the wrong descriptors are hidden")
	}
	for _, r := range s.ranges(b, 3, ^uint32(0)) {
		if r[0] <= uint32(litter) && uint32(litter) <= r[1] {
			t.Errorf("what another task is to close is closed: %d to %d", r[0], r[1])
		}
	}
	dup := func(from, to int) bool {
		_, refused := s.refuse(b, unix.SysDup2, [6]uint64{uint64(from), uint64(to)})
		return !refused
	}
	if dup(litter, own) || dup(1<<19, litter) || len(a.litter) != 1 {
		t.Fatalf("litter %v is gone", a.litter)
	}
	// Who puts a file there has it closed by nobody.
	if !dup(own, litter) || len(a.litter) != 0 || len(a.files.litter) != 0 {
		t.Errorf("%v is closed", a.litter)
	}
	a.dump(litter)
	s.tidy(a, func() {})
	if !closes(b, litter) || len(a.files.litter) != 0 {
		t.Error("what is on its way to be closed is hidden still")
	}
}

// What a task had to close in a table when it ended the others close, if it is there.
func TestClosingIsInherited(t *testing.T) {
	s, tasks := tableUsers(t, 2)
	dies, lives := tasks[0], tasks[1]
	s.tasks = map[int]*task{1: dies, 2: lives}
	const closed = 1 << 20
	stale, litter := open(t), open(t)
	dies.files.stale = []int{stale, closed}
	s.tidy(dies, func() { t.Error("it goes on") })
	dies.dump(litter)
	if f := dies.files; len(f.closing) != 2 || len(f.stale) != 0 {
		t.Fatalf("being closed: %v, stale: %v", f.closing, f.stale)
	}
	dies.id.Host = 1
	s.taskEnded(dies, frontend.Status{})
	f := lives.files
	slices.Sort(f.stale)
	if want := []int{stale, litter}; len(f.closing) != 0 || len(f.litter) != 0 || !slices.Equal(f.stale, want) {
		t.Fatalf("being closed: %v, litter: %v, stale: %v, want %v", f.closing, f.litter, f.stale, want)
	}
	s.tidy(lives, func() {})
	s.reports(lives)
	if len(f.stale)+len(f.closing) != 0 || lives.untidy() {
		t.Errorf("being closed: %v, stale: %v", f.closing, f.stale)
	}
}
