//go:build linux && amd64

package kvmsandbox

import (
	"slices"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// leaverNap is how long the monitor sleeps at a time while threads are on their way
// out: nothing rings when they are gone.
const leaverNap = 100 * time.Microsecond

// processEnded reports the end of a process and all its tasks, after what they have
// reported themselves.
func (s *session) processEnded(p *process) {
	if s.procs[p.pid] != p || p.gone {
		return
	}
	p.gone = true
	s.watch.forget(p)
	for !s.over && s.lastReport(p) {
	}
	st := p.status
	status, own := unix.Reap(p.pid)
	if own {
		st = statusOf(status)
	} else if !p.hasStatus || p.killed {
		st = frontend.Status{Signal: int(syscall.SIGKILL)}
	}
	s.filtered(p, status, own)
	delete(s.procs, p.pid)
	if p == s.root {
		s.outcome = s.spec.FirstEnded(st)
	}
	s.leaveFiles(p)
	for _, t := range slices.Clone(p.tasks) {
		s.taskEnded(t, st)
	}
	s.closeProcess(p)
}

// lastReport handles one of the things that a process that is gone has left behind,
// and says whether there was one.
func (s *session) lastReport(p *process) bool {
	if len(s.ready) > 0 {
		s.doNext()
		return true
	}
	if p.killed {
		return false
	}
	for i, t := range s.active {
		if t.proc == p && t.state != leaving && t.state != ended && t.blk.Reported() {
			s.active = slices.Delete(s.active, i, i+1)
			s.handle(t)
			return true
		}
	}
	return false
}

// endedBefore reports the end of process pid if it has ended: somebody learns of it
// from the kernel, and the monitor must not learn later.
func (s *session) endedBefore(pid int) {
	if p := s.procs[pid]; p != nil && unix.Readable(p.pidfd) {
		s.processEnded(p)
	}
}

// waits says whether a call learns of the ends of processes.
func waits(nr int64) bool { return nr == unix.SysWait4 || nr == unix.SysWaitid }

// childEnded takes note of the process that t's call has found ended with result
// ret.
func (s *session) childEnded(t *task, ret int64) {
	switch {
	case ret > 0 && t.call.ranNr == unix.SysWait4:
		s.endedBefore(int(ret))
	case ret == 0 && t.call.ranNr == unix.SysWaitid:
		if word, ok := s.word(t, t.call.ranArgs[2]+signals.InfoSender); ok {
			s.endedBefore(int(int32(word)))
		}
	}
}

// taskEnded reports the end of one task.
func (s *session) taskEnded(t *task, st frontend.Status) {
	if t.state == ended {
		return
	}
	if t.vcpu != nil && t.state != leaving {
		t.vcpu.used = true
	}
	t.state = ended
	t.letDown()
	s.part(t)
	s.dropActive(t)
	s.changed(t)
	s.dropApart(t)
	s.dropStraight(t)
	s.leaveAlone(t)
	p := t.proc
	p.tasks = without(p.tasks, t)
	t.files.users--
	delete(s.tasks, t.id.Host)
	s.inherit(t, t.files)
	t.retire()
	t.dropExec()
	p.variant.unseal(t.id.Host)
	p.variant.dying = append(p.variant.dying, dying{t.blk, p.pid, t.id.Host})
	s.apply(s.mon.OnExit(t.id, st))
}

// exitThread ends one thread. The others must find that it has cleared its id in
// memory once it is reported, so it is reported when it is gone.
//
// The last one ends the process, with its own status. Exiting would not do: the machine has a thread of
// its own in the process (kvm-nx-lpage-recovery), and both would wait for each other.
func (s *session) exitThread(t *task, args [6]uint64) error {
	p := t.proc
	t.code = int(args[0] & 0xff)
	call := vhost.Call{Nr: unix.SysExit, Args: args}
	last := true
	for _, o := range p.tasks {
		last = last && (o == t || o.state == leaving)
	}
	if last {
		p.status, p.hasStatus = frontend.Status{Code: t.code}, true
		call.Nr = unix.SysExitGroup
	} else {
		s.leavers = append(s.leavers, t)
	}
	s.post(t, []vhost.Call{call}, false, func() {})
	t.state = leaving
	return nil
}

// threadsEnded reports the ends of threads that are gone and says whether there
// were any.
func (s *session) threadsEnded() bool {
	if len(s.leavers) == 0 {
		return false
	}
	var gone []*task
	s.leavers = slices.DeleteFunc(s.leavers, func(t *task) bool {
		if t.state == ended {
			return true
		}
		if threadGone(t.proc.pid, t.id.Host) {
			gone = append(gone, t)
			return true
		}
		return false
	})
	for _, t := range gone {
		s.taskEnded(t, frontend.Status{Code: t.code})
	}
	return len(gone) > 0
}

// threadGone says whether a thread has left its process's memory for good. The first
// one keeps its id until the others are gone, too.
func threadGone(pid, tid int) bool {
	if tid != pid {
		return unix.Tgkill(pid, tid, 0) == syscall.ESRCH
	}
	dead, err := unix.FirstThreadDead(pid)
	return err != nil || dead
}
