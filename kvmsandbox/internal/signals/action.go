package signals

import (
	"encoding/binary"
	"syscall"
)

// Handlers that are no addresses (asm-generic/signal-defs.h).
const (
	// Default is SIG_DFL: the default action.
	Default = 0
	// Ignored is SIG_IGN.
	Ignored = 1
)

// Flags of an [Action] (asm-generic/signal-defs.h, asm/signal.h).
const (
	SANoChildStop = 0x1
	SANoChildWait = 0x2
	SASigInfo     = 0x4
	SAExposeTags  = 0x800
	SARestorer    = 0x04000000
	SAOnStack     = 0x08000000
	SARestart     = 0x10000000
	SANoDefer     = 0x40000000
	SAResetHand   = 0x80000000

	// saKnown is UAPI_SA_FLAGS (include/linux/signal_types.h).
	saKnown = SANoChildStop | SANoChildWait | SASigInfo | SAExposeTags |
		SARestorer | SAOnStack | SARestart | SANoDefer | SAResetHand
)

// Action is what a process does on a signal: struct kernel_sigaction.
type Action struct {
	// Handler is an address, [Default] or [Ignored].
	Handler  uint64
	Flags    uint64
	Restorer uint64
	// Mask are the signals that are blocked while the handler runs.
	Mask Set
}

// ActionSize is the size of struct kernel_sigaction in bytes.
const ActionSize = 32

// DecodeAction reads a struct kernel_sigaction.
func DecodeAction(b *[ActionSize]byte) Action {
	return Action{
		Handler:  binary.LittleEndian.Uint64(b[0:]),
		Flags:    binary.LittleEndian.Uint64(b[8:]),
		Restorer: binary.LittleEndian.Uint64(b[16:]),
		Mask:     Set(binary.LittleEndian.Uint64(b[24:])),
	}
}

// Encode returns the action as a struct kernel_sigaction.
func (a Action) Encode() [ActionSize]byte {
	var b [ActionSize]byte
	binary.LittleEndian.PutUint64(b[0:], a.Handler)
	binary.LittleEndian.PutUint64(b[8:], a.Flags)
	binary.LittleEndian.PutUint64(b[16:], a.Restorer)
	binary.LittleEndian.PutUint64(b[24:], uint64(a.Mask))
	return b
}

// Dispositions are the actions of a process, one for each signal. Processes that
// were created with CLONE_SIGHAND share one. The zero value is that of a process
// which never called sigaction(2).
type Dispositions struct {
	actions [Max]Action
}

// Action returns the action of signal n, the zero Action when n is no signal.
func (d *Dispositions) Action(n int) Action {
	if bit(n) == 0 {
		return Action{}
	}
	return d.actions[n-1]
}

// Set is rt_sigaction(2) (do_sigaction in kernel/signal.c): it returns the action
// of signal n and replaces it unless act is nil. Flags that the kernel does not
// know are dropped, which is how programs find out. size is the caller's
// sigsetsize. The error is EINVAL, and nothing has changed then.
//
// A signal that is ignored from now on must also be dropped where it is pending;
// [Dispositions.Effect] tells.
func (d *Dispositions) Set(n int, act *Action, size uint64) (old Action, err error) {
	if size != SetSize || bit(n) == 0 || act != nil && unblockable.Has(n) {
		return Action{}, syscall.EINVAL
	}
	old = d.actions[n-1]
	if act != nil {
		a := *act
		a.Flags &= saKnown
		a.Mask &^= unblockable
		d.actions[n-1] = a
	}
	return old, nil
}

// Clone returns a copy, for a process that is created without CLONE_SIGHAND.
func (d *Dispositions) Clone() *Dispositions {
	c := *d
	return &c
}

// Reset is what execve(2) does, and clone3(2) with CLONE_CLEAR_SIGHAND:
// everything but what is ignored is handled by default from now on, and flags and
// masks are gone (flush_signal_handlers in kernel/signal.c).
func (d *Dispositions) Reset() {
	for i := range d.actions {
		a := Action{Handler: Default}
		if d.actions[i].Handler == Ignored {
			a.Handler = Ignored
		}
		d.actions[i] = a
	}
}

// Effect returns what signal n would do now. Ignore and Continue are also those
// signals that the kernel does not even queue unless they are blocked.
func (d *Dispositions) Effect(n int) Effect {
	switch d.Action(n).Handler {
	case Ignored:
		return Ignore
	case Default:
		return DefaultEffect(n)
	}
	return Handle
}

// Deliver returns what signal n does now that it is delivered, and the action with
// which a handler runs (get_signal in kernel/signal.c). With SA_RESETHAND the next
// one is handled by default; the flags stay.
func (d *Dispositions) Deliver(n int) (Action, Effect) {
	act, effect := d.Action(n), d.Effect(n)
	if effect == Handle && act.Flags&SAResetHand != 0 {
		d.actions[n-1].Handler = Default
	}
	return act, effect
}

// Force makes sure that signal n, which t cannot go on without, is neither ignored
// nor blocked: what would hold it back is undone, and it kills
// (force_sig_info_to_task in kernel/signal.c). The caller delivers it next. Signals
// of a thread's own faults come this way.
func Force(d *Dispositions, t *Thread, n int) {
	force(d, t, n, t.Blocked.Has(n) || d.Action(n).Handler == Ignored)
}

// ForceSegv is [Force] of SIGSEGV after the frame of signal failed could not be
// made. If that was SIGSEGV itself no handler will get it
// (force_sigsegv in kernel/signal.c).
func ForceSegv(d *Dispositions, t *Thread, failed int) {
	if failed == SIGSEGV {
		force(d, t, SIGSEGV, true)
		return
	}
	Force(d, t, SIGSEGV)
}

func force(d *Dispositions, t *Thread, n int, byDefault bool) {
	if bit(n) == 0 || !byDefault {
		return
	}
	d.actions[n-1].Handler = Default
	t.Blocked &^= bit(n)
}
