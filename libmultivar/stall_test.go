package libmultivar

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
)

// When tasks wait for each other and nobody moves, the user is told who waits for what, and
// the session ends. As long as one computes, or the leader sleeps in the kernel, it goes on.
func TestStall(t *testing.T) {
	entry := frontend.Call{Nr: callNr("exit_group")}
	for name, tc := range map[string]struct {
		set   func(b *bench)
		stall bool
	}{
		"a rendezvous that nobody comes to": {func(b *bench) {
			b.e.OnSyscall(b.th.sides[0].task, entry)
			b.th.sides[1].stop, b.th.sides[1].inCall = running, &record{}
		}, true},
		"a turn that nobody gives": {func(b *bench) {
			b.th.sides[0].stop, b.th.sides[0].inCall = running, &record{}
			b.th.sides[1].stop = ready
		}, true},
		"the kernel works for the one that has the turn": {func(b *bench) {
			b.th.sides[0].stop, b.th.sides[0].inCall = running, &record{}
			d := b.th.sides[0].domain
			d.sides[0].runners = []*thread{b.th}
			b.th.sides[1].stop = ready
		}, false},
		"a follower computes": {func(b *bench) {
			b.e.OnSyscall(b.th.sides[0].task, entry)
			b.th.sides[1].stop = running
		}, false},
		"the leader sleeps": {func(b *bench) {
			b.th.sides[0].stop, b.th.sides[0].inCall = running, &record{}
			b.th.sides[1].stop = atEntry
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			var notices []string
			b.e.cfg.Notice = func(text string) { notices = append(notices, text) }
			tc.set(b)
			for now := time.Second; now < 5*DefaultStallTimeout && b.e.Err() == nil; now += time.Second {
				b.e.now = now
				b.e.checkStall()
				if moved := DefaultStallTimeout + 5*time.Second; now == moved && len(notices) == 1 {
					// What moves starts it anew.
					b.e.stall.reports++
				}
			}
			if got := errors.Is(b.e.Err(), ErrStalled); got != tc.stall {
				t.Fatalf("stalled %v: %v", got, b.e.Err())
			}
			if !tc.stall {
				if len(notices) != 0 {
					t.Error(notices)
				}
				return
			}
			if len(notices) != 2 || !strings.Contains(b.e.Err().Error(), "waits for") || strings.Contains(b.e.Err().Error(), "\n") {
				t.Errorf("notices %q, error %v", notices, b.e.Err())
			}
		})
	}
}
