package fakefe

import (
	"encoding/binary"
	"slices"

	"github.com/multivar/multivar/frontend"
)

const (
	sigKill = 9
	sigChld = 17
	sigCont = 18
	sigUrg  = 23
	sigWin  = 28

	saNoChildWait = 2

	saResetHand = 0x80000000
	saRestart   = 0x10000000
	saNoDefer   = 0x40000000

	restartSys    = -512
	restartNoIntr = -513
	restartNoHand = -514
	restartBlock  = -516
	errIntr       = -4

	codeUser   = 0
	codeTkill  = -6
	codeMapErr = 1
	codeExited = 1
	codeKilled = 2
	firstReal  = 32
)

func isRestart(ret int64) bool { return ret <= restartSys && ret >= restartBlock }

func bit(sig int) uint64 { return 1 << (sig - 1) }

// newSignal makes a signal with its siginfo.
func newSignal(number, code int, at16 uint64) *frontend.Signal {
	sig := &frontend.Signal{Number: number}
	le := binary.LittleEndian
	le.PutUint32(sig.Info[0:], uint32(number))
	le.PutUint32(sig.Info[8:], uint32(int32(code)))
	le.PutUint64(sig.Info[16:], at16)
	return sig
}

// send puts a signal in front of a process.
func (s *session) send(p *process, sig *frontend.Signal) {
	if p.zombie || p.living() == 0 {
		return
	}
	if sig.Number == sigKill {
		s.kill(p, frontend.Status{Signal: sigKill})
		return
	}
	if sig.Number < firstReal && slices.ContainsFunc(p.pending, func(o *frontend.Signal) bool { return o.Number == sig.Number }) {
		return
	}
	p.pending = append(p.pending, sig)
	for _, t := range p.tasks {
		if t.blocked&bit(sig.Number) != 0 {
			continue
		}
		switch t.state {
		case user:
			t.fresh = t.fresh && s.atOnce
			t.take()
			return
		case blocked:
			if code := t.interruptCode(); code != 0 {
				t.ret = code
				t.state = returning
				if !t.exit {
					t.land(code)
				}
				return
			}
		}
	}
}

// interruptCode returns the result of a call that a signal interrupts, 0 for
// calls that none does.
func (t *task) interruptCode() int64 {
	switch t.run.nr {
	case nrVfork, nrClone, nrFork, nrExecve:
		return 0
	case nrPause, nrSuspend:
		return restartNoHand
	case nrNanosleep:
		return restartBlock
	case nrEpollWait:
		return errIntr
	case nrRestart:
		return restartBlock
	case nrFutex:
		if t.run.args[3] != 0 {
			return restartBlock
		}
	}
	return restartSys
}

// take dequeues the first pending signal that t does not block.
func (t *task) take() bool {
	p := t.proc
	for i, sig := range p.pending {
		if t.blocked&bit(sig.Number) == 0 {
			p.pending = slices.Delete(p.pending, i, i+1)
			c := *sig
			c.IP, c.AfterCall = t.ip(), t.fresh
			t.signal = &c
			t.state, t.hung = signalled, false
			return true
		}
	}
	return false
}

// ip is where a task is: each step takes one instruction.
func (t *task) ip() uint64 {
	f := t.top()
	if f.at != 0 {
		return f.at + uint64(f.pc)
	}
	return t.proc.image.text + entryAt + uint64(f.pc)
}

// raise makes the signal of a fault.
func (t *task) raise(step *Step, f *Frame) {
	addr := uint64(0)
	if step.Addr != nil {
		addr = step.Addr(f)
	}
	sig := newSignal(step.Signal, codeMapErr, addr)
	sig.Synchronous = true
	sig.IP = t.ip()
	t.fresh = false
	t.signal = sig
	t.top().pc++
	t.state = signalled
}

// deliver lets a signal do to t what the process wants. The call at hand, if any
// is left, has not been finished. The caller calls proceed.
func (t *task) deliver(sig *frontend.Signal) {
	t.reset()
	p := t.proc
	a := p.disp[sig.Number]
	forced := sig.Synchronous && t.blocked&bit(sig.Number) != 0
	switch {
	case a.handler > 1 && !forced:
		if a.flags&saResetHand != 0 {
			t.resets = sig.Number
		}
		t.handle(sig, &a)
		return
	case a.handler == 1 && !sig.Synchronous, a.handler == 0 && ignoredByDefault(sig.Number):
		return
	}
	p.s.kill(p, frontend.Status{Signal: sig.Number})
}

// reset does what the kernel does of a handler that runs once.
func (t *task) reset() {
	if t.resets != 0 {
		t.proc.disp[t.resets], t.resets = action{}, 0
	}
}

func ignoredByDefault(n int) bool {
	// Of a stop only Config.Stopped tells.
	return n == sigChld || n >= sigCont && n <= sigUrg || n == sigWin
}

// handle starts a handler.
func (t *task) handle(sig *frontend.Signal, a *action) {
	f := &frame{mask: t.blocked}
	if t.suspended != nil {
		f.mask, t.suspended = *t.suspended, nil
	}
	switch {
	case t.restart == restartNoIntr, t.restart == restartSys && a.flags&saRestart != 0:
		f.again = t.putAside()
		t.restart = 0
	case t.restart != 0:
		t.finish(errIntr)
	}
	if t.again != nil {
		// Interrupted in front of a call that is made again.
		f.again, t.again = t.again, nil
	}
	i := int(a.handler-t.proc.image.text-handlerStart) / handlerSize
	if a.handler < t.proc.image.text+handlerStart || i >= len(t.proc.program.Handlers) {
		t.s.fault("signal %d of %v has a handler at %#x, where none is", sig.Number, t.id, a.handler)
		return
	}
	f.steps, f.at, f.signal = t.proc.program.Handlers[i], a.handler, sig
	t.frames = append(t.frames, f)
	t.blocked |= a.mask
	if a.flags&saNoDefer == 0 {
		t.blocked |= bit(sig.Number)
	}
	t.saw(Seen{Nr: SawSignal, Value: int64(sig.Number)})
	t.fresh = false
}

// sigreturn ends a handler.
func (t *task) sigreturn() {
	if len(t.frames) < 2 {
		t.s.fault("%v returns from a handler that it is not in", t.id)
		return
	}
	f := t.top()
	t.frames = t.frames[:len(t.frames)-1]
	t.blocked = f.mask
	t.again = f.again
	t.step = nil
	t.fresh = false
	if t.exit {
		t.ret = 0
		t.state = returning
		return
	}
	t.proceed()
}
