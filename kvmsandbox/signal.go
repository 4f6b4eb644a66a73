//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// sigaction is rt_sigaction(2). What handlers are is the front-end's business; what
// is ignored and what becomes of children is the kernel's, too.
func (s *session) sigaction(t *task, args [6]uint64) (int64, error) {
	n := int(int32(args[0]))
	var act *signals.Action
	if args[1] != 0 {
		var b [signals.ActionSize]byte
		if _, err := s.ReadVariantMem(t.id, args[1], b[:]); err != nil {
			return fault(err)
		}
		a := signals.DecodeAction(&b)
		act = &a
	}
	old, err := t.proc.actions.Set(n, act, args[3])
	if err != nil {
		return errnoOf(err), nil
	}
	if act != nil {
		if err := s.must(t, "set signal action", s.hostAction(t, t.scratch(), n)); err != nil {
			return 0, err
		}
		if e := t.proc.actions.Effect(n); e == signals.Ignore || e == signals.Continue {
			s.drop(t.proc.actions, n)
		}
	}
	if args[2] != 0 {
		b := old.Encode()
		if _, err := s.WriteVariantMem(t.id, args[2], b[:]); err != nil {
			return fault(err)
		}
	}
	return 0, nil
}

// drop takes signal n, for which nobody has a handler any more, from the queues of all whose actions
// these are, as the kernel does with those that it has (do_sigaction in kernel/signal.c).
func (s *session) drop(actions *signals.Dispositions, n int) {
	for _, t := range s.tasks {
		if t.proc.actions == actions {
			t.queue = slices.DeleteFunc(t.queue, func(i [128]byte) bool { return (*signals.Info)(&i).Signo() == n })
		}
	}
}

func errnoOf(err error) int64 {
	var e syscall.Errno
	if errors.As(err, &e) {
		return -int64(e)
	}
	return -int64(syscall.EINVAL)
}

// hostAction makes the call by which the kernel learns of the action of signal n:
// the variant host takes what the program handles or would die of, the rest is as
// the program wants it.
func (s *session) hostAction(t *task, x *scratch, n int) vhost.Call {
	own := t.proc.actions.Action(n)
	act := signals.Action{Flags: own.Flags & (signals.SANoChildStop | signals.SANoChildWait)}
	effect := t.proc.actions.Effect(n)
	if t.blk.IsNative() {
		act.Flags |= signals.SAOnStack
		if (trapSet | kickSet).Has(n) {
			effect = signals.Handle
		}
	} else if s.agents.table >= 0 && copySet.Has(n) {
		effect = signals.Handle
	}
	switch effect {
	case signals.Handle, signals.Terminate, signals.Core:
		act.Handler, act.Restorer = vhost.Handler, vhost.Restorer
		act.Flags |= signals.SASigInfo | signals.SARestorer
		act.Mask = ^signals.Set(0)
		if t.blk.IsNative() {
			// Those by which the variant host learns that memory is not there are let in
			// while it deals with one of them, too.
			act.Flags |= signals.SANoDefer
			act.Mask = signals.Set(vhost.Blocked)
		}
	default:
		act.Handler = own.Handler
	}
	b := act.Encode()
	return vhost.Call{Nr: unix.SysRtSigaction, Args: [6]uint64{uint64(n), s.actionAt(act, func() uint64 { return x.put(b[:]) }), 0, signals.SetSize}}
}

// actionAt returns where an action is in the variant host's image of a native program,
// which makes it tame to the filter, or else what put returns.
func (s *session) actionAt(act signals.Action, put func() uint64) uint64 {
	if s.native() {
		switch act {
		case signals.Action{
			Handler: vhost.Handler, Restorer: vhost.Restorer, Mask: signals.Set(vhost.Blocked),
			Flags: signals.SASigInfo | signals.SARestorer | signals.SAOnStack | signals.SANoDefer,
		}:
			return s.kvm.image.Handle
		case signals.Action{}, signals.Action{Flags: signals.SAOnStack}:
			return s.kvm.image.Default
		}
	}
	return put()
}

// catchSignals tells the kernel of all actions, after an exec.
func (s *session) catchSignals(t *task) error {
	for first := 1; first <= signals.Max; {
		x := t.scratch()
		var calls []vhost.Call
		for ; first <= signals.Max && len(calls) < vhost.MaxCalls; first++ {
			if n := syscall.Signal(first); n != syscall.SIGKILL && n != syscall.SIGSTOP {
				calls = append(calls, s.hostAction(t, x, first))
			}
		}
		if err := s.must(t, "catch signals", calls...); err != nil {
			return err
		}
	}
	return nil
}

// sigprocmask is rt_sigprocmask(2).
func (s *session) sigprocmask(t *task, args [6]uint64) (int64, error) {
	if args[3] != signals.SetSize {
		return -int64(syscall.EINVAL), nil
	}
	old := t.sig.Blocked
	if args[1] != 0 {
		var b [signals.SetSize]byte
		if _, err := s.ReadVariantMem(t.id, args[1], b[:]); err != nil {
			return fault(err)
		}
		if err := t.sig.SetMask(int32(args[0]), signals.Set(binary.LittleEndian.Uint64(b[:])), args[3]); err != nil {
			return errnoOf(err), nil
		}
	}
	if args[2] != 0 {
		return s.putWord(t, args[2], uint64(old))
	}
	return 0, nil
}

// sigaltstack is sigaltstack(2).
func (s *session) sigaltstack(t *task, args [6]uint64) (int64, error) {
	old := t.sig.AltStack(t.regs.RSP)
	if args[0] != 0 {
		var b [signals.AltStackSize]byte
		if _, err := s.ReadVariantMem(t.id, args[0], b[:]); err != nil {
			return fault(err)
		}
		if err := t.sig.SetAltStack(signals.DecodeAltStack(&b), t.regs.RSP); err != nil {
			return errnoOf(err), nil
		}
	}
	if args[1] != 0 {
		b := old.Encode()
		if _, err := s.WriteVariantMem(t.id, args[1], b[:]); err != nil {
			return fault(err)
		}
	}
	return 0, nil
}

// sigpending is rt_sigpending(2): what the kernel has, and what was taken from it.
func (s *session) sigpending(t *task, args [6]uint64) (int64, error) {
	if args[1] > signals.SetSize {
		return -int64(syscall.EINVAL), nil
	}
	if err := s.requeue(t); err != nil {
		return 0, err
	}
	x := t.scratch()
	at := x.put(make([]byte, signals.SetSize))
	ret, err := s.call1(t, unix.SysRtSigpending, at, signals.SetSize)
	if err != nil || ret < 0 {
		return ret, err
	}
	pending := signals.Set(binary.LittleEndian.Uint64(x.get(at, signals.SetSize))) & t.sig.Blocked
	for _, q := range t.queue {
		pending |= 1 << ((*signals.Info)(&q).Signo() - 1)
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(pending))
	if _, err := s.WriteVariantMem(t.id, args[0], b[:args[1]]); err != nil {
		return fault(err)
	}
	return 0, nil
}

// collect takes a signal that the program does not block from the kernel.
func (s *session) collect(t *task) error {
	if !t.leads() {
		return nil
	}
	info, ok, err := s.pending(t, t.sig.Blocked)
	if ok && s.isKick(info) {
		t.kicked = false
	} else if ok {
		t.take(info)
	}
	return err
}

// pending takes a signal that is not among blocked from the kernel, one for the thread
// of t or for its process.
func (s *session) pending(t *task, blocked signals.Set) (info [128]byte, ok bool, err error) {
	x := t.scratch()
	set := x.put(binary.LittleEndian.AppendUint64(nil, ^uint64(blocked)))
	at := x.put(make([]byte, signals.InfoSize))
	none := x.put(make([]byte, 16))
	ret, err := s.call1(t, unix.SysRtSigtimedwait, set, at, none, signals.SetSize)
	if err != nil || ret <= 0 {
		return info, false, err
	}
	return [128]byte(x.get(at, signals.InfoSize)), true, nil
}

// nextSignal takes the first signal of the queue that the program does not block.
func (t *task) nextSignal() (info [128]byte, ok bool) {
	for i := range t.queue {
		if !t.sig.Blocked.Has((*signals.Info)(&t.queue[i]).Signo()) {
			info = t.queue[i]
			t.queue = slices.Delete(t.queue, i, i+1)
			return info, true
		}
	}
	return info, false
}

// requeue gives signals that the program blocks by now back to the kernel.
func (s *session) requeue(t *task) error {
	var held [][128]byte
	for _, q := range t.queue {
		if s.heldBack(q) {
			held = append(held, q)
			continue
		}
		x := t.scratch()
		ret, err := s.call1(t, unix.SysRtTgsigqueueinfo, uint64(t.proc.pid), uint64(t.id.Host),
			uint64((*signals.Info)(&q).Signo()), x.put(q[:]))
		if err != nil {
			return err
		}
		if ret < 0 {
			s.log.Debug("a blocked signal is lost", "task", t.id.String(), "error", syscall.Errno(-ret))
		}
	}
	t.queue = held
	return nil
}

// reportSignal reports a signal that came from outside.
func (s *session) reportSignal(t *task, info [128]byte) {
	if t.state != running || t.proc.killed {
		return
	}
	if sig := (*signals.Info)(&info); sig.Signo() == signals.SIGCHLD {
		s.endedBefore(int(sig.Sender()))
	}
	s.signalled(t, &frontend.Signal{
		Number: (*signals.Info)(&info).Signo(), Info: info, IP: t.regs.RIP, AfterCall: t.afterCall(),
	})
}

// raise reports a signal that the program's own instruction caused.
func (s *session) raise(t *task, f signals.Fault) {
	t.call.landed, t.asking = false, false
	s.signalled(t, &frontend.Signal{Number: f.Signal, Info: f.Info, Synchronous: true, IP: t.regs.RIP})
}

func (s *session) signalled(t *task, sig *frontend.Signal) {
	t.state, t.signal = atSignal, sig
	s.apply(s.mon.OnSignal(t.id, sig))
}

// deliver carries out OpSignal.
func (s *session) deliver(t *task, a *frontend.Action) error {
	if a.Restart && t.afterCall() && int64(t.regs.RAX) == signals.Interrupted {
		t.setResult(signals.RestartNoHand)
	}
	if a.Spent {
		return s.resume(t)
	}
	return s.deliverAll(t, []*frontend.Signal{a.Signal})
}

// interrupt carries out OpInterrupt.
func (s *session) interrupt(t *task, a *frontend.Action) error {
	t.setResult(a.Ret)
	if a.SigMask != nil {
		if t.state == atExit {
			return errors.New("OpInterrupt with a mask after the call")
		}
		t.sig.Suspend(signals.Set(*a.SigMask))
	}
	return s.deliverAll(t, append([]*frontend.Signal{a.Signal}, a.Then...))
}

// deliverAll delivers signals one after the other, each before the first
// instruction of the handler of the one before.
func (s *session) deliverAll(t *task, list []*frontend.Signal) error {
	for i, sig := range list {
		if sig == nil || sig.Number < 1 || sig.Number > signals.Max {
			return errors.New("no signal to deliver")
		}
		if sig.Synchronous {
			signals.Force(t.proc.actions, &t.sig, sig.Number)
		}
		switch act, effect := t.proc.actions.Deliver(sig.Number); effect {
		case signals.Handle:
			if err := s.handler(t, sig, act); err != nil {
				return err
			}
		case signals.Terminate, signals.Core:
			return s.dieOf(t, syscall.Signal(sig.Number))
		case signals.Stop:
			// It may be long until somebody lets the process go on.
			s.post(t, t.byDefault(syscall.Signal(sig.Number)), false, func() {
				s.check(t, s.deliverAll(t, list[i+1:]))
			})
			return nil
		}
	}
	return s.resume(t)
}

// handler makes t's handler run when it goes on.
func (s *session) handler(t *task, sig *frontend.Signal, act signals.Action) error {
	if t.afterCall() {
		rax, back := signals.AfterCall(int64(t.regs.RAX), t.call.nr, &act)
		t.regs.RAX = uint64(rax)
		t.regs.RIP -= back
		t.call.landed = false
	}
	if err := s.dropFault(t); err != nil {
		return err
	}
	fpu, err := s.saveFPU(t)
	if err != nil {
		return err
	}
	f, err := signals.BuildFrame(signals.FrameInput{
		Signal: sig.Number, Info: sig.Info, Action: act,
		Registers: frameRegisters(&t.regs), Thread: t.sig,
		State: fpu, XState: s.kvm.xstate,
	})
	if err == nil {
		_, err = s.writeProgram(t, f.Addr, f.Bytes)
	}
	if isGone(err) {
		return err
	}
	if err != nil {
		if !errors.Is(err, signals.ErrFrame) && !errors.Is(err, frontend.ErrFault) {
			return err
		}
		signals.ForceSegv(t.proc.actions, &t.sig, sig.Number)
		s.later(t, func() { s.raise(t, signals.Fault{Signal: signals.SIGSEGV, Info: signals.KernelInfo(signals.SIGSEGV)}) })
		t.state = running
		return errDead
	}
	if err := s.loadFPU(t, f.State); err != nil {
		return err
	}
	t.setRegisters(&f.Registers)
	t.sig = f.Thread
	return nil
}

// dropFault has the machine forget a fault of the program's that a signal has come in front of: it would
// raise it at the handler's first instruction. Behind the handler there is another one.
func (s *session) dropFault(t *task) error {
	if !t.faults {
		return nil
	}
	t.faults = false
	t.regs.RFLAGS &^= flagRF
	return s.forgetEvents(t)
}

// frameRegisters are the program's registers as frames hold them.
func frameRegisters(r *kvm.Registers) signals.Registers {
	return signals.Registers{
		RAX: r.RAX, RBX: r.RBX, RCX: r.RCX, RDX: r.RDX, RSI: r.RSI, RDI: r.RDI, RSP: r.RSP, RBP: r.RBP,
		R8: r.R8, R9: r.R9, R10: r.R10, R11: r.R11, R12: r.R12, R13: r.R13, R14: r.R14, R15: r.R15,
		RIP: r.RIP, RFLAGS: r.RFLAGS, CS: userCS, SS: userSS,
	}
}

func (t *task) setRegisters(r *signals.Registers) {
	t.regs = kvm.Registers{
		RAX: r.RAX, RBX: r.RBX, RCX: r.RCX, RDX: r.RDX, RSI: r.RSI, RDI: r.RDI, RSP: r.RSP, RBP: r.RBP,
		R8: r.R8, R9: r.R9, R10: r.R10, R11: r.R11, R12: r.R12, R13: r.R13, R14: r.R14, R15: r.R15,
		RIP: r.RIP, RFLAGS: r.RFLAGS,
	}
	t.dirty = true
}

// sigreturn is rt_sigreturn(2).
func (s *session) sigreturn(t *task) error {
	out, err := signals.ParseFrame(signals.ReturnInput{
		Registers: frameRegisters(&t.regs), Thread: t.sig, XState: s.kvm.xstate,
		Read: func(addr uint64, p []byte) error {
			_, err := s.ReadVariantMem(t.id, addr, p)
			return err
		},
	})
	if isGone(err) {
		return err
	}
	t.setRegisters(&out.Registers)
	t.sig = out.Thread
	var bad *signals.Fault
	if err != nil {
		signals.Force(t.proc.actions, &t.sig, signals.SIGSEGV)
		bad = &signals.Fault{Signal: signals.SIGSEGV, Info: signals.KernelInfo(signals.SIGSEGV)}
	} else if f, ok := signals.ReturnFault(&t.sig, &out.Registers); ok {
		// Selectors that are not a program's, or no address to go on at.
		bad = &f
	}
	if out.State != nil {
		if err := s.loadFPU(t, out.State); err != nil {
			return err
		}
	}
	exit := t.call.exit
	t.call = call{exit: exit, nr: -1, landed: true, ip: t.regs.RIP, ret: t.regs.RAX}
	t.state, t.fault = atExit, bad
	if !exit {
		return s.resume(t)
	}
	ret := int64(t.regs.RAX)
	s.later(t, func() { s.apply(s.mon.OnSyscallExit(t.id, ret)) })
	return nil
}

// dieOf lets t's process die by a signal of the kernel's, as it does by default.
func (s *session) dieOf(t *task, sig syscall.Signal) error {
	p := t.proc
	p.status, p.hasStatus = frontend.Status{Signal: int(sig)}, true
	s.post(t, t.byDefault(sig), false, func() {
		s.failure(t.id, fmt.Errorf("the process did not die of signal %d", sig))
	})
	t.state = leaving
	return nil
}

// byDefault are the calls by which a task takes a signal's default action.
func (t *task) byDefault(sig syscall.Signal) []vhost.Call {
	x := t.scratch()
	act := signals.Action{}.Encode()
	set := binary.LittleEndian.AppendUint64(nil, 1<<(sig-1))
	at := x.put(set)
	return []vhost.Call{
		{Nr: unix.SysRtSigaction, Args: [6]uint64{uint64(sig), x.put(act[:]), 0, signals.SetSize}},
		{Nr: unix.SysTgkill, Args: [6]uint64{uint64(t.proc.pid), uint64(t.id.Host), uint64(sig)}},
		{Nr: unix.SysRtSigprocmask, Args: [6]uint64{signals.HowUnblock, at, 0, signals.SetSize}},
		{Nr: unix.SysRtSigprocmask, Args: [6]uint64{signals.HowBlock, at, 0, signals.SetSize}},
	}
}
