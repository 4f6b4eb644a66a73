//go:build linux && amd64

package kvmsandbox

import (
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// A signal that was taken from the kernel and that the program does not get yet goes back to the
// kernel, where the program's calls find it (requeue). SIGCONT must not: whoever sends it lets a
// stopped process go on and drops what is about to stop it (prepare_signal in kernel/signal.c). A
// SIGSTOP that was sent since would have no effect, and whoever waits for that would wait for
// ever. So it stays in the queue, as do the signals of a native program's instructions (heldBack),
// and the calls that the kernel would have kept from sleeping because of it are told by the monitor.

// take puts a signal that was taken from the kernel into the queue. Of SIGCONT there is one, as
// there would be in the kernel.
func (t *task) take(info [128]byte) {
	if (*signals.Info)(&info).Signo() == signals.SIGCONT && slices.ContainsFunc(t.queue, isContinue) {
		return
	}
	t.queue = append(t.queue, info)
}

func isContinue(info [128]byte) bool { return (*signals.Info)(&info).Signo() == signals.SIGCONT }

// oneContinue takes SIGCONT from the kernel, where there is one, when the program gets one that
// stayed here: both would have been one.
func (s *session) oneContinue(t *task, info [128]byte) error {
	if !t.leads() || !isContinue(info) {
		return nil
	}
	_, _, err := s.pending(t, ^signals.SetOf(signals.SIGCONT))
	return err
}

// held says whether there is a signal for t's program of which the kernel does not know.
func (t *task) held() bool { return t.leads() && len(t.queue) > 0 }

// cutByHeld ends the call at hand, which may sleep and has not been made, because of such a signal,
// and says whether one is to end it.
func (s *session) cutByHeld(t *task) bool {
	mask := s.maskOf(t, t.call.ranNr, t.call.ranArgs)
	for _, q := range t.queue {
		n := (*signals.Info)(&q).Signo()
		blocked := t.sig.Blocked.Has(n)
		if blocked && (mask == nil || mask.Has(n)) {
			continue
		}
		ret := int64(vhost.NotExecuted)
		if blocked || s.cameToWait(t, q) {
			ret = -int64(syscall.EINTR)
		}
		s.endCall(t, ret, true)
		return true
	}
	return false
}
