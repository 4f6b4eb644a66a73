//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// A process is stopped by a signal, for its parent to see, when each of its threads has taken part
// in that (do_signal_stop, ptrace_stop in kernel/signal.c). One that stands at a stop of the
// tracer's does not, and it may stand there until another one goes on that is stopped. So it is
// led to where it takes part, and back to where it stood, of which the monitor is not told. What the
// monitor decides for it from then on is carried out when the process goes on.
//
// Nothing that is remembered here says for sure whether a process is stopped: stops of different
// threads are not told in the order in which they came. What counts is the stop that a thread is
// asked for (PTRACE_INTERRUPT): it tells of the signal by which the process is stopped, or of none
// (do_jobctl_trap).

// groupStop handles the stop of a whole process by a signal, or its end.
func (s *session) groupStop(t *task, sig syscall.Signal) error {
	switch {
	case sig == syscall.SIGTRAP:
		t.state = running
		s.goesOn(t.proc)
		if t.halting {
			return s.halted(t)
		}
	case stops(sig) && t.leads():
		err := t.resume(unix.Listen, 0)
		if errors.Is(err, syscall.EIO) {
			// It is not at such a stop any more: it was killed, or another thread has executed a
			// program and has its id.
			return nil
		}
		if err != nil {
			return err
		}
		t.state = listening
		t.proc.stopped = true
		return nil
	}
	return t.resume(unix.Continue, 0)
}

// Stopped implements frontend.Stops. A process of which no task listens may have been continued without
// a word: then the signal waits for a task of it, and the kernel tells of it when that goes on.
func (s *session) Stopped(id frontend.Task) bool {
	t := s.tasks[id.Host]
	if t == nil || !t.leads() || t.proc.killed || s.over {
		return false
	}
	if !t.proc.stopped && t.stands() && t.isToStop() {
		if err := s.getStopped(t); err != nil && !isGone(err) {
			s.fail(fmt.Errorf("stop %v: %w", t.id, err))
			return false
		}
		// The monitor, which has asked, cannot be told of anything now.
		s.joining = append(s.joining, t.proc)
	}
	return t.proc.stopped &&
		(slices.ContainsFunc(s.tasksOf(t.proc), func(t *task) bool { return t.state == listening }) || !t.pends(continues))
}

// isToStop says whether a signal waits for t that is going to stop its process.
func (t *task) isToStop() bool {
	blocked, _ := statusSet(t.id.Host, "SigBlk:")
	caught, _ := statusSet(t.id.Host, "SigCgt:")
	ignored, _ := statusSet(t.id.Host, "SigIgn:")
	return t.pends(func(sig syscall.Signal) bool {
		return stops(sig) && !has(blocked, sig) && (sig == syscall.SIGSTOP || !has(caught|ignored, sig))
	})
}

// getStopped has t, which stands, get the signal that waits for it and stops its process: nobody would be
// told of the stop before t goes on with its program. It stands where it stood then.
func (s *session) getStopped(t *task) error {
	switch t.state {
	case atEntry, atExit, atStop, atBirth:
	default:
		return nil
	}
	if t.foreign && t.state == atEntry {
		return nil
	}
	if err := t.load(); err != nil {
		return err
	}
	if t.state == atExit && isRestart(result(&t.regs)) {
		// The kernel has yet to decide what becomes of the call.
		return nil
	}
	if t.state == atEntry {
		// It is to stand where it stood.
		if own, err := s.isGate(t, instructionPointer(&t.regs)-syscallSize); !own || err != nil {
			return err
		}
	}
	in, err := s.inject(t)
	if errors.Is(err, errNoGate) {
		return nil
	}
	if err != nil {
		return err
	}
	own, at := t.info, t.state
	t.getsStops, t.gotStop = true, false
	_, err = in.call(unix.SysFcntl, ^uint64(0))
	t.getsStops = false
	if err != nil {
		return err
	}
	if at == atEntry {
		if err = in.replace(own.Nr, own.Args); err == nil {
			err = s.raiseDeferred(t)
		}
	} else {
		err = in.end(in.base)
	}
	t.joined = t.gotStop
	t.proc.stopped = t.proc.stopped || t.joined
	return err
}

// awaken carries out what was decided for tasks that were stopped, of which nobody has told that they are
// not any more.
func (s *session) awaken() {
	for _, t := range s.tasks {
		if a := t.held; a != nil && t.joined && !s.Stopped(t.id) {
			t.held, t.joined = nil, false
			s.apply([]frontend.Action{*a})
		}
	}
}

// tasksOf returns the tasks of a process, in the order of their ids.
func (s *session) tasksOf(p *process) []*task {
	var all []*task
	for _, t := range s.tasks {
		if t.proc == p {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *task) int { return cmp.Compare(a.id.Host, b.id.Host) })
	return all
}

// goesOn looks which tasks of p are still stopped when one of them is not any more, and carries out
// what was decided for the others.
func (s *session) goesOn(p *process) {
	if !p.stopped {
		return
	}
	p.stopped = false
	all := s.tasksOf(p)
	for _, t := range all {
		if t.joined {
			t.joined = false
			p.stopped = true
			s.joins(t)
		}
	}
	p.stopped = slices.ContainsFunc(all, func(t *task) bool { return t.joined || t.state == listening })
	for _, t := range all {
		if a := t.held; a != nil && !t.joined {
			t.held = nil
			s.apply([]frontend.Action{*a})
		}
	}
}

// stands says whether the monitor has t stand at a stop from which it can take part in one of its
// whole process. A call that is not made by an instruction of the program's own kind could not be
// made again; a task in the middle of a call comes to an end of that first.
func (t *task) stands() bool {
	switch t.state {
	case atEntry:
		return !t.foreign
	case atExit, atBirth, atSignal, atTimeStamp, atStop:
		return true
	}
	return false
}

// joinAll has all tasks of p that stand take part in its stop.
func (s *session) joinAll(p *process) {
	if !p.stopped {
		return
	}
	for _, t := range s.tasksOf(p) {
		s.joins(t)
	}
}

// joins has t take part in the stop of its process if it stands.
func (s *session) joins(t *task) {
	p := t.proc
	if !p.stopped || t.joined || !t.stands() || p.killed || p.executing != nil || s.over {
		return
	}
	if err := s.participate(t); err != nil && !isGone(err) {
		s.failure(t.id, err)
	}
}

// participate has t, which stands, take part in the stop of its process, or tells that there is none any
// more. It stands where it stood then, but for a signal that it was about to get: that is taken off
// it.
func (s *session) participate(t *task) error {
	at, taken := t.state, t.taken || t.state == atSignal || t.state == atTimeStamp
	in, err := s.comesBack(t)
	if in == nil || err != nil {
		return err
	}
	if at == atEntry {
		rewind(&t.regs, t.info.Nr)
		t.dirty = true
	}
	if err := unix.PtraceInterrupt(t.id.Host); err != nil {
		return taskError("stop", err)
	}
	err = t.resume(unix.Continue, 0)
	// Of one that has been killed meanwhile, too: what is held for it finds that out by itself.
	t.state = at
	if err != nil {
		return err
	}
	status, err := s.waitTask(t)
	if err != nil {
		return err
	}
	if int(status)>>16 != unix.EventStop {
		return fmt.Errorf("stop %#x in place of the one that was asked for", uint32(status))
	}
	t.joined = stops(status.StopSignal())
	if at == atEntry {
		err = in.again()
	} else {
		err = t.mend()
	}
	if err == nil && t.halting {
		err = taskError("stop", unix.PtraceInterrupt(t.id.Host))
	}
	t.taken = taken
	return err
}

// comesBack returns how t comes back to where it stands, nil when it cannot.
func (s *session) comesBack(t *task) (*injector, error) {
	if err := t.load(); err != nil {
		return nil, err
	}
	in := &injector{s: s, t: t, base: t.regs, gate: instructionPointer(&t.regs) - syscallSize}
	if t.state != atEntry {
		return in, nil
	}
	if ok, err := s.isGate(t, in.gate); ok || err != nil {
		return in, err
	}
	vmas, err := procmaps.Read(t.id.Host)
	if err != nil {
		return nil, taskError("read mappings", err)
	}
	var ok bool
	if in.gate, ok, err = s.vdsoGate(t, vmas); !ok || err != nil {
		return nil, err
	}
	return in, nil
}

// again has the task make its own call again, up to its entry. Nothing but that call may happen,
// whatever the program's other threads and signals do: it is a single step, without signals.
func (in *injector) again() error {
	t := in.t
	mask, err := unix.PtraceSignalMask(t.id.Host)
	if err == nil {
		err = unix.PtraceSetSignalMask(t.id.Host, ^uint64(0))
	}
	if err != nil {
		return taskError("block signals", err)
	}
	r := in.base
	enter(&r, in.gate, t.info.Nr, t.info.Args)
	if err := unix.PtraceSetRegs(t.id.Host, &r); err != nil {
		return taskError("write registers", err)
	}
	for sig := syscall.Signal(0); ; {
		if err := unix.PtraceResume(unix.Step, t.id.Host, int(sig)); err != nil {
			return taskError("resume", err)
		}
		status, err := in.s.waitTask(t)
		if err != nil {
			return err
		}
		event := int(status) >> 16
		sig = 0
		switch {
		case event == unix.EventSeccomp:
			return in.back(mask)
		case event == unix.EventStop:
			t.joined = stops(status.StopSignal())
		case event == 0 && status.StopSignal() == syscall.SIGSTOP:
			// It cannot be blocked. If it has come in front of SIGCONT it does nothing.
			sig = syscall.SIGSTOP
		default:
			return fmt.Errorf("stop %#x in place of the call that is made again", uint32(status))
		}
	}
}

// back makes the registers and the mask of a task that is at the entry of its call again what they
// were.
func (in *injector) back(mask uint64) error {
	t := in.t
	var info unix.SyscallInfo
	if err := unix.PtraceSyscallInfo(t.id.Host, &info); err != nil {
		return taskError("read call", err)
	}
	if info.Nr != t.info.Nr || info.Args != t.info.Args || info.Arch != t.info.Arch || info.RetData != t.info.RetData {
		return fmt.Errorf("call %d in place of call %d that is made again", info.Nr, t.info.Nr)
	}
	if err := unix.PtraceSetSignalMask(t.id.Host, mask); err != nil {
		return taskError("unblock signals", err)
	}
	t.set(in.base)
	if err := unix.PtraceSetRegs(t.id.Host, &t.regs); err != nil {
		return taskError("write registers", err)
	}
	t.dirty = false
	return nil
}

// hold keeps what the monitor has decided for a task that is stopped with its process.
func (t *task) hold(a *frontend.Action) error {
	if t.held != nil {
		return fmt.Errorf("operations %d and %d for %v at one stop", t.held.Op, a.Op, t.id)
	}
	held := *a
	t.held = &held
	return nil
}

// rootStopped says whether the whole first process of the leader is stopped.
func (s *session) rootStopped() bool {
	return s.root.stopped && s.root.tasks > 0 && !slices.ContainsFunc(s.tasksOf(s.root), func(t *task) bool {
		return !t.joined && t.state != listening && !t.reported
	})
}
