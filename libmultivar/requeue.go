package libmultivar

import (
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// FUTEX_WAIT_REQUEUE_PI waits at one futex until FUTEX_CMP_REQUEUE_PI moves the waiter to
// another one, which inherits priorities, and ends when it has got that
// (kernel/futex/requeue.c). Who is moved, and who gets the second futex at once, the
// engine decides when the leader's thread has come to the call, as with all futexes that
// inherit (inherit.go). In the kernel a waiter sleeps at the first futex all the time and
// is woken there when it has the second.

// refusePair returns the error number of a call c of the leader's task that names two
// futexes, 0 for none.
func (e *Engine) refusePair(task frontend.Task, c *frontend.Call) int64 {
	requeue := uint32(c.Args[1])&futexOperations == futexRequeueToPI
	switch {
	case requeue && (int32(c.Args[2]) < 0 || int32(c.Args[3]) < 0):
		return eINVAL
	case c.Args[0] == c.Args[4], requeue && int32(c.Args[2]) != 1, c.Args[0]%4 != 0, c.Args[4]%4 != 0:
		return eINVAL
	}
	word, ok := e.futexWord(task, c.Args[0])
	switch {
	case !ok:
		return eFAULT
	case requeue && word != uint32(c.Args[5]), !requeue && word != uint32(c.Args[2]):
		return eAGAIN
	}
	return 0
}

// waitToMove lets th wait in ev until another thread moves it.
func (e *Engine) waitToMove(th *thread, ev *record, pi *inherited) {
	from := e.futexKey(th, &ev.raw, 0)
	pi.waits, pi.from = true, &from
	e.moving[from] = append(e.moving[from], ev)
	ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) {
		op, val := uint32(own.Args[1]), uint32(own.Args[2])
		if pi.from == nil {
			// Moved already it sleeps whatever is there, but not when it has what it
			// waits for.
			val, _ = e.futexWord(th.sides[frontend.Leader].task, own.Args[0])
			if pi.granted {
				val = ^val
			}
		}
		flags := uint64(futexWaitBits | op&(futexPrivate|futexRealtime))
		return own.Nr, [6]uint64{own.Args[0], flags, uint64(val), own.Args[3], 0, th.wakeBit()}
	}
}

// stopMoving notes that ev does not wait to be moved any more.
func (e *Engine) stopMoving(ev *record) {
	from := *ev.pi.from
	ev.pi.from = nil
	left := slices.DeleteFunc(e.moving[from], func(w *record) bool { return w == ev })
	if len(left) == 0 {
		delete(e.moving, from)
		return
	}
	e.moving[from] = left
}

// requeuePI moves those that wait at the first futex to the one that inherits. When that
// is free, the first one has it at once.
func (e *Engine) requeuePI(th *thread, ev *record, pi *inherited) {
	from := e.futexKey(th, &ev.raw, 0)
	waiters, more := e.moving[from], int64(int32(ev.raw.Args[3]))
	switch {
	case e.waitsPlainly(from):
		e.answer(ev, -eINVAL)
		return
	case len(waiters) == 0:
		e.answer(ev, 0)
		return
	case waiters[0].pi.key != pi.key:
		e.answer(ev, -eINVAL)
		return
	}
	top := waiters[0]
	owner := e.living(int(pi.old & futexOwner))
	var moved int64
	var heir *record
	switch {
	case pi.old&futexOwner == 0:
		heir, owner = top, top.thread
		pi.word = pi.old&(futexOwnerDied|futexWaiters) | uint32(owner.tid)
		if more > 0 || e.piLocks[pi.key] != nil {
			pi.word |= futexWaiters
		}
		e.stopMoving(top)
		top.pi.granted = true
		if l := e.piLocks[pi.key]; l != nil {
			l.owner = owner
		}
		moved = 1
	case owner == nil:
		e.answer(ev, -eSearch)
		return
	case owner == top.thread:
		e.answer(ev, -eDEADLK)
		return
	default:
		pi.word |= futexWaiters
	}
	ret := int64(0)
	for _, w := range slices.Clone(e.moving[from]) {
		if moved > more {
			break
		}
		if w.pi.key != pi.key {
			ret = -eINVAL
			break
		}
		if e.waitsFor(owner, w.thread) {
			ret = -eDEADLK
			break
		}
		e.stopMoving(w)
		e.behind(pi.key, owner, w)
		moved++
	}
	if ret == 0 {
		ret = moved
	}
	if heir == nil {
		e.answer(ev, ret)
		return
	}
	e.wake(ev, pi, heir, ret)
}

// waitedToMove is waited for a call that waits to be moved, or has been.
func (e *Engine) waitedToMove(ev *record, ret int64) (int64, bool) {
	moved := ev.pi.from == nil
	switch {
	case moved && (ret == 0 || ret == -eAGAIN):
		ev.pi.idle = true
		return ret, false
	case isRestart(ret) && !moved:
		return ret, true
	case ret == 0 || ret == -eINTR || isRestart(ret):
		// Woken for nothing, or interrupted behind the move, after which the value at
		// the first futex is another one.
		ret = -eAGAIN
	}
	e.unqueue(ev)
	return ret, true
}

// waitsPlainly reports whether a thread of the leader's sleeps at the futex with a call
// that cannot be moved to one that inherits.
func (e *Engine) waitsPlainly(key piKey) bool {
	for t, th := range e.tasks {
		if t.Variant != frontend.Leader {
			continue
		}
		s := &th.sides[frontend.Leader]
		ev := s.inCall
		if s.stop != running || ev == nil || ev.call.Row == nil || ev.call.Handler != sysabi.HandlerFutex {
			continue
		}
		switch uint32(ev.raw.Args[1]) & futexOperations {
		case futexWait, futexWaitBits:
			if e.futexKey(th, &ev.raw, 0) == key {
				return true
			}
		}
	}
	return false
}

// refuseMoved answers calls that would wake, or move elsewhere, those that wait to be
// moved to a futex that inherits.
func (e *Engine) refuseMoved(th *thread, ev *record) {
	if len(e.moving) == 0 {
		return
	}
	switch uint32(ev.raw.Args[1]) & futexOperations {
	case futexCmpRequeue:
		word, ok := e.futexWord(th.sides[frontend.Leader].task, ev.raw.Args[0])
		if !ok || word != uint32(ev.raw.Args[5]) {
			return
		}
	case futexWake, futexWakeBits, futexRequeue, futexWakeOp:
	default:
		return
	}
	if len(e.moving[e.futexKey(th, &ev.raw, 0)]) > 0 {
		e.answer(ev, -eINVAL)
	}
}
