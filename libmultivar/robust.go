package libmultivar

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A thread that dies leaves the robust mutexes that it owns to the next one: the kernel
// marks those whose word holds the thread's id (kernel/futex/core.c, exit_robust_list).
// In a follower that is the leader's id, not the task's own, so the engine does it there.
// Nobody has to be woken: what waits in a follower gets the leader's result.

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
// does not take it for the owner.
func (e *Engine) leaveMutexes(th *thread, v int) {
	s := &th.sides[v]
	head := s.robust
	if head == 0 || s.task.Host == th.tid {
		return
	}
	s.robust = 0
	word := func(addr uint64) (uint64, bool) {
		var p [8]byte
		n, err := e.host.ReadVariantMem(s.task, addr, p[:])
		return binary.LittleEndian.Uint64(p[:]), err == nil && n == len(p)
	}
	entry, ok1 := word(head)
	offset, ok2 := word(head + 8)
	pending, ok3 := word(head + 16)
	if !ok1 || !ok2 || !ok3 {
		return
	}
	for range maxRobust {
		if entry == head {
			break
		}
		// The bit says that priorities are inherited, which no such mutex does here.
		at := entry &^ 1
		next, ok := word(at)
		if entry != pending && !e.ownerDied(s.task, th.tid, at+offset) || !ok {
			return
		}
		entry = next
	}
	if pending != 0 {
		e.ownerDied(s.task, th.tid, pending&^1+offset)
	}
}

// ownerDied marks the futex at addr if tid owns it. It is false when there is none.
func (e *Engine) ownerDied(task frontend.Task, tid int, addr uint64) bool {
	var p [4]byte
	if addr%4 != 0 {
		return false
	}
	if n, err := e.host.ReadVariantMem(task, addr, p[:]); err != nil || n < len(p) {
		return false
	}
	value := binary.LittleEndian.Uint32(p[:])
	if value&futexOwner != uint32(tid) {
		return true
	}
	binary.LittleEndian.PutUint32(p[:], value&futexWaiters|futexOwnerDied)
	n, err := e.host.WriteVariantMem(task, addr, p[:])
	return err == nil && n == len(p)
}
