package libmultivar

import (
	"encoding/binary"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// exceed makes counts that are larger than the kernel accepts the largest that there
// are: what they count was not compared, so the kernel has to refuse the call even if
// an administrator raises a limit right now, or a later Linux has another one. Which
// of several errors a call gets remains the kernel's affair.
func (e *Engine) exceed(ev *record) {
	var over [6]bool
	found := false
	for i := range ev.call.Args {
		a := &ev.call.Args[i]
		if a.Most != 0 && countOf(a, ev.raw.Args[i]) > a.Most {
			over[i], found = true, true
		}
	}
	if !found || ev.answered {
		return
	}
	ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) {
		args := own.Args
		for i := range over {
			if over[i] {
				args[i] = ^uint64(0)
			}
		}
		return own.Nr, args
	}
}

// limit gives argument i of the call of ev the limit of the day. The row has one that
// an administrator cannot exceed, or none that he could reach.
func (ev *record) limit(i int, most uint64) {
	if most == 0 || most >= ev.call.Args[i].Most {
		return
	}
	ev.call.Args = slices.Clone(ev.call.Args)
	ev.call.Args[i].Most = most
}

// Limits of System V objects that are there unless an administrator changes them
// (include/uapi/linux/msg.h and sem.h). The kernel is asked beyond them only.
const (
	usualMessage = 8192
	usualOps     = 500
)

// prepareSemop leaves operations alone that the kernel does not look at, because they
// are too many: what is behind the program's array may be anything.
func (e *Engine) prepareSemop(_ *thread, ev *record) {
	if uint32(ev.raw.Args[2]) > usualOps {
		ev.limit(2, e.host.IPCLimits().Operations)
	}
}

// prepareMsgsnd leaves the text of a message alone that is too long.
func (e *Engine) prepareMsgsnd(_ *thread, ev *record) {
	if ev.raw.Args[2] > usualMessage {
		ev.limit(2, e.host.IPCLimits().Message)
	}
}

// Commands of semctl(2) about all semaphores of a set.
const (
	semGetAll = 13
	semSetAll = 17
	semSize   = 2 // bytes of a semaphore's value
)

// prepareSemctl finds out how long an array of all values of a set is. That of a set
// stays as it is, and its id is not used again soon, so this is what the kernel will
// find. When there is no such set, it must not find one that somebody has just made.
func (e *Engine) prepareSemctl(_ *thread, ev *record) {
	switch uint32(ev.raw.Args[2]) {
	case semGetAll, semSetAll:
	default:
		return
	}
	n := e.host.SemaphoreCount(int(int32(ev.raw.Args[0])))
	if n == 0 {
		ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) {
			args := own.Args
			args[0] = ^uint64(0)
			return own.Nr, args
		}
	}
	ev.call.Args = slices.Clone(ev.call.Args)
	ev.call.Args[3].Len = sysabi.Len{Kind: sysabi.LenConst, N: uint64(n) * semSize}
}

// Where struct msqid_ds tells who sent and who received last.
const msgSender, msgReceiver = 96, 100

// prepareMsgctl shows the ids of the last sender and receiver as the program sees them.
func (e *Engine) prepareMsgctl(th *thread, ev *record) {
	layout := func() *sysabi.Layout {
		if len(ev.call.Args) < 3 || ev.call.Args[2].Dir != sysabi.Out {
			return nil
		}
		return ev.call.Args[2].Struct
	}()
	if e.cfg.Pids == PidsLeader || layout == nil || layout.Size <= msgReceiver {
		return
	}
	task, at := th.sides[frontend.Leader].task, ev.raw.Args[2]
	ev.after = func(ret int64) int64 {
		if ret >= 0 {
			e.showPid(task, at+msgSender)
			e.showPid(task, at+msgReceiver)
		}
		return ret
	}
}

// prepareMqSend notes that the sender itself may be who wants to know of the message.
func (e *Engine) prepareMqSend(_ *thread, ev *record) { ev.notifies = true }

// Members of struct sigevent, and the value that asks for a message through a socket.
const (
	sigevSigno  = 8
	sigevNotify = 12
	sigevThread = 2
)

// prepareMqNotify remembers the socket through which the kernel will send a cookie
// back. The cookie was compared; in glibc it consists of pointers, and each follower
// gets its own.
func (e *Engine) prepareMqNotify(th *thread, ev *record) {
	var p [sigevNotify + 4]byte
	if ev.raw.Args[1] == 0 {
		return
	}
	if _, err := e.host.ReadVariantMem(th.sides[frontend.Leader].task, ev.raw.Args[1], p[:]); err != nil {
		return
	}
	if binary.LittleEndian.Uint32(p[sigevNotify:]) != sigevThread {
		return
	}
	socket, fds := int(int32(binary.LittleEndian.Uint32(p[sigevSigno:]))), th.proc.fds
	ev.after = func(ret int64) int64 {
		if ret == 0 {
			fds.set(socket, procFile{binary: true, cookies: true, closeOnExec: true})
		}
		return ret
	}
}
