package libmultivar

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// followerArrives takes a stop of a follower at something that has to be an event
// of the leader's too.
func (e *Engine) followerArrives(th *thread, v int) {
	if s := &th.sides[v]; s.met != nil && s.inCall == nil {
		e.followerAgain(th, v)
		return
	}
	e.began(th, v)
	e.followerMatch(th, v)
}

// followerAgain takes the stop of a follower whose call the kernel makes again. It
// has to be the call that was compared: the program may have written over the
// instruction, or over what the call points to, in the meantime.
func (e *Engine) followerAgain(th *thread, v int) {
	s := &th.sides[v]
	ev := s.met
	switch {
	case ev.kind == event.Killed:
	case s.stop != atEntry:
		e.divergeKind(th, v, ev)
		return
	case !again(&s.asked, &s.call, s.restart):
		e.divergeRestart(th, v, ev)
		return
	case s.restart != restartBlock && !e.sameRequest(th, v, ev):
		return
	}
	e.followerGo(th, v)
}

// followerMatch compares what follower v does with the event that it meets, if
// the leader is there already.
func (e *Engine) followerMatch(th *thread, v int) {
	s := &th.sides[v]
	ev := th.event(v)
	if !e.ended && ev == nil && th.fatal {
		// The signal that ended the leader was to be the follower's end, too.
		e.divergeSurvival(th, v)
		return
	}
	if !e.ended && s.met == nil && e.leaves(th, v) {
		return
	}
	if !e.ended && ev == nil && s.met == nil && !s.parked {
		e.keepTurn(th, v)
	}
	if e.ended || ev == nil || s.met != nil || s.parked && ev.kind != event.Killed || e.serveReading(th, v) {
		return
	}
	kept := s.extra.keeps || s.taken.waits
	if kept {
		s.extra.keeps, s.taken.waits = false, false
		th.yield(v)
	}
	if ev.kind != event.Killed && !e.caughtUp(th, v) {
		return
	}
	if !e.extraCall(th, v, ev) && e.same(th, v, ev) {
		if err := e.inherit(th, v, ev); err != nil {
			e.divergeOutput(th, v, ev, err)
			return
		}
		if ev.keeps {
			th.takeBack(v)
		}
		e.meet(th, v, ev)
	}
	if kept {
		e.pumpAll(th, v)
	}
}

// meet notes that follower v has come to ev, and lets those go that have waited for that.
func (e *Engine) meet(th *thread, v int, ev *record) {
	s := &th.sides[v]
	s.met = ev
	s.asked = s.call
	s.target = e.targetOf(th, v, ev)
	ev.met++
	e.advance(ev)
	if a := ev.withheld; a != nil && ev.met == e.followers {
		ev.withheld = nil
		if th.sides[frontend.Leader].stop != dead {
			e.goOn(th, *a)
		}
	}
	e.reached(th, v)
	if s.waits(ev) && !e.ended {
		e.followerGo(th, v)
	}
}

// same reports whether follower v asks for what ev says. When it does not, either that is
// the beginning of what a rule allows, and is taken, or the session ends with a divergence.
func (e *Engine) same(th *thread, v int, ev *record) bool {
	s := &th.sides[v]
	switch {
	case ev.kind == event.Killed:
		return ev.call.Row == nil || !e.extraBefore(th, v, ev)
	case ev.anywhere:
		return true
	case ev.stamped:
		if s.stop == atTimeStamp {
			return true
		}
	case ev.kind == event.Signal && ev.before:
		if s.stop == atEntry {
			return !e.extraBefore(th, v, ev)
		}
		if s.stop == atTimeStamp && e.parallel() {
			// What the leader was at is no event, and v need not come to it.
			return true
		}
	case ev.kind == event.Signal && s.stop == atSignal,
		ev.kind == event.TimeStamp && s.stop == atTimeStamp,
		ev.kind == event.Call && s.stop == atEntry && s.call.Nr == ev.raw.Nr:
		i, ok := e.compareRequest(th, v, ev)
		if ok && i != sameWords && !e.startExtra(th, v, ev) {
			e.divergeField(th, v, ev, i)
		}
		return ok && i == sameWords
	}
	if !e.startExtra(th, v, ev) {
		e.divergeKind(th, v, ev)
	}
	return false
}

// sameRequest compares the request of follower v, of the same kind as ev. It ends the
// session with a divergence when they differ.
func (e *Engine) sameRequest(th *thread, v int, ev *record) bool {
	i, ok := e.compareRequest(th, v, ev)
	if ok && i != sameWords {
		e.divergeField(th, v, ev, i)
	}
	return ok && i == sameWords
}

// compareRequest returns the index of the first field in which the request of follower v,
// of the same kind as ev, differs, or sameWords. It is false when there is nothing to
// compare any more.
func (e *Engine) compareRequest(th *thread, v int, ev *record) (i int, ok bool) {
	s := &th.sides[v]
	switch ev.kind {
	case event.TimeStamp:
		s.request = e.timeStampRequest(s.stamp)
	case event.Signal:
		s.request = e.signalRequest(th, v, s.signal)
	default:
		if !e.build(th, v, e.callOf(ev, s), &s.call, ev.compared) {
			// The task died while it stood here; its exit follows.
			return 0, false
		}
		if e.builder.Equal(ev.request) {
			s.request = ev.request
			return sameWords, true
		}
		s.request = e.builder.Record()
	}
	if bytes.Equal(ev.request, s.request) {
		return sameWords, true
	}
	i, masks := e.firstDifference(v, ev, ev.request, s.request)
	if i == sameWords && s.met == nil {
		for id := range masks {
			e.rules.used[id][v]++
		}
	}
	return i, !e.ended
}

// callOf returns the description of the follower's call: the leader's, unless a
// command argument selects another. Events that are no calls have none.
func (e *Engine) callOf(ev *record, s *side) *sysabi.Call {
	if ev.call.Row == nil || ev.call.Sub == nil {
		return &ev.call
	}
	if ev.call.Sub.Same(ev.raw.Args, s.call.Args) {
		// A handler may know more of it than the row.
		return &ev.call
	}
	call := ev.call.Row.Resolve(s.call.Args)
	return &call
}

// sameWords is firstDifference's answer when records differ only in values that
// are equal as plain numbers, or where a rule lets them.
const sameWords = -1

// firstDifference returns the index of the first field in which two requests
// truly differ. Words that the program may use as number or as pointer are equal
// when they are equal either way. The ids of rules by which others may differ are returned,
// too; ev is nil when no rule is to be looked at.
func (e *Engine) firstDifference(v int, ev *record, leader, follower []byte) (int, map[int]bool) {
	var masks map[int]bool
	a, errA := event.Decode(leader)
	b, errB := event.Decode(follower)
	if err := errors.Join(errA, errB); err != nil {
		e.fail(err)
		return sameWords, nil
	}
	for i := 0; ; i++ {
		d := event.Diff(event.Record{Fields: a.Fields[min(i, len(a.Fields)):]}, event.Record{Fields: b.Fields[min(i, len(b.Fields)):]})
		if d < 0 {
			return sameWords, masks
		}
		i += d
		if i >= len(a.Fields) || i >= len(b.Fields) {
			return i, nil
		}
		if e.sameWord(v, &a.Fields[i], &b.Fields[i]) {
			continue
		}
		m := e.maskOf(v, ev, a.Fields, b.Fields, i)
		if m == nil {
			return i, nil
		}
		if masks == nil {
			masks = make(map[int]bool)
		}
		masks[m.ID] = true
	}
}

// sameWord reports whether two words are the same plain number although one of
// them looks like an address of its variant.
func (e *Engine) sameWord(v int, a, b *event.Field) bool {
	if a.Kind != sysabi.Word || b.Kind != sysabi.Word || a.Arg != b.Arg || a.Part != b.Part || a.Index != b.Index {
		return false
	}
	x, y := e.rawWord(frontend.Leader, a), e.rawWord(v, b)
	if x != y {
		return false
	}
	if len(e.rawWords) == 0 {
		// Agents that have a lease do not know of it, and would take it for an address.
		e.revokeLeases(anyProcess)
	}
	if len(e.rawWords) < maxRemembered {
		e.rawWords[x] = true
	}
	return true
}

// followerGo lets follower v, which has met its event, take the event's outcome.
func (e *Engine) followerGo(th *thread, v int) {
	s := &th.sides[v]
	ev := s.met
	own := &s.call
	if th.bound(v) != nil {
		return
	}
	if s.extra.skips && ev.kind != event.Killed {
		e.skipExtra(th, v, ev)
		return
	}
	switch {
	case ev.kind == event.Killed:
		// endDoomed does it, when others of its process have done what the leader's had. One that
		// stands at a fault has its turn still, for which they may wait.
		th.yield(v)
		e.pumpAll(th, v)
		return
	case ev.kind == event.TimeStamp:
		e.passed(ev, v)
		stamp := ev.stamp
		// Another build may have it in another register.
		stamp.Random = s.stamp.Random
		e.goOn(th, frontend.Action{Op: frontend.OpTimeStamp, Task: s.task, TimeStamp: stamp})
		return
	case ev.anywhere:
		e.followerHalted(th, v, ev)
		return
	case ev.kind == event.Signal && ev.before && s.stop == atTimeStamp:
		s.ending = true
		e.passed(ev, v)
		e.goOn(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: e.signalFor(v, ev.signal)})
		return
	case ev.kind == event.Signal && ev.before:
		ret := e.interruptedAt(th, v, ev)
		e.passed(ev, v)
		e.goOn(th, frontend.Action{Op: frontend.OpInterrupt, Task: s.task, Signal: e.signalFor(v, ev.signal), Then: e.thenFor(v, ev), Ret: ret})
		return
	case ev.kind == event.Signal:
		sig := s.signal
		s.ending = true
		e.passed(ev, v)
		e.goOn(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: sig})
		return
	}
	follow := ev.follow
	if follow == followClone && !ev.forked {
		follow = followAnswer
	}
	if ev.interrupted || (ev.failed() && follow != followEach && !ev.partial) {
		follow = followAnswer
	}
	if follow == followReap && ev.child != nil && ev.child.sides[v].stop == unborn {
		// The leader's child is there, or was and has died, and this variant has yet to
		// create its twin: OnFork goes on. There is no id to name it by, and 0 would
		// stand for any child, or the caller.
		twin := &ev.child.sides[v]
		twin.waiters = append(twin.waiters, th)
		return
	}
	if ev.order != nil && ev.order.awaits(v) != nil || ev.inLane(v) {
		return
	}
	switch follow {
	case followAnswer:
		if err := e.bring(ev, v, s); err != nil {
			e.divergeOutput(th, v, ev, err)
			return
		}
		e.followerResult(th, v, ev, frontend.Action{Op: frontend.OpAnswer, Ret: e.resultFor(v, ev)})
	case followEach:
		a := frontend.Action{Op: frontend.OpRun, Task: s.task, Nr: own.Nr, Args: own.Args}
		if ev.deadly {
			e.lastWords(th, v, ev)
		}
		if ev.returns() {
			a.Exit = true
			e.enter(th, ev, a)
			return
		}
		e.logCall(v, ev)
		e.passed(ev, v)
		if ev.deadly && (!ev.wholeProcess || ev.inTurn) {
			e.goOn(th, a)
		} else {
			e.letGo(th, a)
		}
	case followExec:
		if !e.leaveByExec(th, v, ev) {
			return
		}
		e.enter(th, ev, frontend.Action{Op: frontend.OpExec, Task: s.task, Args: ev.exec.args(own), File: ev.file})
	default:
		a := frontend.Action{Op: frontend.OpRun, Task: s.task, Nr: own.Nr, Args: own.Args, Exit: true}
		if ev.run != nil {
			a.Nr, a.Args = ev.run(v, own)
		}
		if ev.hasFile {
			a.File, a.FileArg = ev.file, ev.fileArg
		}
		if ev.files != nil {
			a.File, a.FileArg = ev.files[v], ev.fileArg
		}
		e.enter(th, ev, a)
	}
}

// followerExit takes the result of a call that a follower ran itself.
func (e *Engine) followerExit(th *thread, v int, ret int64) {
	s := &th.sides[v]
	if s.extra.runs {
		e.extraExit(th, v, ret)
		return
	}
	ev := s.met
	if ev != nil && ev.kind == event.Killed && s.inCall == nil {
		// Its vfork was over for it when it met its end (killParent).
		s.awaitsChild = false
		return
	}
	if ev == nil || s.inCall != ev {
		e.fail(fmt.Errorf("%v: result of a call that was not let into the kernel", s.task))
		return
	}
	switch {
	case ev.kind == event.Killed:
		s.inCall = nil
		return
	case ev.returns():
		// The result is what the frame restored.
		a := frontend.Action{Op: frontend.OpResume, Ret: ret}
		e.followerResult(th, v, ev, a)
		return
	case isRestart(ret):
		// A signal of the follower's own, which is suppressed: the kernel runs
		// the call again and OnSyscall reports it.
		s.inCall = nil
		s.restart = ret
		e.letGo(th, frontend.Action{Op: frontend.OpResume, Task: s.task})
		return
	case ev.follow == followExec:
		e.divergeResult(th, v, ev, ret)
		return
	case ev.follow == followReap:
		// The twin is collected; what the program sees is the leader's result.
	case ev.follow == followClone:
		if ret < 0 {
			e.divergeResult(th, v, ev, ret)
			return
		}
	case ev.partial && ev.failed():
	case ev.addrResult && !ev.plainKernel:
		if e.layout.Canonical(v, uint64(ret)) != e.layout.Canonical(frontend.Leader, uint64(ev.kernelRet)) {
			e.divergeResult(th, v, ev, ret)
			return
		}
	default:
		if ret != ev.kernelRet {
			e.divergeResult(th, v, ev, ret)
			return
		}
	}
	if ret == 0 {
		th.noteRobust(v, ev)
	}
	if ev.follow == followReap || ev.follow == followClone {
		if err := e.bring(ev, v, s); err != nil {
			e.divergeOutput(th, v, ev, err)
			return
		}
	}
	seen := e.resultFor(v, ev)
	a := frontend.Action{Op: frontend.OpResume}
	if seen != ret {
		a = frontend.Action{Op: frontend.OpAnswer, Ret: seen}
	}
	e.followerResult(th, v, ev, a)
}

// failed reports whether ev is a call that is done and gave an error.
func (ev *record) failed() bool { return ev.done && ev.ret < 0 && ev.ret >= -4095 }

// returns reports whether ev is the end of a signal handler.
func (ev *record) returns() bool {
	return ev.kind == event.Call && ev.call.Row != nil && ev.call.Handler == sysabi.HandlerSigreturn
}

// resultFor returns the result of ev as variant v sees it.
func (e *Engine) resultFor(v int, ev *record) int64 {
	switch {
	case ev.follow == followClone && ev.forked:
		return int64(ev.child.tid)
	case ev.addrResult && (ev.ret >= 0 || ev.ret < -4095):
		return int64(e.layout.Real(v, e.layout.Canonical(frontend.Leader, uint64(ev.ret))))
	}
	return ev.ret
}

// followerResult ends follower v's part in ev with the given action, or with the
// signal that came with the event.
func (e *Engine) followerResult(th *thread, v int, ev *record, a frontend.Action) {
	s := &th.sides[v]
	a.Task = s.task
	kept := a.Ret
	if ev.signal != nil {
		a = frontend.Action{Op: frontend.OpInterrupt, Task: s.task, Signal: e.signalFor(v, ev.signal), Then: e.thenFor(v, ev), Ret: e.resultFor(v, ev)}
		if ev.returns() {
			a.Ret = kept
		}
		if ev.sigMask != nil && s.stop == atEntry && (a.Ret == -eINTR || isRestart(a.Ret)) {
			// A call that has something to tell of has put the mask back.
			a.SigMask = ev.sigMask(s)
		}
		s.ending = true
	}
	e.logCall(v, ev)
	e.passed(ev, v)
	if ev.keeps {
		e.goOnInTurn(th, a)
		return
	}
	e.goOn(th, a)
}

// lastWords notes that v's task of th, or its whole process, ends with ev. A
// thread that ends keeps its turn until it is gone: the kernel clears its thread
// id in memory on the way, and the others must find that done. So does a process that
// shares memory with others.
func (e *Engine) lastWords(th *thread, v int, ev *record) {
	s := &th.sides[v]
	s.ending, s.exits, s.deadly = true, true, ev
	e.readTime(th, v)
	if !ev.wholeProcess || ev.inTurn {
		return
	}
	e.lastTurn(th, v)
	for _, t := range th.proc.threads {
		e.leave(t, v)
	}
	e.pumpAll(th, v)
}

// lastTurn is the turn in which v's task of th, or its whole process, ends.
func (e *Engine) lastTurn(th *thread, v int) {
	e.leaveMutexes(th, v)
	ev := th.sides[v].deadly
	if ev == nil || !ev.wholeProcess {
		return
	}
	if v == frontend.Leader && ev.inTurn {
		// What the others do until now is before the end.
		e.bind(ev, th.proc)
	}
	for _, t := range th.proc.threads {
		s := &t.sides[v]
		if t == th || s.ended {
			continue
		}
		e.leaveMutexes(t, v)
		s.ending, s.exits = true, true
		d := &s.domain.sides[v]
		d.ready = slices.DeleteFunc(d.ready, func(r turn) bool { return r.thread == t })
	}
}

var _ frontend.Monitor = (*Engine)(nil)
