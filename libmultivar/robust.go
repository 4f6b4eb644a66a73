package libmultivar

import (
	"encoding/binary"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A thread that dies leaves the robust mutexes that it owns to the next one: the kernel
// marks those whose word holds the thread's id (kernel/futex/core.c, exit_robust_list).
// In a follower that is the leader's id, not the task's own, so the engine does it there.
// Nobody has to be woken: what waits in a follower gets the leader's result. In a leader
// whose ids are others than those that the program sees, the engine puts the own one in
// for the kernel.

// Of the word of a robust futex (include/uapi/linux/futex.h).
const (
	futexOwner     = 0x3fffffff
	futexOwnerDied = 0x40000000
	futexWaiters   = 0x80000000
)

// maxRobust is how many entries of a list the kernel looks at (ROBUST_LIST_LIMIT).
const maxRobust = 2048

// noteRobust remembers the list that v's task of th has given to the kernel.
func (th *thread) noteRobust(v int, ev *record) {
	if ev.call.Row != nil && ev.call.Handler == sysabi.HandlerRobustList {
		th.sides[v].robust = th.sides[v].call.Args[0]
	}
}

// leaveMutexes marks what v's task of th owns when it is about to end, where the kernel
// does not take it for the owner. A bit in the pointer to an entry says that it inherits
// priorities; the kernel would wake nobody for it, since it has handed such a futex over.
// Here it has not (see inherit.go), so the bit is taken away.
func (e *Engine) leaveMutexes(th *thread, v int) {
	e.leaveMutexesBy(th, v, th.sides[v].task)
}

// leaveMutexesBy is leaveMutexes with the memory of the task by, which is the same, and which
// stands.
func (e *Engine) leaveMutexesBy(th *thread, v int, by frontend.Task) {
	s := &th.sides[v]
	head := s.robust
	if head == 0 {
		return
	}
	s.robust = 0
	word := func(addr uint64) (uint64, bool) {
		var p [8]byte
		n, err := e.host.ReadVariantMem(by, addr, p[:])
		return binary.LittleEndian.Uint64(p[:]), err == nil && n == len(p)
	}
	pointer := func(addr uint64) (uint64, bool) {
		w, ok := word(addr)
		if ok && w&1 != 0 {
			w &^= 1
			_, err := e.host.WriteVariantMem(by, addr, binary.LittleEndian.AppendUint64(nil, w))
			ok = err == nil
		}
		return w, ok
	}
	entry, ok1 := pointer(head)
	offset, ok2 := word(head + 8)
	pending, ok3 := pointer(head + 16)
	if !ok1 || !ok2 || !ok3 {
		return
	}
	marks := s.task.Host != th.tid
	for range maxRobust {
		if entry == head {
			break
		}
		next, ok := pointer(entry)
		if marks && entry != pending && !e.ownerDied(by, s.task.Host, th.tid, entry+offset) || !ok {
			return
		}
		entry = next
	}
	if marks && pending != 0 {
		e.ownerDied(by, s.task.Host, th.tid, pending+offset)
	}
}

// ownerDied marks the futex at addr if tid owns it. It is false when there is none. In the
// leader, where the id that the program sees is another one than the kernel's, the owner
// gets the latter: then the kernel marks the futex and wakes who waits.
func (e *Engine) ownerDied(task frontend.Task, host, tid int, addr uint64) bool {
	if addr%4 != 0 {
		return false
	}
	value, ok := e.futexWord(task, addr)
	if !ok || value&futexOwner != uint32(tid) {
		return ok
	}
	mark := uint32(futexOwnerDied)
	if task.Variant == frontend.Leader || e.parallel() {
		mark = uint32(host)
	}
	return e.writeFutex(task, addr, value&futexWaiters|mark)
}

// An exec leaves the mutexes of all threads of its process, too. The kernel does it behind the
// point from which it does not return, so in a follower, where it is known that the exec
// succeeds, the engine does it before: at the place of the leader's among the turns of those
// with whom it shares memory.

// leavesByExec reports whether v's process of p may own what an exec leaves to others.
func (e *Engine) leavesByExec(p *process, v int) bool {
	if e.cfg.Pids != PidsLeader {
		// The leader's kernel knows nobody by another id.
		return false
	}
	for _, t := range p.threads {
		if s := &t.sides[v]; s.robust != 0 && !s.ended {
			return true
		}
	}
	return false
}

// leaveByExec marks what follower v's process of th owns, which is about to execute a program.
// It is false when others are to have turns before.
func (e *Engine) leaveByExec(th *thread, v int, ev *record) bool {
	p := th.proc
	if !e.leavesByExec(p, v) {
		return true
	}
	if d := ev.exec.left; d != nil {
		s := &d.sides[v]
		if !s.entered(v) || slices.ContainsFunc(s.runners, func(r *thread) bool { return r.proc != p }) {
			return false
		}
		if c := d.head(v); c != nil && (!c.end || c.thread.proc != p) {
			return false
		}
	}
	for _, t := range p.threads {
		// The others may compute. The caller has the id of the first thread, as it has in the
		// kernel already: what another one owned under its own stays so.
		if s := &t.sides[v]; s.stop != dead && s.stop != unborn {
			e.leaveMutexesBy(t, v, th.sides[v].task)
		}
	}
	return true
}

// executes lets follower v of the process whose place in d it is execute a program, if that is
// how it leaves d.
func (e *Engine) executes(d *domain, v int) {
	c := d.head(v)
	if c == nil || !c.end {
		return
	}
	for _, th := range c.thread.proc.threads {
		if ev := th.sides[v].met; ev != nil && ev.exec != nil && ev.exec.left == d && th.sides[v].waits(ev) {
			e.followerGo(th, v)
			return
		}
	}
}
