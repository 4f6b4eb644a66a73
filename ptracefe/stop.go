//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// handle reports one stop or end to the monitor and carries out the answer.
func (s *session) handle(pid int, status unix.WaitStatus) {
	t := s.tasks[pid]
	event := int(status) >> 16
	switch {
	case t == nil && status.Stopped() && event == unix.EventExec:
		// A thread that execs takes the id of its group's leader.
		s.stopped(pid, s.execSuccessor(pid), status)
	case t == nil:
		s.stranger(pid, status)
	case status.Exited() || status.Signaled():
		s.finish(t, status)
	case status.Stopped() && t.proc.killed:
		_ = unix.PtraceResume(unix.Continue, pid, 0)
	case status.Stopped() && event == unix.EventExec:
		s.stopped(pid, s.execSuccessor(pid), status)
	case status.Stopped():
		s.stopped(pid, t, status)
	}
}

var _ frontend.Counter = (*session)(nil)

// Counts implements frontend.Counter.
func (s *session) Counts(variant int) (c frontend.Counts) {
	if variant >= 0 && variant < len(s.stops) {
		c.Stops = s.stops[variant]
	}
	return c
}

// stopped dispatches a stop of t.
func (s *session) stopped(pid int, t *task, status unix.WaitStatus) {
	if t == nil {
		_ = unix.Kill(pid, syscall.SIGKILL)
		return
	}
	t.loaded, t.dirty, t.replaces = false, false, false
	if t.proc.executing == t {
		t.proc.executing = nil
	}
	s.stops[t.id.Variant]++
	s.count(t)
	var err error
	event, sig := int(status)>>16, status.StopSignal()
	if t.halting && event != unix.EventStop {
		// Every other stop takes the place of the one that was asked for (ptrace_stop in
		// kernel/signal.c).
		err = unix.PtraceInterrupt(pid)
	}
	if err != nil {
		err = taskError("stop", err)
	} else {
		err = s.dispatch(t, event, sig)
	}
	if err != nil && !isGone(err) {
		s.failure(t.id, err)
	}
	s.joinAll(t.proc)
}

// dispatch handles a stop of t.
func (s *session) dispatch(t *task, event int, sig syscall.Signal) error {
	switch event {
	case 0:
		if sig == callStop {
			return s.callDone(t)
		}
		if err := t.mend(); err != nil {
			return err
		}
		if err := s.leavesReading(t); err != nil {
			return err
		}
		return s.signalled(t, sig)
	case unix.EventSeccomp:
		return s.callBegins(t)
	case unix.EventFork, unix.EventVfork, unix.EventClone:
		return s.forked(t, event)
	case unix.EventExec:
		return s.executed(t)
	case unix.EventStop:
		if err := t.mend(); err != nil {
			return err
		}
		if err := s.leavesReading(t); err != nil {
			return err
		}
		return s.groupStop(t, sig)
	}
	return fmt.Errorf("unknown stop: event %d, signal %d", event, sig)
}

// callBegins reports a call that the kernel has not seen yet.
func (s *session) callBegins(t *task) error {
	if err := unix.PtraceSyscallInfo(t.id.Host, &t.info); err != nil {
		return taskError("read call", err)
	}
	if t.interrupt != nil {
		return t.interrupt.blocked()
	}
	if t.halting && !fromVsyscall(t.info.IP) {
		return t.rewind()
	}
	t.foreign = t.info.Arch != unix.AuditArch || t.info.RetData != nativeCall || fromVsyscall(t.info.IP)
	t.call = pending{fd: -1}
	t.last.valid = false
	t.state = atEntry
	if nr := int64(int32(t.info.Nr)); nr == unix.SysSchedSetaffinity || nr == unix.SysSchedGetaffinity {
		s.asks(t)
	}
	s.readBy(t)
	c := frontend.Call{
		Arch: arch, Nr: int64(int32(t.info.Nr)), Args: t.info.Args,
		IP: t.info.IP, SP: t.info.SP,
	}
	if t.foreign {
		c.Nr = -1
	}
	s.apply(s.mon.OnSyscall(t.id, c))
	return nil
}

// callDone handles the exit stop of a call.
func (s *session) callDone(t *task) error {
	if err := t.load(); err != nil {
		return err
	}
	ret := result(&t.regs)
	p := t.call
	t.call = pending{fd: -1}
	t.state = atExit
	if p.exec != nil && ret < 0 && !isRestart(ret) {
		if err := p.exec.checkRoot(t, ret); err != nil {
			return err
		}
	}
	if p.restore {
		restore(&t.regs, &p, ret)
		t.dirty = true
	}
	if err := s.giveBack(t, p.scratch); err != nil {
		if p.exec != nil && ret < 0 && errors.Is(err, frontend.ErrFault) {
			// The old program is gone.
			err = unfit(t, p.exec.program, fmt.Errorf("variant %d could not load it: %w", t.id.Variant, syscall.Errno(-ret)))
		}
		return err
	}
	if p.fd >= 0 {
		if err := s.closeIn(t, p.fd); err != nil {
			return err
		}
	}
	t.last = landing{valid: true, result: true, ip: t.behind(ret), ret: uint64(ret)}
	if !p.exit {
		return t.resume(unix.Continue, 0)
	}
	s.apply(s.mon.OnSyscallExit(t.id, ret))
	return nil
}

// closeIn closes a descriptor that a call of t's had. A task that has nothing
// left to execute cannot: it keeps the descriptor until it dies of that.
func (s *session) closeIn(t *task, fd int) error {
	in, err := s.inject(t)
	if errors.Is(err, errNoGate) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := in.must("close", unix.SysClose, uint64(fd)); err != nil {
		return err
	}
	return in.end(in.base)
}

// forked handles a parent's fork event: the pair is reported when both parent
// and child have stopped, whichever comes first.
func (s *session) forked(parent *task, event int) error {
	msg, err := unix.PtraceEventMessage(parent.id.Host)
	if err != nil {
		return taskError("read id of child", err)
	}
	child := int(msg)
	parent.state = atFork
	switch event {
	case unix.EventVfork:
		parent.forkKind = frontend.Vfork
	case unix.EventClone:
		parent.forkKind = frontend.Clone
	default:
		parent.forkKind = frontend.Fork
	}
	if _, ok := s.newborns[child]; ok {
		delete(s.newborns, child)
		s.reportFork(parent, child)
		return nil
	}
	s.parents[child] = parent
	return nil
}

func (s *session) reportFork(parent *task, host int) *task {
	p := parent.proc
	if group, ok := threadGroup(host); !ok || group != p.pid {
		p = &process{pid: host, pidfd: -1}
		if parent.leads() {
			noteShared(parent.proc, p)
		}
		inheritPage(p, parent)
	}
	child := newTask(parent.id.Variant, host, p)
	child.state = atBirth
	child.filtered, child.trapTSC = parent.filtered, parent.trapTSC
	child.call.restore, child.call.args = parent.call.restore, parent.call.args
	child.image = parent.image
	s.inheritPlace(child, parent)
	s.tasks[host] = child
	s.apply(s.mon.OnFork(parent.id, child.id, parent.forkKind))
	s.joins(child)
	return child
}

// stranger handles a stop or end of a tracee that is no task yet.
func (s *session) stranger(pid int, status unix.WaitStatus) {
	parent := s.parents[pid]
	delete(s.parents, pid)
	dead := status.Exited() || status.Signaled()
	switch {
	case dead && parent == nil:
		delete(s.newborns, pid)
	case parent != nil && !parent.gone() && !parent.proc.killed:
		child := s.reportFork(parent, pid)
		if dead {
			s.finish(child, status)
		}
	case dead:
	case !status.Stopped():
	default:
		// A thread is of a process that is known, whoever that one's parent is.
		of, _ := threadGroup(pid)
		if of == pid {
			of, _ = statusField(pid, "PPid:")
		}
		// A child of the monitor itself was made with CLONE_PARENT.
		if p := s.tasks[of]; of != s.pid && (p == nil || p.proc.killed) {
			_ = unix.Kill(pid, syscall.SIGKILL)
			return
		}
		s.newborns[pid] = newborn{parent: of}
	}
}

// finish reports the end of a task.
func (s *session) finish(t *task, status unix.WaitStatus) {
	delete(s.tasks, t.id.Host)
	t.state = ended
	if t.proc.executing == t {
		t.proc.executing = nil
	}
	if t.asking {
		s.share.asking--
	}
	t.proc.tasks--
	if t.proc.tasks == 0 {
		t.proc.release()
		// Children that were made but never told of have nobody to speak for them.
		for pid, n := range s.newborns {
			if n.parent == t.proc.pid {
				_ = unix.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	for pid, parent := range s.parents {
		if parent == t {
			delete(s.parents, pid)
			_ = unix.Kill(pid, syscall.SIGKILL)
		}
	}
	var st frontend.Status
	if status.Signaled() {
		st.Signal, st.Core = int(status.Signal()), status.CoreDump()
	} else {
		st.Code = status.ExitStatus()
	}
	// The kernel reports the end of the first thread last, whichever task it is by then.
	if t.proc == s.root && t.id.Host == t.proc.pid {
		s.outcome = s.spec.FirstEnded(st)
	}
	s.unlinger(t)
	if !t.reported {
		s.apply(s.mon.OnExit(t.id, st))
	}
}

// execSuccessor returns the task that now has id pid after an exec. When it was
// another thread of the process, that task changes its id.
func (s *session) execSuccessor(pid int) *task {
	msg, err := unix.PtraceEventMessage(pid)
	if err != nil {
		return s.tasks[pid]
	}
	old := int(msg)
	t := s.tasks[old]
	if t == nil || old == pid {
		return s.tasks[pid]
	}
	if gone := s.tasks[pid]; gone != nil {
		t.proc.tasks--
		s.unlinger(gone)
	}
	delete(s.tasks, old)
	t.oldHost, t.id.Host = old, pid
	s.tasks[pid] = t
	return t
}

// executed handles the event of a successful exec. The exit stop of the call is
// passed here, so that the task is ready for calls of the monitor.
func (s *session) executed(t *task) error {
	old := t.id
	if t.oldHost != 0 {
		old.Host, t.oldHost = t.oldHost, 0
	}
	exec := t.call.exec
	t.call = pending{fd: -1}
	t.interrupt = nil
	t.proc.dropPage()
	t.proc.dropDuplicates()
	t.last.valid = false
	// Those that were stopped are gone.
	t.proc.stopped = false
	if err := t.resume(unix.ContinueToCall, 0); err != nil {
		return err
	}
	if err := s.await(t, unix.ContinueToCall, awaitCall); err != nil {
		return err
	}
	s.reportExec(t, old, exec)
	return nil
}

// reportExec reports the program that a task is about to begin; exec says what it
// was to be, nil when the task did not execute the leader's.
func (s *session) reportExec(t *task, old frontend.Task, exec *loaded) {
	img, err := s.image(t)
	t.state = atExec
	if err != nil && !isGone(err) {
		err = s.unreadable(t, err)
	}
	if err == nil && exec != nil {
		err = exec.checkLoader(t)
	}
	if err != nil {
		if !isGone(err) {
			s.failure(t.id, err)
		}
		return
	}
	s.apply(s.mon.OnExec(t.id, old, img))
}

// threadGroup returns the id of the process to which thread host belongs.
func threadGroup(host int) (int, bool) { return statusField(host, "Tgid:") }

// statusField returns a number from proc(5)'s status file.
func statusField(host int, name string) (int, bool) {
	text, ok := statusText(host, name)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// statusText returns what proc(5)'s status file says of name.
func statusText(host int, name string) (string, bool) {
	b, err := os.ReadFile(procPath(host, "status"))
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}
