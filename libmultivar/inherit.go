package libmultivar

import (
	"encoding/binary"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Of a futex that inherits priorities the kernel writes the word: the id of the thread
// that gets it, and that others wait (kernel/futex/pi.c). It would do so in the leader
// alone, while other threads run. So the engine is the kernel of such futexes, but for
// the priorities.
//
// It looks at the word and writes it when the leader's thread has come to the call, and
// in each follower when that meets the event. Nobody else of the domain runs there then,
// and nobody has had a turn between the thread's last one and the call that has not had
// it in the leader; so threads that lock and unlock without a call find the same word in
// all variants. Who unlocks a futex for which others wait hands it over to the one that
// has waited longest, which is why followers need no queue: they write what the leader
// wrote.
//
// A leader's thread that waits sleeps in the kernel, on the same word, as for a futex
// without inheritance. That has limits of time and signals come out right. Whether it
// got the futex is the engine's to say, whatever the kernel woke it for.

// Operations of futex(2) (include/uapi/linux/futex.h).
const (
	futexWait        = 0
	futexWake        = 1
	futexRequeue     = 3
	futexCmpRequeue  = 4
	futexWakeOp      = 5
	futexLockPI      = 6
	futexUnlockPI    = 7
	futexTryLockPI   = 8
	futexWaitBits    = 9
	futexWakeBits    = 10
	futexWaitToPI    = 11
	futexRequeueToPI = 12
	futexLockPI2     = 13
	futexPrivate     = 128
	futexRealtime    = 256
	futexOperations  = ^uint32(futexPrivate | futexRealtime)
)

// eTIMEDOUT is the result of a wait that has lasted long enough.
const eTIMEDOUT = 110

// piKey names a futex that inherits: by its address in a process or, when processes
// share it, which have it at the same place, by the address alone.
type piKey struct {
	proc *process
	at   addrspace.Address
}

// piLock is a futex for which somebody waits.
type piLock struct {
	owner   *thread
	waiters []*record
}

// inherited is what a call does to a futex that inherits priorities.
type inherited struct {
	key piKey
	// arg is the argument that is its address.
	arg int
	// old and word are its word before and after the call has begun.
	old, word uint32
	// from is where the call waits to be moved to the futex, nil when it does not (any
	// more); see requeue.go.
	from *piKey
	// waits: the leader's thread has to wait for it. granted: it has it. idle: the
	// kernel has ended its wait, and it stands at the end of the call until it has.
	waits, granted, idle bool
	// heir is who was handed the futex while it stood idle.
	heir *record
}

// bequest is the word of a futex that a thread leaves by dying, to a thread that waits.
type bequest struct {
	heir *thread
	at   addrspace.Address
	word uint32
}

// inherits reports whether a call is about a futex that inherits priorities.
func (e *Engine) inherits(c *frontend.Call) bool {
	row := e.row(c)
	if row.Handler != sysabi.HandlerFutex {
		return false
	}
	switch uint32(c.Args[1]) & futexOperations {
	case futexLockPI, futexUnlockPI, futexTryLockPI, futexLockPI2, futexWaitToPI, futexRequeueToPI:
		return true
	}
	return false
}

// prepareFutex carries out calls about futexes that inherit priorities.
func (e *Engine) prepareFutex(th *thread, ev *record) {
	if ev.answered {
		return
	}
	if !e.inherits(&ev.raw) {
		e.refuseMoved(th, ev)
		return
	}
	if e.parallel() {
		// Nobody else may run while the engine looks at the word.
		e.answer(ev, -eNOSYS)
		return
	}
	task, op := th.sides[frontend.Leader].task, uint32(ev.raw.Args[1])
	command, arg := op&futexOperations, 0
	lock := command == futexLockPI || command == futexLockPI2
	switch {
	case op&futexRealtime != 0 && command != futexLockPI2 && command != futexWaitToPI:
		e.answer(ev, -eNOSYS)
		return
	case (lock || command == futexWaitToPI) && !e.validLimit(task, ev.raw.Args[3], ev):
		return
	case command == futexWaitToPI || command == futexRequeueToPI:
		arg = 4
		if errno := e.refusePair(task, &ev.raw); errno != 0 {
			e.answer(ev, -errno)
			return
		}
	}
	addr := ev.raw.Args[arg]
	if addr%4 != 0 {
		e.answer(ev, -eINVAL)
		return
	}
	word, ok := e.futexWord(task, addr)
	if !ok {
		e.answer(ev, -eFAULT)
		return
	}
	pi := &inherited{key: e.futexKey(th, &ev.raw, arg), arg: arg, old: word, word: word}
	switch command {
	case futexUnlockPI:
		e.unlockPI(th, ev, pi)
	case futexWaitToPI:
		e.waitToMove(th, ev, pi)
	case futexRequeueToPI:
		e.requeuePI(th, ev, pi)
	default:
		e.lockPI(th, ev, pi, lock)
	}
	if pi.word != pi.old && !e.writeFutex(task, addr, pi.word) {
		e.answer(ev, -eFAULT)
		return
	}
	ev.pi = pi
	if pi.waits && pi.from == nil {
		e.queue(th, ev)
	}
}

// futexKey names the futex to which argument arg of the leader's call c points.
func (e *Engine) futexKey(th *thread, c *frontend.Call, arg int) piKey {
	key := piKey{at: e.layout.Canonical(frontend.Leader, c.Args[arg])}
	if uint32(c.Args[1])&futexPrivate != 0 {
		key.proc = th.proc
	}
	return key
}

// validLimit reports whether a limit of time can be read and is one; otherwise it
// answers ev as the kernel does.
func (e *Engine) validLimit(task frontend.Task, addr uint64, ev *record) bool {
	var p [16]byte
	if addr == 0 {
		return true
	}
	if _, err := e.host.ReadVariantMem(task, addr, p[:]); err != nil {
		e.answer(ev, -eFAULT)
		return false
	}
	const second = 1_000_000_000
	if int64(binary.LittleEndian.Uint64(p[:])) < 0 || binary.LittleEndian.Uint64(p[8:]) >= second {
		e.answer(ev, -eINVAL)
		return false
	}
	return true
}

func (e *Engine) futexWord(task frontend.Task, addr uint64) (word uint32, ok bool) {
	var p [4]byte
	_, err := e.host.ReadVariantMem(task, addr, p[:])
	return binary.LittleEndian.Uint32(p[:]), err == nil
}

func (e *Engine) writeFutex(task frontend.Task, addr uint64, word uint32) bool {
	_, err := e.host.WriteVariantMem(task, addr, binary.LittleEndian.AppendUint32(nil, word))
	return err == nil
}

// lockPI takes the futex if nobody has it (futex_lock_pi_atomic).
func (e *Engine) lockPI(th *thread, ev *record, pi *inherited, wait bool) {
	l := e.piLocks[pi.key]
	owner := pi.old & futexOwner
	holder := e.living(int(owner))
	switch {
	case owner == uint32(th.tid):
		e.answer(ev, -eDEADLK)
	case owner == 0:
		pi.word = pi.old&futexOwnerDied | uint32(th.tid)
		if l != nil && len(l.waiters) > 0 {
			pi.word |= futexWaiters
			l.owner = th
		}
		e.answer(ev, 0)
	case holder == nil:
		e.answer(ev, -eSearch)
	case wait && e.waitsFor(holder, th):
		e.answer(ev, -eDEADLK)
	case wait:
		pi.word |= futexWaiters
		pi.waits = true
	default:
		pi.word |= futexWaiters
		e.answer(ev, -eAGAIN)
	}
}

// living returns the thread of the program that has this id, nil when there is none.
func (e *Engine) living(tid int) *thread {
	for t, th := range e.tasks {
		if t.Variant == frontend.Leader && th.tid == tid {
			return th
		}
	}
	return nil
}

// waitsFor reports whether th waits for something that by has, be it through others.
func (e *Engine) waitsFor(th, by *thread) bool {
	for range len(e.tasks) {
		if th == by {
			return true
		}
		if th == nil || len(th.events) == 0 {
			return false
		}
		last := th.events[len(th.events)-1]
		l := e.waitedFor(last)
		if l == nil {
			return false
		}
		th = l.owner
	}
	return false
}

// waitedFor returns the futex for which the leader waits in ev, nil when it does not.
func (e *Engine) waitedFor(ev *record) *piLock {
	if ev.pi == nil || !ev.pi.waits || ev.pi.granted {
		return nil
	}
	l := e.piLocks[ev.pi.key]
	if l == nil || !slices.Contains(l.waiters, ev) {
		return nil
	}
	return l
}

// behind lets ev wait for the futex key, which owner has, behind those that wait already.
func (e *Engine) behind(key piKey, owner *thread, ev *record) {
	l := e.piLocks[key]
	if l == nil {
		l = &piLock{}
		e.piLocks[key] = l
	}
	l.owner = owner
	l.waiters = append(l.waiters, ev)
}

// queue lets th wait in ev behind those that wait already.
func (e *Engine) queue(th *thread, ev *record) {
	e.behind(ev.pi.key, e.living(int(ev.pi.old&futexOwner)), ev)
	ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) {
		op := uint32(own.Args[1])
		clock := op & futexRealtime
		if op&futexOperations == futexLockPI {
			clock = futexRealtime
		}
		// It must not fall asleep once it has the futex.
		word, _ := e.futexWord(th.sides[frontend.Leader].task, own.Args[0])
		if ev.pi.granted {
			word = ^word
		}
		return own.Nr, [6]uint64{own.Args[0], uint64(futexWaitBits | op&futexPrivate | clock), uint64(word), own.Args[3], 0, th.wakeBit()}
	}
}

// wakeBit is by what the kernel finds th among those that wait at a word. Others that
// have the same are woken, too, and stand idle.
func (th *thread) wakeBit() uint64 { return 1 << (th.id % 32) }

// unqueue lets nobody wait in ev any more.
func (e *Engine) unqueue(ev *record) {
	if ev.pi == nil || !ev.pi.waits {
		return
	}
	if ev.pi.from != nil {
		e.stopMoving(ev)
		return
	}
	l := e.piLocks[ev.pi.key]
	if l == nil {
		return
	}
	l.waiters = slices.DeleteFunc(l.waiters, func(w *record) bool { return w == ev })
	if len(l.waiters) == 0 {
		delete(e.piLocks, ev.pi.key)
	}
}

// unlockPI hands the futex over to who has waited longest (wake_futex_pi).
func (e *Engine) unlockPI(th *thread, ev *record, pi *inherited) {
	if pi.old&futexOwner != uint32(th.tid) {
		e.answer(ev, -ePERM)
		return
	}
	l := e.piLocks[pi.key]
	heir := e.grant(pi.key, l, func(word uint32) bool { return word == pi.old })
	if heir == nil {
		pi.word = 0
		e.answer(ev, 0)
		return
	}
	pi.word = futexWaiters | uint32(heir.thread.tid)
	e.wake(ev, pi, heir, 0)
}

// wake has the call ev, whose result is ret, wake heir, which has got the futex. It sleeps
// at the first address of its own call, where the caller has the same memory.
func (e *Engine) wake(ev *record, pi *inherited, heir *record, ret int64) {
	if heir.pi.idle {
		pi.heir = heir
		e.answer(ev, ret)
		return
	}
	ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) {
		const all = 1<<31 - 1
		private := heir.raw.Args[1] & futexPrivate
		return own.Nr, [6]uint64{heir.raw.Args[0], futexWakeBits | private, all, 0, 0, heir.thread.wakeBit()}
	}
	ev.after = func(int64) int64 { return ret }
}

// grant makes the first that waits for l its owner, nil when nobody does: other processes
// may have another futex at the same place, with another word.
func (e *Engine) grant(key piKey, l *piLock, same func(word uint32) bool) *record {
	if l == nil {
		return nil
	}
	i := slices.IndexFunc(l.waiters, func(w *record) bool {
		word, ok := e.futexWord(w.thread.sides[frontend.Leader].task, w.raw.Args[w.pi.arg])
		return ok && same(word)
	})
	if i < 0 {
		return nil
	}
	heir := l.waiters[i]
	heir.pi.granted = true
	l.owner = heir.thread
	l.waiters = slices.Delete(l.waiters, i, i+1)
	if len(l.waiters) == 0 {
		delete(e.piLocks, key)
	}
	return heir
}

// inherit gives follower v, which has met ev, the futex's word that the leader has.
func (e *Engine) inherit(th *thread, v int, ev *record) error {
	pi := ev.pi
	if pi == nil || pi.word == pi.old {
		return nil
	}
	s := &th.sides[v]
	addr := s.call.Args[pi.arg]
	if word, ok := e.futexWord(s.task, addr); !ok || word != pi.old || !e.writeFutex(s.task, addr, pi.word) {
		return &outputError{uint8(pi.arg), addr, frontend.ErrFault}
	}
	return nil
}

// waited takes the result of the kernel's wait for a futex that inherits, and returns
// that of the call. It is false when the call is not over: there is nothing to tell it
// yet.
func (e *Engine) waited(ev *record, ret int64) (int64, bool) {
	switch {
	case ev.pi.granted:
		return 0, true
	case ev.pi.arg != 0:
		return e.waitedToMove(ev, ret)
	case isRestart(ret):
		return ret, true
	case ret == 0, ret == -eAGAIN, ret == -eINTR:
		ev.pi.idle = true
		return ret, false
	}
	e.unqueue(ev)
	return ret, true
}

// awake lets the leader's thread go on that stood idle at the end of ev and has the
// futex now.
func (e *Engine) awake(ev *record) {
	ev.pi.idle = false
	if !e.ended && ev.thread.sides[frontend.Leader].inCall == ev {
		e.leaderExit(ev.thread, -eAGAIN)
	}
}

// bequeath hands over what th, which is gone in variant v, had and others wait for. The
// leader's choice is repeated by followers.
func (e *Engine) bequeath(th *thread, v int) {
	if v != frontend.Leader {
		for i := range th.bequests {
			e.receive(&th.bequests[i], v)
		}
		return
	}
	if n := len(th.events); n > 0 {
		e.unqueue(th.events[n-1])
	}
	for key, l := range e.piLocks {
		if l.owner != th {
			continue
		}
		heir := e.grant(key, l, func(word uint32) bool {
			owner := word & futexOwner
			return owner == uint32(th.tid) || owner == 0 && word&futexOwnerDied != 0
		})
		if heir == nil {
			continue
		}
		s := &heir.thread.sides[frontend.Leader]
		b := bequest{heir.thread, key.at, futexWaiters | futexOwnerDied | uint32(heir.thread.tid)}
		e.writeFutex(s.task, e.layout.Real(frontend.Leader, b.at), b.word)
		th.bequests = append(th.bequests, b)
		for v := 1; v < len(th.sides); v++ {
			if th.sides[v].ended {
				// It was gone before the leader's, and nobody has had a turn since.
				e.receive(&b, v)
			}
		}
		// Otherwise the kernel wakes it, for the futex of a robust mutex.
		if heir.pi.idle {
			e.awake(heir)
		}
	}
}

// receive gives variant v what a thread has left.
func (e *Engine) receive(b *bequest, v int) {
	if s := &b.heir.sides[v]; s.stop != dead && s.stop != unborn {
		e.writeFutex(s.task, e.layout.Real(v, b.at), b.word)
	}
}
