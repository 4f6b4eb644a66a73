package libmultivar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Signal numbers that have rules of their own (signal(7)).
const (
	sigBUS   = 7
	sigKILL  = 9
	sigSEGV  = 11
	sigCHLD  = 17
	sigCONT  = 18
	sigSTOP  = 19
	sigTSTP  = 20
	sigTTIN  = 21
	sigTTOU  = 22
	sigURG   = 23
	sigWINCH = 28
	sigMax   = 64
)

// disposition is what a process does on a signal.
type disposition uint8

const (
	dispDefault disposition = iota
	dispIgnore
	dispHandle
)

// handlerTable holds the dispositions of a process; processes created with
// CLONE_SIGHAND share it.
type handlerTable struct {
	disp [sigMax + 1]disposition
	// entry is where the leader's handlers start.
	entry [sigMax + 1]uint64
	// once: the handler is gone when it begins (SA_RESETHAND).
	once [sigMax + 1]bool
	// noChildWait: children that end are not waited for (SA_NOCLDWAIT).
	noChildWait bool
}

// reaps reports whether the kernel collects children that end with SIGCHLD itself.
func (h *handlerTable) reaps() bool { return h.disp[sigCHLD] == dispIgnore || h.noChildWait }

// begin notes that signal n is delivered: the kernel resets a handler that is to run once
// before it runs (get_signal in kernel/signal.c).
func (h *handlerTable) begin(n int) {
	if n >= 1 && n <= sigMax && h.disp[n] == dispHandle && h.once[n] {
		h.disp[n] = dispDefault
	}
}

// spent reports whether a handler of signal n that is to run once has begun: the kernel may be
// about to reset it still.
func (h *handlerTable) spent(n int) bool {
	return n >= 1 && n <= sigMax && h.once[n] && h.disp[n] == dispDefault
}

func (h *handlerTable) clone() *handlerTable {
	c := *h
	return &c
}

// exec resets handlers to the default, as execve(2) does.
func (h *handlerTable) exec() *handlerTable {
	c := h.clone()
	c.noChildWait = false
	for i := range c.disp {
		if c.disp[i] == dispHandle {
			c.disp[i] = dispDefault
		}
	}
	return c
}

// fate says what a signal will do to a process.
type fate uint8

const (
	fateIgnored fate = iota
	fateHandled
	fateStops
	fateKills
)

// fate returns what signal n does now. Whether it is blocked is the kernel's
// business: it reports only what it is about to deliver.
func (h *handlerTable) fate(n int) fate {
	if n < 1 || n > sigMax {
		return fateKills
	}
	switch h.disp[n] {
	case dispIgnore:
		return fateIgnored
	case dispHandle:
		return fateHandled
	}
	switch n {
	case sigCHLD, sigCONT, sigURG, sigWINCH:
		return fateIgnored
	case sigSTOP, sigTSTP, sigTTIN, sigTTOU:
		return fateStops
	}
	return fateKills
}

// leaderSignal takes a signal that is about to be delivered to the leader.
func (e *Engine) leaderSignal(th *thread, sig *frontend.Signal) {
	s := &th.sides[frontend.Leader]
	s.ending = false
	e.translateSender(sig)
	if open := th.settling; sig.Synchronous && open != nil && e.execKills(s, open, sig) {
		// Followers are killed in the call, when the leader is dead.
		th.settling = nil
		e.letGo(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: sig})
		return
	}
	if sig.Synchronous {
		e.settle(th)
		e.abandon(th)
		if e.ended {
			return
		}
		ev := e.newRecord(th, event.Signal)
		ev.name = "signal"
		ev.wait = true
		ev.signal = sig
		ev.request = e.signalRequest(th, frontend.Leader, sig)
		e.published(th, ev)
		return
	}
	open := th.settling
	if open != nil && open.signal != nil {
		if sig.IP == th.chainIP && th.proc.handlers.fate(sig.Number) == fateHandled && !e.parallel() {
			// Where nobody takes turns followers may get the first one elsewhere, alone.
			open.then = append(open.then, sig)
			th.chainIP = th.proc.handlers.entry[sig.Number]
			s.ending = true
			e.letGo(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: sig})
			return
		}
		e.settle(th)
		open = nil
	}
	if open != nil && !open.interrupted && !sig.AfterCall {
		e.settle(th)
		open = nil
	}
	pass := frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: sig}
	switch th.proc.handlers.fate(sig.Number) {
	case fateIgnored:
		pass.Spent = th.proc.handlers.spent(sig.Number)
		if open == nil {
			// It may have come in a call that has no end for the engine.
			pass.Restart = e.alone()
			e.letCompute(th, pass)
			return
		}
		withdrawn := !open.interrupted && open.ret == -eINTR
		if withdrawn {
			e.withdraw(th)
			// With the next signal the call is over only if a handler runs: that may be gone by
			// its turn.
			open.ret = restartNoHand
		}
		if withdrawn || open.interrupted {
			// Without the monitor the call would not have noticed the signal.
			open.interrupted, pass.Restart = true, true
		}
		e.letGo(th, pass)
		for v := 1; withdrawn && v < len(th.sides); v++ {
			// What has come behind the turn may be next there.
			e.pumpAll(th, v)
		}
	case fateStops:
		e.letGo(th, pass)
	case fateKills:
		// Nothing of the program runs after it. Followers are driven to the
		// leader's last event and killed there.
		if open != nil {
			if isRestart(open.ret) {
				open.ret = -eINTR
			}
			open.interrupted = false
			th.settling = nil
			s.inCall = nil
			e.complete(open)
		}
		if th.proc.handlers.spent(sig.Number) {
			e.goOn(th, pass)
			return
		}
		e.letGo(th, pass)
	case fateHandled:
		if open == nil && e.alone() && len(th.pending) == 0 && !e.hasAsked(s, sig) {
			// No other variant has to have it in the same place.
			s.ending = true
			e.letGo(th, pass)
			return
		}
		if open == nil && sig.AfterCall && s.broken != 0 && th.room() {
			e.interruptMeeting(th, sig)
			return
		}
		if open == nil || open.interrupted && (!sig.AfterCall || open.pi != nil) {
			e.hold(th, sig)
			a := frontend.Action{Op: frontend.OpResume, Task: s.task}
			if e.alone() {
				e.host.TimerWithin(leastSpin)
			}
			if open == nil {
				e.letCompute(th, a)
			} else {
				e.letGo(th, a)
			}
			return
		}
		open.signal = sig
		open.over = true
		th.chainIP = th.proc.handlers.entry[sig.Number]
		s.inCall = nil
		s.ending = true
		e.finished(th, frontend.Leader, open, open.ret)
		e.handle(th, pass)
	}
}

// hasAsked reports whether sig has come behind a call by which the program has only asked
// something, so that it is none of the call's doing. The next call may be the one with which the
// program waits, because there was no signal yet: between the two it is for as long as a report
// takes, and not for some instructions only as natively. So the signal waits for that call.
func (e *Engine) hasAsked(s *side, sig *frontend.Signal) bool {
	if !sig.AfterCall || s.leased {
		return false
	}
	row := e.row(&s.call)
	return row.Alone != sysabi.NotAlone || row.Handler == sysabi.HandlerSigprocmask && s.call.Args[1] == 0
}

// letCompute lets a task go on that was stopped for nothing but to hear of a signal. What it has
// computed counts on: it may be sent one after the other, by a timer, and is to get one of them.
func (e *Engine) letCompute(th *thread, a frontend.Action) {
	s := &th.sides[a.Task.Variant]
	watch, computes, resumed := s.watch, s.computes, s.resumed
	e.letGo(th, a)
	s.watch, s.computes, s.resumed = watch, computes, resumed
}

// Signals below firstRealTime do not queue: one of a number is pending at most
// (signal(7)). maxPending bounds the others, as RLIMIT_SIGPENDING does.
const (
	firstRealTime = 32
	maxPending    = 4096
)

// kills reports whether what the turn t of the leader's lets happen is the end of its process,
// which is no turn: when a signal was decided to be handled and its thread has waited since,
// another one may have had the handler that runs once, or have taken it away. What the other
// threads do until they end has its places among the events as ever, and followers are
// killed behind it.
func (e *Engine) kills(t *turn) bool {
	th, sig := t.thread, t.action.Signal
	if sig == nil || sig.Synchronous || th.proc.handlers.fate(sig.Number) != fateKills {
		return false
	}
	th.settling = nil
	s := &th.sides[frontend.Leader]
	s.inCall, s.ending = nil, false
	return true
}

// hold keeps a signal for the leader's next call.
func (e *Engine) hold(th *thread, sig *frontend.Signal) {
	if sig.Number < firstRealTime && slices.ContainsFunc(th.pending, func(p *frontend.Signal) bool { return p.Number == sig.Number }) {
		return
	}
	if len(th.pending) >= maxPending {
		e.notice("pending", fmt.Sprintf("more than %d real-time signals arrived between two calls; the rest is dropped", maxPending))
		return
	}
	th.pending = append(th.pending, sig)
}

// execKills reports whether sig is how the kernel kills a task whose exec failed
// when its old program was gone already (fs/exec.c, bprm_execve): not an
// instruction's fault, because there is none.
func (e *Engine) execKills(s *side, open *record, sig *frontend.Signal) bool {
	const fromKernel = 0x80
	if open.exec == nil || sig.Number != sigSEGV || sig.Code() != fromKernel || sig.IP != open.raw.IP {
		return false
	}
	_, err := e.host.ReadVariantMem(s.task, sig.IP-1, make([]byte, 1))
	return errors.Is(err, frontend.ErrFault)
}

// nextPending takes the oldest pending signal that the leader does not block
// now: a handler that has run since it arrived may have blocked it.
func (e *Engine) nextPending(th *thread) *frontend.Signal {
	if len(th.pending) == 0 {
		return nil
	}
	mask, err := e.host.SignalMask(th.sides[frontend.Leader].task)
	if err != nil {
		e.hostFailed(err)
		return nil
	}
	for i, sig := range th.pending {
		if mask>>(sig.Number-1)&1 == 0 {
			th.pending = slices.Delete(th.pending, i, i+1)
			return sig
		}
	}
	return nil
}

// interrupting takes the signal that is to be delivered in front of the leader's call ev,
// which the kernel makes again, nil for none. Who has got a futex meanwhile is told so
// first, and one that goes on waiting with a limit of time would not do so any more
// behind a handler.
func (e *Engine) interrupting(th *thread, ev *record) *frontend.Signal {
	if ev.pi != nil && (ev.pi.granted || th.sides[frontend.Leader].call.Nr != ev.raw.Nr) {
		return nil
	}
	return e.nextPending(th)
}

// interruptAgain delivers a signal that came when the kernel had already decided
// to make the leader's interrupted call ev again: the handler runs first, whatever
// it says about restarts.
func (e *Engine) interruptAgain(th *thread, ev *record, sig *frontend.Signal) {
	s := &th.sides[frontend.Leader]
	e.unqueue(ev)
	ev.signal, ev.over = sig, true
	if ev.ret == restartBlock {
		// With a handler the kernel does not come back to it (handle_signal). What it has written
		// before, as how long is left to sleep, stands.
		ev.ret = -eINTR
	} else {
		ev.ret, ev.outs = e.waitCode(s, sig), nil
	}
	ev.sigMask = nil
	s.inCall = nil
	e.interruptNow(th, ev)
}

// interruptNow delivers the signal of ev to the leader, which stands at a call
// whose result is ev.ret. Followers get both when the leader's next stop shows
// that no more signals came with it.
func (e *Engine) interruptNow(th *thread, ev *record) {
	s := &th.sides[frontend.Leader]
	th.settling = ev
	th.chainIP = th.proc.handlers.entry[ev.signal.Number]
	s.ending = true
	e.finished(th, frontend.Leader, ev, ev.ret)
	e.goOn(th, frontend.Action{Op: frontend.OpInterrupt, Task: s.task, Signal: ev.signal, Ret: ev.ret})
}

// interruptBefore delivers a pending signal in front of the call at which the
// leader stands; the call is asked for again after the handler.
func (e *Engine) interruptBefore(th *thread, sig *frontend.Signal) {
	e.interruptWith(th, sig, restartNoIntr)
}

// interruptWith delivers a pending signal in front of the call at which the leader stands,
// or as if it had come in the middle of it, with ret as its result.
func (e *Engine) interruptWith(th *thread, sig *frontend.Signal, ret int64) {
	s := &th.sides[frontend.Leader]
	ev := e.newInterruption(th, sig, ret)
	s.ending = true
	e.published(th, ev)
	if e.ended {
		return
	}
	e.interruptNow(th, ev)
}

// newInterruption makes the event of a signal that is delivered in front of the leader's
// call, or in the middle of it with the result ret.
func (e *Engine) newInterruption(th *thread, sig *frontend.Signal, ret int64) *record {
	ev := e.newRecord(th, event.Signal)
	ev.name = "signal"
	ev.before = true
	ev.signal = sig
	ev.started = true
	ev.ret = ret
	ev.request = e.signalRequest(th, frontend.Leader, sig)
	return ev
}

// signalRequest encodes a signal: number, cause and, for faults, the address.
func (e *Engine) signalRequest(th *thread, v int, sig *frontend.Signal) []byte {
	e.builder.Reset(event.Signal, int32(sig.Number))
	e.builder.Number(0, event.PartValue, 0, sysabi.Signal, 0, uint64(sig.Number))
	e.builder.Number(1, event.PartValue, 0, sysabi.Int, 0, uint64(int64(sig.Code())))
	if sig.Synchronous && th.proc.sameImage {
		a := e.layout.Canonical(v, binary.LittleEndian.Uint64(sig.Info[16:]))
		var f event.Flag
		if a.Relative() {
			f = event.Relative
		}
		// A word, because a wild access goes where chance leads it: to the same place
		// in all variants is no difference, whoever's slot it may be in.
		e.builder.Number(2, event.PartValue, 0, sysabi.Word, f, a.Offset())
	}
	return e.builder.Record()
}

// signalFor returns the leader's signal as follower v gets it.
func (e *Engine) signalFor(v int, sig *frontend.Signal) *frontend.Signal {
	c := *sig
	// SI_QUEUE, SI_TIMER and SI_MESGQ carry a value of the program's own.
	if code := sig.Code(); code >= -3 && code <= -1 {
		w := e.wordFor(v, binary.LittleEndian.Uint64(c.Info[24:]))
		binary.LittleEndian.PutUint64(c.Info[24:], w)
	}
	return &c
}

// thenFor returns the signals that follow the first one of ev, as follower v gets
// them.
func (e *Engine) thenFor(v int, ev *record) []*frontend.Signal {
	var out []*frontend.Signal
	for _, sig := range ev.then {
		out = append(out, e.signalFor(v, sig))
	}
	return out
}

// waitCode returns the result of the call at which the leader stands when sig is
// delivered in front of it. A call that waits for events ends with EINTR, as if
// the signal had come when it was asleep: a program that looks at what its
// handler has noted before it waits would wait for ever otherwise, since it had
// looked before the signal was delivered. Any other call is made after the
// handler.
func (e *Engine) waitCode(s *side, sig *frontend.Signal) int64 {
	row := e.row(&s.call)
	if !row.AwaitsEvents {
		return restartNoIntr
	}
	call := row.Resolve(s.call.Args)
	if mask := e.waitMask(&call); mask != nil {
		if set := mask(s); set != nil && *set>>(sig.Number-1)&1 != 0 {
			return restartNoIntr
		}
	}
	return -eINTR
}
