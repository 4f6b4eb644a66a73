package libmultivar

import (
	"testing"

	"github.com/multivar/multivar/frontend"
)

// agents is a host of agents that may have begun calls.
type agents struct {
	frontend.Agents
	rest func(calls func(int64) bool)
}

func (a agents) AwaitAgents(calls func(int64) bool) { a.rest(calls) }

// Who changes a file by a call does so between the turns of those that map it, in all
// variants, although it does not map it.
func TestChangeBetweenTurns(t *testing.T) {
	for _, last := range []int{0, 1} {
		b := newTwinBench(t)
		fd, _ := b.file("file", pageSize)
		reader := b.process(300)
		b.mapped(reader, fd, testAddr)
		for v := range 2 {
			b.call(reader, v, "sched_yield")
		}
		b.e.OnSyscallExit(reader.sides[0].task, 0)
		for v := range 2 {
			if s := &reader.sides[v]; s.stop != running || s.inCall != nil {
				t.Fatalf("the reader does not run in variant %d", v)
			}
		}
		runs := b.call(b.th, 0, "pwrite64", uint64(fd), 0, 0, 0)
		runs = append(runs, b.call(b.th, 1, "pwrite64", uint64(fd), 0, 0, 0)...)
		runs = append(runs, b.call(reader, 1-last, "read")...)
		for _, th := range runs {
			if th == b.th {
				t.Errorf("the file changes while the reader of variant %d runs", last)
			}
		}
		runs = b.call(reader, last, "read")
		if len(runs) == 0 || runs[len(runs)-1] != b.th {
			t.Errorf("with variant %d last the file does not change: %v", last, runs)
		}
		b.e.OnSyscallExit(reader.sides[0].task, 0)
		if reader.sides[0].stop == running {
			t.Error("the reader runs while the file changes")
		}
		b.e.OnSyscallExit(b.th.sides[0].task, 0)
		if reader.sides[0].stop != running && b.th.sides[0].stop != running {
			t.Error("nobody runs when the file has changed")
		}
	}
}

// Who writes to a pipe that has the name of a file that was mapped may sleep until another one
// of its domain has read: that one has its turns.
func TestChangeOfPipe(t *testing.T) {
	for _, all := range []bool{false, true} {
		b := newTwinBench(t)
		fd, f := b.file("name", pageSize)
		f.special = true
		if b.e.allMapped = all; all {
			b.e.noteMapped("/other")
		} else {
			b.e.noteMapped(f.name)
		}
		reader := b.relative(300).main
		for v := range 2 {
			b.call(b.th, v, "write", uint64(fd), 0, 0)
		}
		if b.th.sides[0].inCall == nil {
			t.Fatal("the pipe is not written")
		}
		for v := range 2 {
			b.call(reader, v, "sched_yield")
		}
		b.e.OnSyscallExit(reader.sides[0].task, 0)
		if reader.sides[0].stop != running {
			t.Error("nobody can read while the pipe is written")
		}
	}
}

// A file with a twin is changed by whatever name and descriptor, and one without by the name
// that it had before it was deleted.
func TestChangesMapped(t *testing.T) {
	const deleted = " (deleted)"
	for _, c := range []struct {
		what    string
		change  func(b *twinBench, fd int, f *memFile)
		changes bool
	}{
		{"as it was opened", func(*twinBench, int, *memFile) {}, true},
		{"by another name", func(b *twinBench, fd int, f *memFile) { b.th.proc.fds.writable[fd] = "/new" }, true},
		{"by a descriptor of unknown origin", func(b *twinBench, fd int, _ *memFile) { b.th.proc.fds.forget(fd) }, true},
		{"another file of that name", func(_ *twinBench, _ int, f *memFile) { f.inode += 100 }, true},
		{"another file of another name", func(b *twinBench, fd int, f *memFile) {
			f.inode += 100
			b.th.proc.fds.writable[fd] = "/new"
		}, false},
		{"a pipe of that name", func(_ *twinBench, _ int, f *memFile) { f.special = true }, false},
		{"none", func(b *twinBench, fd int, _ *memFile) { delete(b.files.fds, fd) }, false},
	} {
		b := newTwinBench(t)
		fd, f := b.file("file", pageSize)
		reader := b.process(300)
		b.mapped(reader, fd, testAddr)
		c.change(b, fd, f)
		b.call(b.th, 0, "pwrite64", uint64(fd), 0, 0, 0)
		if ev := b.th.event(0); ev == nil || ev.changes != c.changes {
			t.Errorf("%s: the call changes a mapped file: %t", c.what, !c.changes)
		}
	}
	for _, c := range [][2]string{{"/file", "/file" + deleted}, {"/file" + deleted, "/file"}} {
		b := newTwinBench(t)
		fd, _ := b.file("file", pageSize)
		b.th.proc.fds.writable[fd] = c[0]
		b.e.noteMapped(c[1])
		b.call(b.th, 0, "pwrite64", uint64(fd), 0, 0, 0)
		if ev := b.th.event(0); ev == nil || !ev.changes || !ev.wait {
			t.Errorf("%s is mapped as %s, and not waited for", c[0], c[1])
		}
	}
}

// Whom agents let write takes its calls to the engine once a file is mapped.
func TestLeasesEndWithMapping(t *testing.T) {
	for _, c := range []struct {
		what    string
		maps    func(b *twinBench, th *thread)
		revokes bool
	}{
		{"memory that is shared", func(b *twinBench, th *thread) {
			fd, _ := b.file("file", pageSize)
			b.mapped(th, fd, testAddr)
		}, true},
		{"a file that is written", func(b *twinBench, _ *thread) { b.e.noteMapped("/written") }, true},
		{"a file that is not", func(b *twinBench, _ *thread) { b.e.noteMapped("/other") }, false},
	} {
		b := newTwinBench(t)
		rested := false
		b.e.agents = agents{rest: func(calls func(int64) bool) {
			rested = true
			const pread64, pwrite64 = 17, 18
			if len(b.e.twins) > 0 || !b.e.makesTwin() || !calls(pwrite64) || calls(pread64) {
				t.Errorf("%s: with %d twins agents rest for pwrite64: %t, pread64: %t", c.what, len(b.e.twins), calls(pwrite64), calls(pread64))
			}
		}}
		writer := b.process(300)
		writer.proc.fds.writable = map[int]string{3: "/written"}
		s := &writer.sides[0]
		s.stop, s.interval, writer.lease.last = running, 7, 7
		s.domain.sides[0].runners = []*thread{writer}
		c.maps(b, b.th)
		revoked := false
		for _, a := range b.e.take() {
			revoked = revoked || a.Op == frontend.OpRevoke && a.Task == s.task
		}
		if makes := len(b.e.twins) > 0; rested != makes {
			t.Errorf("%s: agents rest: %t", c.what, rested)
		}
		if revoked != c.revokes {
			t.Errorf("%s: a lease is revoked: %t", c.what, revoked)
		}
	}
}

// Agents leave calls on files to the engine while these may be memory, and other calls never.
func TestLeasesWithoutFiles(t *testing.T) {
	for _, c := range []struct {
		what   string
		does   func(b *twinBench, fd int)
		mapped bool
	}{
		{"nothing is mapped", func(*twinBench, int) {}, false},
		{"another one has a twin", func(b *twinBench, fd int) { b.mapped(b.process(300), fd, testAddr) }, true},
		{"a file that it may write is mapped", func(b *twinBench, _ int) { b.e.noteMapped("/file") }, true},
		{"another file is", func(b *twinBench, _ int) { b.e.noteMapped("/other") }, false},
		{"the file is, and was closed", func(b *twinBench, fd int) {
			b.th.proc.fds.forget(fd)
			b.e.noteMapped("/file")
		}, false},
	} {
		b := newTwinBench(t)
		b.e.agents = agents{rest: func(func(int64) bool) {}}
		b.e.cfg.LeaseAfter = 0
		fd, _ := b.file("file", pageSize)
		b.th.proc.fds.writable[fd] = "/file"
		c.does(b, fd)
		b.e.take()
		for _, ev := range b.e.makers {
			ev.done = true
		}
		a := frontend.Action{Task: b.th.sides[0].task, Op: frontend.OpResume}
		b.e.offer(b.th, frontend.Leader, &a)
		if !a.Lease.Granted || a.Lease.Mapped != c.mapped || a.Lease.Raw {
			t.Errorf("%s: lease %+v", c.what, a.Lease)
		}
		b.th.lease.last = 0
		b.th.sides[1].interval, b.th.sides[0].interval = 0, 0
		b.e.rawWords[7] = true
		if b.e.offer(b.th, frontend.Leader, &a); !a.Lease.Granted || !a.Lease.Raw {
			t.Errorf("%s, and words are numbers: lease %+v", c.what, a.Lease)
		}
	}
}

// What is remembered of calls that could have made a twin goes when they are over, whoever asks.
func TestMakersAreForgotten(t *testing.T) {
	b := newTwinBench(t)
	b.e.agents = agents{}
	var last *record
	for range 100 {
		if last != nil {
			last.done = true
		}
		last = &record{thread: b.th, name: "mmap"}
		b.e.beforeTwin(last)
	}
	if len(b.e.makers) != 1 || !b.e.makesTwin() {
		t.Errorf("%d calls are remembered", len(b.e.makers))
	}
	last.done = true
	if b.e.makesTwin() {
		t.Error("a call that is over makes a twin")
	}
}
