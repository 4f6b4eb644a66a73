//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// apply carries out actions in order.
func (s *session) apply(actions []frontend.Action) {
	for i := range actions {
		if s.over {
			return
		}
		a := &actions[i]
		if err := s.act(a); err != nil && !isGone(err) {
			s.failure(a.Task, err)
		}
	}
}

// act carries out one action.
func (s *session) act(a *frontend.Action) error {
	if a.Op == frontend.OpEnd {
		s.over = true
		return nil
	}
	t, err := s.lookup(a.Task)
	if err != nil {
		return err
	}
	if a.Op == frontend.OpKill {
		t.proc.killed = true
		t.state = running
		t.proc.dropDuplicates()
		if err := unix.Kill(t.proc.pid, syscall.SIGKILL); err != nil {
			return taskError("kill", err)
		}
		return nil
	}
	if t.proc.killed {
		return nil
	}
	switch {
	case a.Op == frontend.OpStop:
		return s.halt(t)
	case t.joined && s.Stopped(a.Task):
		return t.hold(a)
	}
	if a.Readings.Turn {
		if err := s.allow(t, a); err != nil {
			return err
		}
	}
	switch {
	case a.Op == frontend.OpSignal && t.state == atStop:
		return s.signalAtStop(t, a)
	case a.Op == frontend.OpRun && t.state == atEntry:
		return s.runCall(t, a)
	case a.Op == frontend.OpAnswer && t.state == atEntry:
		return t.answer(a.Ret)
	case a.Op == frontend.OpAnswer && t.state == atExit:
		return t.replaceResult(a.Ret)
	case a.Op == frontend.OpInterrupt && (t.state == atEntry || t.state == atExit):
		return s.beginInterrupt(t, a)
	case a.Op == frontend.OpExec && t.state == atEntry:
		return s.execFile(t, a)
	case a.Op == frontend.OpResume:
		return s.goOn(t)
	case a.Op == frontend.OpSignal && (t.state == atSignal || t.state == atTimeStamp):
		return s.signal(t, a)
	case a.Op == frontend.OpPlace && t.state == atExec && a.Place != nil:
		return s.place(t, a.Place)
	case a.Op == frontend.OpTimeStamp && (t.state == atTimeStamp || t.state == atSignal && a.TimeStamp.Random.Size != 0):
		t.last.valid = false
		return t.setTimeStamp(a.TimeStamp)
	}
	return fmt.Errorf("operation %d is not possible for %v at its %v stop", a.Op, t.id, t.state)
}

// goOn carries out OpResume.
func (s *session) goOn(t *task) error {
	switch t.state {
	case atExit, atExec, atStop:
		return t.resume(unix.Continue, 0)
	case atSignal:
		if len(t.deferred) > 0 {
			if err := s.raiseDeferred(t); err != nil {
				return err
			}
		}
		return t.resume(unix.Continue, 0)
	case atFork:
		if t.call.exit || t.call.restore {
			return t.resume(unix.ContinueToCall, 0)
		}
		return t.resume(unix.Continue, 0)
	case atBirth:
		if t.call.restore {
			if err := t.load(); err != nil {
				return err
			}
			restore(&t.regs, &t.call, 0)
			t.dirty = true
			t.call.restore = false
		}
		return t.resume(unix.Continue, 0)
	}
	return fmt.Errorf("%v cannot go on from its %v stop", t.id, t.state)
}

// answer ends the call at whose entry t stands without running it.
func (t *task) answer(ret int64) error {
	t.last = landing{valid: true, result: true, ip: t.info.IP, ret: uint64(ret)}
	if t.loaded {
		answer(&t.regs, ret)
		t.dirty = true
		return t.resume(unix.Continue, 0)
	}
	if err := unix.PtraceSetCall(t.id.Host, noCall, uint64(ret)); err != nil {
		return taskError("answer", err)
	}
	return t.resume(unix.Continue, 0)
}

// replaceResult changes the result of a call that is done.
func (t *task) replaceResult(ret int64) error {
	if err := t.load(); err != nil {
		return err
	}
	setResult(&t.regs, t.info.IP, ret)
	t.dirty = true
	t.last = landing{valid: true, result: true, ip: t.behind(ret), ret: uint64(ret)}
	return t.resume(unix.Continue, 0)
}

// runCall lets the kernel execute a call.
func (s *session) runCall(t *task, a *frontend.Action) error {
	if t.foreign {
		return t.answer(errNoSys)
	}
	t.call = pending{exit: a.Exit, fd: -1}
	nr := int64(int32(t.info.Nr))
	s.mayReplace(t, a.Nr, a.Args)
	switch {
	case a.File != 0:
		return s.runWithFile(t, a)
	case a.Area != nil:
		return s.runWithArea(t, a)
	case a.Nr == nr && a.Args == t.info.Args:
	default:
		if err := t.load(); err != nil {
			return err
		}
		t.remember()
		exchange(&t.regs, uint64(a.Nr), a.Args)
		t.dirty = true
	}
	// What rt_sigreturn restores are no longer the registers of the call.
	if a.Nr == unix.SysRtSigreturn {
		t.call.restore = false
	}
	s.lets(t, a.Nr)
	if t.call.exit || t.call.restore {
		return t.resume(unix.ContinueToCall, 0)
	}
	t.last = landing{valid: true, ip: t.info.IP}
	return t.resume(unix.Continue, 0)
}

// remember notes the program's own call, to be restored behind the one that is
// run instead.
func (t *task) remember() {
	t.call.restore = true
	t.call.nr, t.call.args = number(&t.regs), arguments(&t.regs)
}

// runWithFile runs a call with a descriptor that only this call sees.
func (s *session) runWithFile(t *task, a *frontend.Action) error {
	if a.FileArg < 0 || a.FileArg >= len(a.Args) {
		return fmt.Errorf("argument %d cannot hold a descriptor", a.FileArg)
	}
	in, err := s.inject(t)
	if err != nil {
		return err
	}
	t.remember()
	if t.call.fd, err = in.receive(a.File); err != nil {
		return err
	}
	args := a.Args
	args[a.FileArg] = uint64(t.call.fd)
	if err := in.replace(uint64(a.Nr), args); err != nil {
		return err
	}
	return t.resume(unix.ContinueToCall, 0)
}

// runWithArea runs a call behind one that makes memory for it.
func (s *session) runWithArea(t *task, a *frontend.Action) error {
	in, err := s.inject(t)
	if err != nil {
		return err
	}
	t.remember()
	const never = 1 << 62 // more than an address space has, for ENOMEM
	nr, args := uint64(a.Nr), a.Args
	switch ret, err := in.call(unix.SysMmap, areaArguments(a.Area.Addr, a.Area.Size)...); {
	case err != nil:
		return err
	case ret < 0:
		nr = unix.SysMmap
		copy(args[:], areaArguments(0, never))
	default:
		if _, err := s.WriteVariantMem(t.id, a.Area.Addr, a.Area.Content); err != nil {
			return err
		}
	}
	if err := in.replace(nr, args); err != nil {
		return err
	}
	if err := s.raiseDeferred(t); err != nil {
		return err
	}
	s.lets(t, int64(nr))
	return t.resume(unix.ContinueToCall, 0)
}

// areaArguments are those of the mmap of an area.
func areaArguments(addr, size uint64) []uint64 {
	flags := uint64(unix.MapPrivate | unix.MapAnonymous)
	if addr != 0 {
		flags |= unix.MapFixedNoreplace
	}
	return []uint64{addr, size, protRead | protWrite, flags, ^uint64(0), 0}
}

// execFile carries out OpExec: execveat(2) of a descriptor and an empty path.
func (s *session) execFile(t *task, a *frontend.Action) error {
	if t.foreign {
		return t.answer(errNoSys)
	}
	in, err := s.inject(t)
	if err != nil {
		return err
	}
	t.proc.dropDuplicates()
	t.call = pending{exit: true, fd: -1, exec: s.images[a.File]}
	t.remember()
	if t.call.fd, err = in.receive(a.File); err != nil {
		return err
	}
	empty := func(uint64) []byte { return make([]byte, 8) }
	if t.call.scratch, err = s.borrow(t, stackPointer(&in.base), empty, 8); err != nil {
		return err
	}
	err = in.replace(unix.SysExecveat,
		[6]uint64{uint64(t.call.fd), t.call.scratch.addr, a.Args[1], a.Args[2], unix.AtEmptyPath})
	if err != nil {
		return err
	}
	return t.resume(unix.ContinueToCall, 0)
}
