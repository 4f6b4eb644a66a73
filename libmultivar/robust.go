package libmultivar

import (
	"encoding/binary"

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
	s := &th.sides[v]
	head := s.robust
	if head == 0 {
		return
	}
	s.robust = 0
	word := func(addr uint64) (uint64, bool) {
		var p [8]byte
		n, err := e.host.ReadVariantMem(s.task, addr, p[:])
		return binary.LittleEndian.Uint64(p[:]), err == nil && n == len(p)
	}
	pointer := func(addr uint64) (uint64, bool) {
		w, ok := word(addr)
		if ok && w&1 != 0 {
			w &^= 1
			_, err := e.host.WriteVariantMem(s.task, addr, binary.LittleEndian.AppendUint64(nil, w))
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
		if marks && entry != pending && !e.ownerDied(s.task, th.tid, entry+offset) || !ok {
			return
		}
		entry = next
	}
	if marks && pending != 0 {
		e.ownerDied(s.task, th.tid, pending+offset)
	}
}

// ownerDied marks the futex at addr if tid owns it. It is false when there is none. In the
// leader, where the id that the program sees is another one than the kernel's, the owner
// gets the latter: then the kernel marks the futex and wakes who waits.
func (e *Engine) ownerDied(task frontend.Task, tid int, addr uint64) bool {
	if addr%4 != 0 {
		return false
	}
	value, ok := e.futexWord(task, addr)
	if !ok || value&futexOwner != uint32(tid) {
		return ok
	}
	mark := uint32(futexOwnerDied)
	if task.Variant == frontend.Leader || e.parallel() {
		mark = uint32(task.Host)
	}
	return e.writeFutex(task, addr, value&futexWaiters|mark)
}
