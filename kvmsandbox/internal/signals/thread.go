package signals

import (
	"encoding/binary"
	"syscall"
)

// How [Thread.SetMask] uses a set: SIG_BLOCK, SIG_UNBLOCK and SIG_SETMASK
// (asm-generic/signal-defs.h).
const (
	HowBlock   = 0
	HowUnblock = 1
	HowSet     = 2
)

// Flags of an [AltStack] (uapi/linux/signal.h).
const (
	SSOnStack    = 1
	SSDisable    = 2
	SSAutoDisarm = 1 << 31
)

// MinAltStackSize is the least size of an alternate stack, MINSIGSTKSZ. That a
// frame fits is another matter; see [XState.MinStack].
const MinAltStackSize = 2048

// AltStack is an alternate signal stack: stack_t.
type AltStack struct {
	SP    uint64
	Flags uint32
	Size  uint64
}

// AltStackSize is the size of stack_t in bytes.
const AltStackSize = 24

// DecodeAltStack reads a stack_t.
func DecodeAltStack(b *[AltStackSize]byte) AltStack {
	return AltStack{
		SP:    binary.LittleEndian.Uint64(b[0:]),
		Flags: binary.LittleEndian.Uint32(b[8:]),
		Size:  binary.LittleEndian.Uint64(b[16:]),
	}
}

// Encode returns the stack as a stack_t.
func (a AltStack) Encode() [AltStackSize]byte {
	var b [AltStackSize]byte
	binary.LittleEndian.PutUint64(b[0:], a.SP)
	binary.LittleEndian.PutUint32(b[8:], a.Flags)
	binary.LittleEndian.PutUint64(b[16:], a.Size)
	return b
}

// noAltStack is what sas_ss_reset leaves.
var noAltStack = AltStack{Flags: SSDisable}

// holds reports whether sp lies on the stack (__on_sig_stack in
// include/linux/sched/signal.h). A stack grows down, so the upper end does and the
// lower does not.
func (a AltStack) holds(sp uint64) bool { return sp > a.SP && sp-a.SP <= a.Size }

// active reports whether code whose stack pointer is sp runs on the stack. With
// SS_AUTODISARM it never does: whoever runs there has no alternate stack.
func (a AltStack) active(sp uint64) bool { return a.Flags&SSAutoDisarm == 0 && a.holds(sp) }

// state returns what sas_ss_flags does: SSDisable, SSOnStack or 0.
func (a AltStack) state(sp uint64) uint32 {
	switch {
	case a.Size == 0:
		return SSDisable
	case a.active(sp):
		return SSOnStack
	}
	return 0
}

// Trap is what the kernel remembers of a thread's last exception. It is in every
// frame from then on, whatever its signal.
type Trap struct {
	// Number is the exception's vector.
	Number uint64
	// ErrorCode is the processor's, but for page faults; see [FaultInfo].
	ErrorCode uint64
	// CR2 is the address of the last page fault that became a signal.
	CR2 uint64
}

// Thread is the signal state of a thread. It is a value: an assignment copies all
// of it, which is what fork(2) does. The zero value is that of a first thread.
type Thread struct {
	// Blocked is the mask. SIGKILL and SIGSTOP are never in it.
	Blocked Set
	// Saved is the mask that comes back when the call which replaced it is over,
	// meaningful while Suspended.
	Saved     Set
	Suspended bool
	// Alt is the alternate stack as sigaltstack(2) was told.
	Alt AltStack
	// StrictAltStack is a size that alternate stacks have to exceed, beside
	// [MinAltStackSize]. It is 0 as in a kernel without strict_sas_size, as long as
	// the process has not asked for permission to use processor state that is only
	// given on request (sigaltstack_size_valid in arch/x86/kernel/signal.c).
	StrictAltStack uint64
	// Trap is the last exception.
	Trap Trap
}

// SetMask is rt_sigprocmask(2) with a set. size is the caller's sigsetsize. The error
// is EINVAL, and nothing has changed then. A call without a set changes nothing
// and its how may be anything.
func (t *Thread) SetMask(how int32, set Set, size uint64) error {
	if size != SetSize {
		return syscall.EINVAL
	}
	switch how {
	case HowBlock:
		set |= t.Blocked
	case HowUnblock:
		set = t.Blocked &^ set
	case HowSet:
	default:
		return syscall.EINVAL
	}
	t.setBlocked(set)
	return nil
}

// Suspend replaces the mask until a handler has returned or [Thread.Resume] puts
// the old one back, as rt_sigsuspend(2), ppoll(2) and their like do. The frame of a
// handler that runs meanwhile holds the mask of before.
func (t *Thread) Suspend(mask Set) {
	t.Saved, t.Suspended = t.Blocked, true
	t.setBlocked(mask)
}

// Resume puts back the mask that [Thread.Suspend] replaced, when the call is over
// and no handler runs. It does nothing otherwise.
func (t *Thread) Resume() {
	if t.Suspended {
		t.Suspended = false
		t.setBlocked(t.Saved)
	}
}

// toSave returns the mask that belongs into a frame (sigmask_to_save).
func (t *Thread) toSave() Set {
	if t.Suspended {
		return t.Saved
	}
	return t.Blocked
}

// Mask returns the mask that somebody has who blocks all of s that can be blocked.
func Mask(s uint64) Set { return Set(s) &^ unblockable }

func (t *Thread) setBlocked(s Set) { t.Blocked = Mask(uint64(s)) }

// AltStack returns what sigaltstack(2) tells code whose stack pointer is sp.
func (t *Thread) AltStack(sp uint64) AltStack {
	a := t.Alt
	a.Flags = a.state(sp) | a.Flags&SSAutoDisarm
	return a
}

// SetAltStack is sigaltstack(2), called with stack pointer sp (do_sigaltstack in
// kernel/signal.c). The error is EPERM, EINVAL or ENOMEM, and nothing has changed
// then.
func (t *Thread) SetAltStack(a AltStack, sp uint64) error {
	if t.Alt.active(sp) {
		return syscall.EPERM
	}
	switch mode := a.Flags &^ SSAutoDisarm; {
	case mode != SSDisable && mode != SSOnStack && mode != 0:
		return syscall.EINVAL
	case a == t.Alt:
		return nil
	case mode == SSDisable:
		a.SP, a.Size = 0, 0
	case a.Size < MinAltStackSize, t.StrictAltStack != 0 && a.Size <= t.StrictAltStack:
		return syscall.ENOMEM
	}
	t.Alt = a
	return nil
}

// Clone returns the state of a thread or process that t creates. beside is true when
// it runs beside t in the same memory (CLONE_VM without CLONE_VFORK): then it has no
// alternate stack (copy_process in kernel/fork.c).
func (t *Thread) Clone(beside bool) Thread {
	c := *t
	c.Suspended = false
	if beside {
		c.Alt = noAltStack
	}
	return c
}

// Exec is what execve(2) does: the alternate stack is gone, its flags stay
// (begin_new_exec in fs/exec.c).
func (t *Thread) Exec() { t.Alt.SP, t.Alt.Size = 0, 0 }
