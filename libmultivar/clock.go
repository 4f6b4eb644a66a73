package libmultivar

import (
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Clocks that are the same for everybody on a host (include/uapi/linux/time.h).
const (
	clockRealtime        = 0
	clockMonotonic       = 1
	clockMonotonicRaw    = 4
	clockRealtimeCoarse  = 5
	clockMonotonicCoarse = 6
	clockBoottime        = 7
	clockTAI             = 11
)

// prepareClock answers a call that tells the time, if the front-end can read the clock: the
// leader is spared the way into the kernel and its stop behind it, and programs without a
// vDSO do little else so often.
func (e *Engine) prepareClock(th *thread, ev *record) {
	clocks, ok := e.host.(frontend.Clocks)
	if !ok || !e.caps.Clocks || e.followers == 0 {
		return
	}
	args := ev.raw.Args
	q, ok := clockAsked(ev.name, args)
	if !ok {
		return
	}
	th.readings.asked++
	switch q.clock {
	case clockRealtime, clockMonotonic, clockMonotonicRaw, clockRealtimeCoarse, clockMonotonicCoarse, clockBoottime, clockTAI:
	default:
		// Of the caller's, or a device's.
		return
	}
	seconds, nanoseconds, err := clocks.Clock(int(q.clock))
	if err != nil {
		return
	}
	e.answer(ev, q.result(seconds))
	if args[q.arg] == 0 {
		if ev.name == clockGettime {
			ev.ret = -eFAULT
		}
		return
	}
	kind := sysabi.Struct
	if q.unit == time.Second {
		kind = sysabi.Buf
	}
	ev.outs = []event.Field{{Arg: uint8(q.arg), Part: event.PartValue, Kind: kind, Data: q.data(seconds, nanoseconds)}}
	ev.toLeader = true
}
