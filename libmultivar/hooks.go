package libmultivar

import (
	"errors"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Hooks are the say that whoever embeds the engine has in what a program does. Each of
// them may be nil.
//
// They are called for the leader alone, once for each call of the program, on the session's
// goroutine, one at a time. Nothing else is done for the session meanwhile, so a hook returns
// soon and waits for nothing that the program does; it needs no locks unless it shares
// something with other goroutines. What a hook decides is carried out once and holds in all
// variants, because followers are compared with the leader's call and get its outcome. What
// it is shown comes from a program that may be hostile, and was read with bounds.
//
// Neither the engine nor a front-end recovers from a hook's panic. The session's goroutine
// need not be the one that has called Run, so it ends the whole process, and with that the
// variants.
//
// The program with which a session begins is no call of the program's. A call that a signal
// interrupts and that the kernel makes again is the same call, unless a handler has run.
type Hooks struct {
	// Calls are the names of the system calls for which OnCall and OnResult are called, as
	// in [sysabi.Row]. All are when it is nil.
	Calls []string
	// OnCall decides what becomes of a call. It is asked before anything of the call has
	// been done, and before the other variants are known to ask for the same: a call may
	// turn out to be a divergence afterwards.
	OnCall func(c *Call) Verdict
	// OnResult is told how a call ended, with the same Call. Calls that never return to who
	// made them (exit, rt_sigreturn, one in which the task is killed) have no result.
	OnResult func(c *Call, r Result)
	// OnRdtsc returns what a read of the time stamp counter by the task t yields in place of
	// ts. Where Capabilities.Rdtsc is false nobody is asked.
	OnRdtsc func(t frontend.Task, ts frontend.TimeStamp) frontend.TimeStamp
}

// ErrStopped is wrapped by the error of a session that a hook has ended.
var ErrStopped = errors.New("ended by a hook")

// Verdict is what OnCall wants of a call. The zero value lets the program have its way.
// One that cannot be carried out (see the functions that make verdicts) ends the session
// with an error that wraps [ErrInternal], so that no fault of a hook lets a call pass.
type Verdict struct {
	kind verdictKind
	// ret is the result of an answer or a positive error number, bytes how many may be
	// transferred.
	ret   int64
	bytes uint64
	err   error
}

type verdictKind uint8

const (
	verdictGoOn verdictKind = iota
	verdictAnswer
	verdictFail
	verdictShorten
	verdictStop
)

// GoOn lets the call be made as the program wants it.
func GoOn() Verdict { return Verdict{} }

// Fail answers the call with an error number (syscall.EACCES is 13), 1..4095 but for the
// kernel's own codes 512..516. Nothing of the call reaches the kernel. EINTR looks like a
// signal that came before the call had done anything. Calls that have no result cannot
// fail.
func Fail(errno int) Verdict { return Verdict{kind: verdictFail, ret: int64(errno)} }

// Answer gives the call a result that is no error. Nothing of the call reaches the kernel,
// and nothing is written to memory. Calls that have no result cannot be answered.
func Answer(ret int64) Verdict { return Verdict{kind: verdictAnswer, ret: ret} }

// Shorten makes the call transfer n bytes at most, n > 0: the kernel is asked for fewer
// than the program asked for, as if no more had been there or had found room. It changes
// nothing when n is not less than [Call.Transfers] says, and is for calls only of which
// that says something. Of several buffers only the first one that is not empty is
// transferred then.
func Shorten(n uint64) Verdict { return Verdict{kind: verdictShorten, bytes: n} }

// Stop ends the session: all variants are killed, and [Engine.Err] wraps err and
// [ErrStopped].
func Stop(err error) Verdict { return Verdict{kind: verdictStop, err: err} }

// hooks are the Hooks of an engine.
type hooks struct {
	Hooks
	// named are the calls that are of interest, nil for all.
	named map[string]bool
}

// newHooks verifies h.
func newHooks(h Hooks) (hooks, error) {
	own := hooks{Hooks: h}
	if h.Calls == nil {
		return own, nil
	}
	own.named = make(map[string]bool, len(h.Calls))
	for _, name := range h.Calls {
		if _, ok := sysabi.ByName(name); !ok {
			return own, fmt.Errorf("hooks: there is no system call %q", name)
		}
		own.named[name] = true
	}
	return own, nil
}

// concern reports whether the hooks want to know of the call of ev.
func (h *hooks) concern(ev *record) bool {
	return (h.OnCall != nil || h.OnResult != nil) && (h.named == nil || h.named[ev.name])
}

// decide asks the hooks what becomes of the leader's call of ev, and prepares it if it
// is to be made.
func (e *Engine) decide(th *thread, ev *record) {
	if !e.hooks.concern(ev) {
		e.prepare(th, ev)
		return
	}
	c, ok := e.view(th, ev)
	if !ok {
		// The task died while it stood here; its exit follows. What nobody was asked about
		// is not made.
		e.answer(ev, -eINTR)
		return
	}
	ev.view = c
	var v Verdict
	if e.hooks.OnCall != nil {
		v = e.hooks.OnCall(c)
	}
	switch v.kind {
	case verdictStop:
		e.stop(v.err)
		return
	case verdictAnswer, verdictFail:
		e.answerFor(ev, v)
		return
	}
	e.prepare(th, ev)
	if v.kind == verdictShorten {
		e.shorten(ev, v.bytes)
	}
}

// stop ends the session because a hook wants it.
func (e *Engine) stop(err error) {
	if e.ended {
		return
	}
	e.ended = true
	if e.failure = ErrStopped; err != nil {
		e.failure = fmt.Errorf("%w: %w", ErrStopped, err)
	}
}

// answerFor answers ev as a hook wants it.
func (e *Engine) answerFor(ev *record, v Verdict) {
	ret := v.ret
	if v.kind == verdictFail {
		ret = -ret
	}
	failed := ret < 0 && ret >= -maxErrno
	switch {
	case ev.call.Ret == sysabi.RetNone:
		e.fail(fmt.Errorf("a hook answers %s, which has no result", ev.title()))
		return
	case v.kind == verdictFail && (!failed || isRestart(ret)):
		e.fail(fmt.Errorf("a hook answers %s with the error number %d, which does not exist", ev.title(), v.ret))
		return
	case v.kind == verdictAnswer && failed:
		e.fail(fmt.Errorf("a hook answers %s with the result %d, which is an error", ev.title(), ret))
		return
	}
	ev.decided = true
	e.answer(ev, ret)
}

// maxErrno is the largest error number that a result can be (MAX_ERRNO in
// include/linux/err.h).
const maxErrno = 4095

// resulted tells the hooks of the outcome of ev.
func (e *Engine) resulted(ev *record) {
	c := ev.view
	ev.view = nil
	if c == nil || e.hooks.OnResult == nil || ev.call.Ret == sysabi.RetNone || ev.kind != event.Call || ev.lost || e.ended {
		return
	}
	if ev.thread.sides[frontend.Leader].stop == dead {
		// It did not live to see any.
		return
	}
	e.hooks.OnResult(c, Result{Ret: ev.ret, Outs: ev.outs})
}

// timeStamp returns what the leader's read of the time stamp counter yields.
func (e *Engine) timeStamp(th *thread, ts frontend.TimeStamp) frontend.TimeStamp {
	if e.hooks.OnRdtsc == nil || ts.Random.Size != 0 {
		return ts
	}
	own := e.hooks.OnRdtsc(th.sides[frontend.Leader].task, ts)
	ts.Cycles, ts.Processor = own.Cycles, own.Processor
	return ts
}
