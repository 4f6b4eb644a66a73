//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// Codes of struct siginfo (asm-generic/siginfo.h).
const (
	codeTkill  = -6
	codeUser   = 0
	codeKernel = 0x80
)

func signo(info *unix.SigInfo) int32 { return int32(binary.LittleEndian.Uint32(info[0:])) }

func signalCode(info *unix.SigInfo) int32 { return int32(binary.LittleEndian.Uint32(info[8:])) }

func signalSender(info *unix.SigInfo) int { return int(int32(binary.LittleEndian.Uint32(info[16:]))) }

// isSynchronous says whether the task's own instruction caused the signal.
func isSynchronous(info *unix.SigInfo) bool {
	switch syscall.Signal(signo(info)) {
	case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGSYS:
		return signalCode(info) > 0
	}
	return false
}

// interrupt is a signal on its way into a call (OpInterrupt).
type interrupt struct {
	signal  *frontend.Signal
	ret     int64
	nr      uint64
	args    [6]uint64
	ip      uint64 // behind the call
	scratch scratch
	// raised is the number of the signal that comes for it.
	raised syscall.Signal
	// then are the signals that follow at once; chained is true for those: the
	// registers are the first handler's already.
	then    []*frontend.Signal
	chained bool
}

// signalled handles a signal that is about to be delivered.
func (s *session) signalled(t *task, sig syscall.Signal) error {
	if err := unix.PtraceSigInfo(t.id.Host, &t.signal); err != nil {
		return taskError("read siginfo", err)
	}
	own := s.raised(t, sig)
	if t.interrupt.isFor(sig, own) {
		return s.interruptArrived(t, own)
	}
	if own {
		info, ok := t.takeDeferred(sig)
		if !ok {
			return t.resume(unix.Continue, 0)
		}
		t.signal = info
		if err := unix.PtraceSetSigInfo(t.id.Host, &t.signal); err != nil {
			return taskError("write siginfo", err)
		}
		if number := syscall.Signal(signo(&info)); number != sig {
			if blocked, ok := statusSet(t.id.Host, "SigBlk:"); ok && has(blocked, number) {
				if number == syscall.SIGCONT && (t.proc.stopped || t.pends(stops)) {
					// To give it back would drop what stops, which came later and has dropped it.
					return t.resume(unix.Continue, 0)
				}
				// The kernel keeps it until it is not (ptrace_signal in kernel/signal.c).
				return t.resume(unix.Continue, int(number))
			}
			sig = number
		}
	}
	if err := t.load(); err != nil {
		return err
	}
	synchronous := isSynchronous(&t.signal)
	if synchronous && t.trapTSC && sig == syscall.SIGSEGV && signalCode(&t.signal) == codeKernel {
		ts, size, err := s.timeStampAt(t)
		if err != nil {
			// Killed meanwhile: whether it was a read of the counter cannot be told.
			return err
		}
		if size != 0 {
			t.state, t.tscSize = atTimeStamp, size
			s.apply(s.mon.OnRdtsc(t.id, ts))
			return nil
		}
	}
	if !synchronous && (!t.leads() || t.interrupt != nil) {
		if t.leads() {
			t.putAside(t.signal)
		}
		return t.resume(unix.Continue, 0)
	}
	if sig == syscall.SIGCONT || stops(sig) {
		s.forgetOpposed(t.proc, sig)
	}
	t.state = atSignal
	s.apply(s.mon.OnSignal(t.id, &frontend.Signal{
		Number:      int(sig),
		Info:        t.signal,
		Synchronous: synchronous,
		IP:          instructionPointer(&t.regs),
		AfterCall:   !synchronous && t.last.holds(&t.regs),
	}))
	return nil
}

// firstRealTime is the first signal of which several can be pending.
const firstRealTime = 32

// stops says whether a signal stops processes by default.
func stops(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
		return true
	}
	return false
}

// putAside keeps a signal that comes at an inconvenient moment. What is kept is as if
// it were pending with the kernel: an ordinary signal once, and none that stops beside
// one that continues.
func (t *task) putAside(info unix.SigInfo) {
	sig := syscall.Signal(signo(&info))
	t.forgetOpposed(sig)
	same := func(other deferred) bool { return signo(&other.info) == int32(sig) }
	if sig >= firstRealTime || !slices.ContainsFunc(t.deferred, same) {
		t.deferred = append(t.deferred, deferred{info: info, raised: sig})
	}
}

// forgetOpposed drops what the kernel drops of pending signals when sig comes: signals
// that stop for SIGCONT, and SIGCONT for those (signal(7)).
func (t *task) forgetOpposed(sig syscall.Signal) {
	t.deferred = slices.DeleteFunc(t.deferred, func(d deferred) bool {
		other := syscall.Signal(signo(&d.info))
		return sig == syscall.SIGCONT && stops(other) || stops(sig) && other == syscall.SIGCONT
	})
}

// forgetOpposed drops it of all tasks of a process, as the kernel does.
func (s *session) forgetOpposed(p *process, sig syscall.Signal) {
	for _, t := range s.tasksOf(p) {
		t.forgetOpposed(sig)
	}
}

// pends says whether a signal of a kind waits for t or its process. Of a task that is gone nothing does.
func (t *task) pends(kind func(syscall.Signal) bool) bool {
	own, _ := statusSet(t.id.Host, "SigPnd:")
	shared, _ := statusSet(t.id.Host, "ShdPnd:")
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if has(own|shared, n) && kind(n) {
			return true
		}
	}
	return false
}

func continues(sig syscall.Signal) bool { return sig == syscall.SIGCONT }

// takeDeferred takes the first of the signals that were put aside for which sig was raised.
func (t *task) takeDeferred(sig syscall.Signal) (unix.SigInfo, bool) {
	i := slices.IndexFunc(t.deferred, func(d deferred) bool { return d.raised == sig })
	if i < 0 {
		return unix.SigInfo{}, false
	}
	info := t.deferred[i].info
	t.deferred = slices.Delete(t.deferred, i, i+1)
	return info, true
}

// raise sends a signal to t that raised knows when it arrives. A user who may
// have no signal queued can be sent one all the same, without its siginfo.
func (s *session) raise(t *task, sig syscall.Signal) error {
	err := unix.Tgkill(t.proc.pid, t.id.Host, sig)
	if err == syscall.EAGAIN {
		err = unix.Kill(t.proc.pid, sig)
	}
	t.sent |= 1 << (sig - 1)
	return err
}

// raised says whether the signal for which t stopped, t.signal, is from raise.
func (s *session) raised(t *task, sig syscall.Signal) bool {
	code, sender := signalCode(&t.signal), signalSender(&t.signal)
	bit := uint64(1) << (sig - 1)
	unqueued := code == codeUser && sender == 0 && t.sent&bit != 0
	if !unqueued && (code != codeTkill || sender != s.pid) {
		return false
	}
	t.sent &^= bit
	return true
}

// raiseDeferred sends the signals that were put aside again.
func (s *session) raiseDeferred(t *task) error {
	if slices.ContainsFunc(t.deferred, func(d deferred) bool { return stops(syscall.Signal(signo(&d.info))) }) && t.pends(continues) {
		// It has come later, and is yet to be told.
		t.forgetOpposed(syscall.SIGCONT)
	}
	for i := range t.deferred {
		d := &t.deferred[i]
		sig := syscall.Signal(signo(&d.info))
		var err error
		if sig == syscall.SIGCONT {
			d.raised, err = s.raiseCarrier(t, sig, nil)
		} else {
			// One that stops is to be lost when SIGCONT comes after it.
			d.raised, err = sig, s.raise(t, sig)
		}
		if err != nil {
			return taskError("raise signal again", err)
		}
	}
	return nil
}

// errInterrupted is the result of a call that a signal ended (-EINTR).
const errInterrupted = -int64(syscall.EINTR)

// signal carries out OpSignal.
func (s *session) signal(t *task, a *frontend.Action) error {
	if err := t.load(); err != nil {
		return err
	}
	// Only an interrupted call can run again; of any other the result stands.
	if a.Restart && a.Signal != nil && t.last.holds(&t.regs) && result(&t.regs) == errInterrupted {
		if a.Spent {
			t.restart(0)
		} else {
			t.restart(a.Signal.Number)
		}
	}
	t.last.valid = false
	if a.Spent {
		// The kernel resets the handler when the other task runs (get_signal), which may be later.
		return s.goOnWith(t, 0)
	}
	return s.deliver(t, a.Signal)
}

// beginInterrupt sends a signal into the call at whose entry or exit t stands.
func (s *session) beginInterrupt(t *task, a *frontend.Action) error {
	if a.Signal == nil || a.Signal.Number < 1 || a.Signal.Number > 64 {
		return errors.New("OpInterrupt without a signal")
	}
	if err := t.load(); err != nil {
		return err
	}
	in := &interrupt{signal: a.Signal, then: a.Then, ret: a.Ret, nr: t.info.Nr, args: t.ownArguments(), ip: t.behind(a.Ret)}
	switch {
	case a.SigMask == nil:
		skip(&t.regs, in.ip, a.Ret)
	case t.state == atExit:
		return errors.New("OpInterrupt with a mask after the call")
	default:
		var err error
		in.scratch, err = s.borrow(t, stackPointer(&t.regs), func(uint64) []byte {
			return binary.LittleEndian.AppendUint64(nil, *a.SigMask)
		}, 8)
		if err != nil {
			return err
		}
		exchange(&t.regs, unix.SysRtSigsuspend, [6]uint64{in.scratch.addr, 8})
	}
	t.dirty = true
	return s.send(t, in, a.SigMask)
}

// send lets t go on to the signal of in, which is delivered under the mask of signals that t has, or
// blocked unless that is nil.
func (s *session) send(t *task, in *interrupt, blocked *uint64) error {
	var err error
	if in.raised, err = s.raiseCarrier(t, syscall.Signal(in.signal.Number), blocked); err != nil {
		return taskError("send signal", err)
	}
	t.interrupt = in
	return t.resume(unix.Continue, 0)
}

// interruptArrived delivers the signal of an OpInterrupt. When one of the same
// number from somebody else was pending before, that one carries it: of the
// ordinary signals the kernel has then dropped ours, of the real-time ones ours
// still comes and stands for the other.
func (s *session) interruptArrived(t *task, own bool) error {
	in := t.interrupt
	t.interrupt = nil
	carried := in.raised != syscall.Signal(in.signal.Number)
	if !own && (carried || in.raised >= firstRealTime) && t.leads() {
		t.putAside(t.signal)
	}
	if carried {
		if blocked, ok := statusSet(t.id.Host, "SigBlk:"); ok && has(blocked, syscall.Signal(in.signal.Number)) {
			return in.blocked()
		}
	}
	if err := s.giveBack(t, in.scratch); err != nil {
		return err
	}
	if !in.chained {
		if err := t.load(); err != nil {
			return err
		}
		interrupted(&t.regs, in)
		t.dirty = true
	}
	if len(in.then) > 0 {
		next := in.then[0]
		if next == nil || next.Number < 1 || next.Number > 64 {
			return errors.New("OpInterrupt without a signal")
		}
		// Whether the first handler's mask, which counts then, lets any other one in is not known.
		t.interrupt = &interrupt{signal: next, raised: syscall.Signal(next.Number), then: in.then[1:], chained: true}
		if err := s.raise(t, syscall.Signal(next.Number)); err != nil {
			return taskError("send signal", err)
		}
	}
	return s.deliver(t, in.signal)
}

// deliver lets a task that stopped for a signal go on with signal sig.
func (s *session) deliver(t *task, sig *frontend.Signal) error {
	if sig == nil || sig.Number < 1 || sig.Number > 64 {
		return errors.New("no signal to deliver")
	}
	if t.taken {
		return s.send(t, &interrupt{signal: sig, chained: true}, nil)
	}
	info := unix.SigInfo(sig.Info)
	if info != t.signal {
		if err := unix.PtraceSetSigInfo(t.id.Host, &info); err != nil {
			return taskError("write siginfo", err)
		}
	}
	return s.goOnWith(t, sig.Number)
}

// goOnWith lets a task that stopped for a signal go on with the one of a number, 0 for none, and sends
// those again that were put aside for that.
func (s *session) goOnWith(t *task, number int) error {
	if len(t.deferred) > 0 && t.interrupt == nil {
		if err := s.raiseDeferred(t); err != nil {
			return err
		}
	}
	return t.resume(unix.Continue, number)
}

// setTimeStamp gives the task the result of its instruction.
func (t *task) setTimeStamp(ts frontend.TimeStamp) error {
	if err := t.load(); err != nil {
		return fmt.Errorf("time stamp: %w", err)
	}
	passTimeStamp(&t.regs, t.tscSize, ts)
	t.dirty = true
	return t.resume(unix.Continue, 0)
}
