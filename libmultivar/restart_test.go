package libmultivar

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
)

// What a call ends with when a handled signal comes while the kernel makes it again: one
// that is continued by restart_syscall(2) is over, because no follower makes that call, and what
// the kernel has written for it is the program's.
func TestHandledWhileRestarted(t *testing.T) {
	for _, tc := range []struct {
		call      string
		code, ret int64
	}{
		{"restart_syscall", restartBlock, -eINTR},
		{"wait4", restartSys, restartNoIntr},
	} {
		b := newBench(t)
		s := &b.th.sides[frontend.Leader]
		s.call, s.stop = frontend.Call{Nr: callNr(tc.call)}, atEntry
		ev := &record{thread: b.th, interrupted: true, ret: tc.code, outs: make([]event.Field, 1)}
		b.th.events, s.inCall = append(b.th.events, ev), ev
		b.e.interruptAgain(b.th, ev, &frontend.Signal{Number: 10})
		if ev.ret != tc.ret {
			t.Errorf("%s: result %d, want %d", tc.call, ev.ret, tc.ret)
		}
		if over := tc.ret == -eINTR; over != (len(ev.outs) == 1) {
			t.Errorf("%s: %d outputs", tc.call, len(ev.outs))
		}
	}
}
