//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"fmt"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/internal/unix"
)

// SIGCONT that is sent drops what stops of the signals that are pending, and one that stops drops
// SIGCONT, both before anybody is told (prepare_signal in kernel/signal.c). A signal that the
// monitor raises in a task must not be dropped, for it has been decided that the task gets it there,
// nor may it drop what others have sent, or let a process go on that is stopped. So in the place of
// these another one is raised, a carrier, that is exchanged when the task stops for it.

// deferred is a signal that was put aside, and the number of the one that is raised for it.
type deferred struct {
	info   unix.SigInfo
	raised syscall.Signal
}

// raiseCarrier is raise of sig, or of another one by which it comes: the one that is returned. That
// is one that is neither in blocked nor, when that is nil, blocked by t. Where no other one is let
// in it is sig itself.
func (s *session) raiseCarrier(t *task, sig syscall.Signal, blocked *uint64) (syscall.Signal, error) {
	if sig != syscall.SIGCONT && !stops(sig) {
		return sig, s.raise(t, sig)
	}
	var mask uint64
	if blocked != nil {
		mask = *blocked
	} else if set, ok := statusSet(t.id.Host, "SigBlk:"); ok {
		// Within a call that changes the mask while it waits a tracer is told the one behind it
		// (PTRACE_GETSIGMASK), which is not the one that counts.
		mask = set
	} else {
		return sig, s.raise(t, sig)
	}
	for n := syscall.Signal(lastSignal); n >= 1; n-- {
		if !carries(n) || has(mask, n) {
			continue
		}
		err := unix.Tgkill(t.proc.pid, t.id.Host, n)
		if err == syscall.EAGAIN {
			// The user can have no signal queued: one below firstRealTime comes all the same.
			n = min(n, firstRealTime)
			continue
		}
		t.sent |= 1 << (n - 1)
		return n, err
	}
	return sig, s.raise(t, sig)
}

// lastSignal is the last of the signals.
const lastSignal = 64

// carries says whether a signal can be a carrier: it drops no other, none drops it, and it means no
// fault.
func carries(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGKILL, syscall.SIGCONT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL,
		syscall.SIGTRAP, syscall.SIGSYS:
		return false
	}
	return !stops(sig)
}

// isFor says whether a signal with which a task stops is the one of in; own, that the monitor has
// raised it. One in the place of another that queues is told from somebody else's by that. The
// kernel has dropped one that does not queue when somebody else's was there.
func (in *interrupt) isFor(sig syscall.Signal, own bool) bool {
	return in != nil && in.raised == sig &&
		(own || sig < firstRealTime || in.raised == syscall.Signal(in.signal.Number))
}

// blocked is the error for a signal that has not been delivered.
func (in *interrupt) blocked() error {
	return fmt.Errorf("signal %d did not arrive: it is blocked", in.signal.Number)
}

// has says whether sig is in set.
func has(set uint64, sig syscall.Signal) bool { return set>>(sig-1)&1 != 0 }

// statusSet returns a set of signals from proc(5)'s status file.
func statusSet(host int, name string) (uint64, bool) {
	text, ok := statusText(host, name)
	if !ok {
		return 0, false
	}
	set, err := strconv.ParseUint(text, 16, 64)
	return set, err == nil
}
