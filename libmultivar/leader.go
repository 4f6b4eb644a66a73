package libmultivar

import (
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// leaderCall takes the leader's call at which th stands.
func (e *Engine) leaderCall(th *thread) {
	s := &th.sides[frontend.Leader]
	s.ending, th.reads = false, 0
	if ev := s.inCall; ev != nil && ev.interrupted && !again(&ev.raw, &s.call, ev.ret) {
		// A handler runs that the engine does not know of.
		e.abandon(th)
		if e.ended {
			return
		}
	}
	if ev := s.inCall; ev != nil && ev.interrupted {
		if sig := e.interrupting(th, ev); sig != nil {
			e.interruptAgain(th, ev, sig)
			return
		}
		// The kernel restarts the call that a signal without consequences
		// interrupted: it is still the same event.
		ev.interrupted = false
		if ev.pi != nil && ev.pi.granted {
			// It has what it waits for, and nobody would wake it again.
			e.leaderExit(th, -eAGAIN)
			return
		}
		a := frontend.Action{Op: frontend.OpRun, Task: s.task, Nr: s.call.Nr, Args: s.call.Args, Exit: true}
		if s.call.Nr == ev.raw.Nr && ev.run != nil {
			a.Nr, a.Args = ev.run(frontend.Leader, &s.call)
		}
		e.divert(th, ev, &a)
		e.enter(th, ev, a)
		return
	}
	s.inCall = nil
	if e.holds(th) {
		return
	}
	row := e.row(&s.call)
	if e.queueChange(th, row) {
		return
	}
	sig := e.nextPending(th)
	if sig != nil && e.waitCode(s, sig) == restartNoIntr {
		e.interruptBefore(th, sig)
		return
	}
	ev := e.newRecord(th, event.Call)
	ev.raw = s.call
	ev.call = row.Resolve(s.call.Args)
	ev.name = ev.call.Name
	e.began(th, frontend.Leader)
	e.decide(th, ev)
	if sig != nil {
		if !ev.decided {
			e.answer(ev, -eINTR)
		}
		ev.signal, ev.run, ev.after, ev.outs, ev.sigMask = sig, nil, nil, nil, nil
	}
	ev.compared = e.comparedMemory(th, &ev.call, &s.call)
	request, ok := e.requested(th, ev)
	if !ok {
		// The task died while it stood here; its exit follows.
		th.events = th.events[:len(th.events)-1]
		e.recent = e.recent[:len(e.recent)-1]
		return
	}
	ev.request = request
	e.lengths(th, ev)
	e.describe(th, ev)
	e.stayInTurn(th, ev)
	if e.changesMapped(th, ev) {
		ev.wait = true
	}
	ev.wait = ev.wait || e.ambiguous(ev) || !e.endsAlone(ev) && (e.policyWaits(th, ev) || !namesNone(ev) && e.withholds(th))
	e.mapsInTurn(th, ev)
	e.published(th, ev)
	if ev.pi != nil && ev.pi.heir != nil {
		e.awake(ev.pi.heir)
	}
}

// holds reports whether there is no room for the event of the leader's th, which stands still until
// there is.
func (e *Engine) holds(th *thread) bool {
	if th.room() {
		return false
	}
	th.held = true
	e.began(th, frontend.Leader)
	if d := &th.sides[frontend.Leader].domain.sides[frontend.Leader]; !d.runs(th) {
		// What the call asks, and what it gives, is that of now. Followers do not need
		// turns of others to make room: the leader's have not had them.
		d.runners = append(d.runners, th)
	}
	return true
}

// proceedHeld takes the calls and reads of the leader for which room has come. It comes at the end
// of a report: the follower that has made the room stands at its old event until then.
func (e *Engine) proceedHeld() {
	for len(e.freed) > 0 && !e.ended {
		th := e.freed[0]
		e.freed = e.freed[1:]
		// A call that was put off until its process ends is never made.
		if th.held && th.room() && !th.sides[frontend.Leader].exits {
			th.held = false
			th.yield(frontend.Leader)
			switch {
			case th.sides[frontend.Leader].stop == atTimeStamp:
				e.leaderTimeStamp(th)
			case e.syncs(th, frontend.Leader):
				e.leaderMeets(th)
			default:
				e.leaderCall(th)
			}
			e.pump(th.sides[frontend.Leader].domain, frontend.Leader)
		}
	}
}

// again reports whether c is what the kernel does when it makes call first again
// after the restart code ret: the same call, or restart_syscall(2) in its place.
func again(first, c *frontend.Call, ret int64) bool {
	if c.IP != first.IP {
		return false
	}
	if ret == restartBlock {
		row, ok := sysabi.Lookup(c.Arch, int(c.Nr))
		return ok && row.Handler == sysabi.HandlerRestart
	}
	return c.Nr == first.Nr && c.Args == first.Args
}

// abandon ends the leader's interrupted call because the program does not make it
// again. What it does instead is no part of the call.
func (e *Engine) abandon(th *thread) {
	s := &th.sides[frontend.Leader]
	ev := s.inCall
	if ev == nil || !ev.interrupted {
		return
	}
	ev.interrupted, ev.ret = false, -eINTR
	e.unqueue(ev)
	s.inCall, th.settling = nil, nil
	// It has had the turn behind the call, without waiting for it. Followers have theirs here.
	e.chosen(s.domain, th)
	e.complete(ev)
}

// row returns the row of a call; numbers that the table does not have get one
// that answers ENOSYS.
func (e *Engine) row(c *frontend.Call) *sysabi.Row {
	if row, ok := sysabi.Lookup(c.Arch, int(c.Nr)); ok {
		return row
	}
	return &sysabi.Row{
		Name: fmt.Sprintf("syscall_%d", c.Nr), Exec: sysabi.Unsupported, Errno: eNOSYS,
		Reason: "no such call in Linux 6.18",
	}
}

// lengths remembers the values that value-result lengths have before the call.
func (e *Engine) lengths(th *thread, ev *record) {
	if e.alone() && ev.view == nil {
		return
	}
	for i := range ev.call.Args {
		a := &ev.call.Args[i]
		if a.Dir&sysabi.Out == 0 || (a.Kind != sysabi.Sockaddr && a.Len.Kind != sysabi.LenPtr) {
			continue
		}
		if ev.raw.Args[i] == 0 || ev.raw.Args[a.Len.Arg] == 0 {
			continue
		}
		var p [4]byte
		if _, err := e.host.ReadVariantMem(th.sides[frontend.Leader].task, ev.raw.Args[a.Len.Arg], p[:]); err == nil {
			ev.lens[i] = uintOf(p[:])
		}
	}
}

// published makes an event that is complete as a request known to the followers
// that already wait for it, and lets the leader go if nothing holds it.
func (e *Engine) published(th *thread, ev *record) {
	th.charge(ev)
	if ev.kind == event.Signal && ev.before && !ev.stamped {
		ev.raw = th.sides[frontend.Leader].call
	}
	for v := 1; v < len(th.sides) && !e.ended; v++ {
		if th.sides[v].stop == dead {
			if ev.kind == event.Killed {
				e.skipDead(th, v)
				continue
			}
			// It died of a signal that the leader has survived.
			e.divergeDeath(th, v, th.sides[v].status)
			return
		}
		if s := &th.sides[v]; s.met == nil && s.next == ev.seq && s.stop.stopped() {
			e.followerMatch(th, v)
		} else {
			e.rouse(th, v, ev)
		}
	}
	e.advance(ev)
}

func (s stop) stopped() bool {
	return s == atEntry || s == atTimeStamp || s == atSignal || s == atExec || s == atStop
}

// advance lets the leader go when nothing that ev must wait for is missing.
func (e *Engine) advance(ev *record) {
	th := ev.thread
	s := &th.sides[frontend.Leader]
	// Another thread may have ended the leader's while it waited for the followers, or be
	// about to: what it has not begun it never does.
	if e.ended || ev.started || (ev.wait && ev.met < e.followers) || s.stop == dead || s.exits {
		return
	}
	if e.holdsFire(th, ev) || e.awaitsRest(th, ev) {
		return
	}
	ev.started = true
	if ev.wait && ev.kind != event.Preempted {
		e.observe(th, frontend.Leader, Observation{Kind: CallAgreed, Call: s.begun})
	}
	switch ev.kind {
	case event.Preempted:
		e.leaderPreempted(th, ev)
		return
	case event.TimeStamp:
		e.complete(ev)
		e.goOn(th, frontend.Action{Op: frontend.OpTimeStamp, Task: s.task, TimeStamp: ev.stamp})
		return
	case event.Signal:
		if len(th.proc.threads) > 1 && th.proc.handlers.fate(ev.signal.Number) == fateKills {
			// The other threads die with it. The followers' are to do first what the
			// leader's have done.
			th.settling = ev
			e.goOn(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: ev.signal})
			return
		}
		s.ending = true
		e.complete(ev)
		e.goOn(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: ev.signal})
		return
	}
	if ev.answered && ev.signal != nil {
		e.interruptNow(th, ev)
		return
	}
	if ev.answered || e.transferred(th, ev) {
		if ev.toLeader && e.deliver(ev, frontend.Leader, s) != nil {
			ev.outs, ev.ret = nil, -eFAULT
		}
		e.complete(ev)
		e.goOn(th, frontend.Action{Op: frontend.OpAnswer, Task: s.task, Ret: ev.ret})
		return
	}
	if e.unwatched(ev) {
		e.runUnwatched(ev)
		return
	}
	a := frontend.Action{Op: frontend.OpRun, Task: s.task, Nr: s.call.Nr, Args: s.call.Args, Exit: ev.follow != followEach || ev.returns()}
	if ev.run != nil {
		a.Nr, a.Args = ev.run(frontend.Leader, &s.call)
	}
	e.beginChange(ev)
	if ev.begin != nil {
		ev.begin()
	}
	ends := ev.follow == followEach && !ev.returns()
	if ev.deadly {
		ev.inTurn = ev.wholeProcess && e.sharesDomain(th)
		e.lastWords(th, frontend.Leader, ev)
	}
	if ev.deadly && (!ev.wholeProcess || ev.inTurn) {
		e.goOn(th, a)
	} else {
		e.divert(th, ev, &a)
		e.enter(th, ev, a)
	}
	if ends {
		s.inCall = nil
		if ev.wholeProcess && !ev.inTurn {
			e.bind(ev, th.proc)
		}
		e.complete(ev)
	}
}

// complete publishes the outcome of an event to the followers that wait for it.
func (e *Engine) complete(ev *record) {
	if ev.done {
		return
	}
	ev.done = true
	e.endChange(ev)
	e.logCall(frontend.Leader, ev)
	e.resulted(ev)
	th := ev.thread
	e.over(th, frontend.Leader, ev)
	for v := 1; v < len(th.sides) && !e.ended; v++ {
		if s := &th.sides[v]; s.met == ev && s.inCall == nil && s.stop.stopped() {
			e.followerGo(th, v)
		}
	}
	e.trim(th)
}

// leaderExit takes the result of the leader's call.
func (e *Engine) leaderExit(th *thread, ret int64) {
	s := &th.sides[frontend.Leader]
	ev := s.inCall
	if ev == nil {
		e.fail(fmt.Errorf("%v: result of a call that was not let into the kernel", s.task))
		return
	}
	if ev.returns() {
		// Signals that the handler's mask held back come right now.
		s.inCall = nil
		e.finished(th, frontend.Leader, ev, ret)
		th.settling = ev
		e.goOn(th, frontend.Action{Op: frontend.OpResume, Task: s.task})
		return
	}
	kernelRet := ret
	if ev.pi != nil && ev.pi.waits {
		var over bool
		if ret, over = e.waited(ev, ret); !over {
			return
		}
	}
	if isRestart(ret) {
		// Whether the call goes on or is over shows at the next stop.
		ev.interrupted = true
		ev.ret = ret
		ev.endTurn()
		ev.outs = nil
		e.capture(ev, s, ret)
		e.landNow(th, ev)
		th.settling = ev
		e.letGo(th, frontend.Action{Op: frontend.OpResume, Task: s.task})
		return
	}
	ev.kernelRet = ret
	if ret == 0 {
		th.noteRobust(frontend.Leader, ev)
	}
	e.noteDying(th, ev)
	seen := ret
	if ev.after != nil {
		seen = ev.after(ret)
	}
	if e.ended || ev.lost {
		return
	}
	ev.ret = seen
	ev.outs = nil
	e.noteText(th, ev)
	e.mirrorWrite(th, ev)
	e.capture(ev, s, seen)
	e.landLater(th, ev, ret)
	th.charge(ev)
	if ret != -eINTR {
		// A signal without consequences would have the kernel go on with the call.
		e.finished(th, frontend.Leader, ev, seen)
	}
	a := frontend.Action{Op: frontend.OpResume, Task: s.task}
	if seen != kernelRet {
		a = frontend.Action{Op: frontend.OpAnswer, Task: s.task, Ret: seen}
	}
	if ret == -eINTR || ev.exec != nil || ev.notifies ||
		(ev.call.Signals && (ret == -ePIPE || ev.call.Wait&sysabi.WaitOutput == 0 || e.cutShort(ev, ret))) {
		th.settling = ev
		if ret != -eINTR {
			s.inCall = nil
		}
		e.goOn(th, a)
		return
	}
	s.inCall = nil
	e.complete(ev)
	if ev.sensitive && ev.met < e.followers && !e.ended {
		// The leader gets the result when all variants have asked for it.
		ev.withheld = &a
		return
	}
	if ev.keeps {
		e.goOnInTurn(th, a)
		return
	}
	e.goOn(th, a)
}

// settle completes the leader's last event when its next stop shows that no
// signal came with it. A call that the kernel restarts stays open.
func (e *Engine) settle(th *thread) {
	ev := th.settling
	if ev == nil {
		return
	}
	th.settling = nil
	if ev.interrupted && !ev.over {
		return
	}
	th.sides[frontend.Leader].inCall = nil
	e.complete(ev)
}
