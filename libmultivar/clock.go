package libmultivar

import (
	"encoding/binary"
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
func (e *Engine) prepareClock(_ *thread, ev *record) {
	clocks, ok := e.host.(frontend.Clocks)
	if !ok || !e.caps.Clocks || e.followers == 0 {
		return
	}
	args := ev.raw.Args
	arg, clock, unit := 0, uint64(clockRealtime), time.Nanosecond
	switch ev.name {
	case "clock_gettime":
		arg, clock = 1, uint64(uint32(args[0]))
	case "gettimeofday":
		if args[1] != 0 {
			return
		}
		unit = time.Microsecond
	case "time":
		// The kernel's clock of seconds is the coarse one.
		clock, unit = clockRealtimeCoarse, time.Second
	default:
		return
	}
	switch clock {
	case clockRealtime, clockMonotonic, clockMonotonicRaw, clockRealtimeCoarse, clockMonotonicCoarse, clockBoottime, clockTAI:
	default:
		// Of the caller's, or a device's.
		return
	}
	seconds, nanoseconds, err := clocks.Clock(int(clock))
	if err != nil {
		return
	}
	result := int64(0)
	if unit == time.Second {
		result = seconds
	}
	e.answer(ev, result)
	if args[arg] == 0 {
		if ev.name == "clock_gettime" {
			ev.ret = -eFAULT
		}
		return
	}
	data := binary.LittleEndian.AppendUint64(nil, uint64(seconds))
	kind := sysabi.Buf
	if unit != time.Second {
		kind = sysabi.Struct
		data = binary.LittleEndian.AppendUint64(data, uint64(nanoseconds/int64(unit)))
	}
	ev.outs = []event.Field{{Arg: uint8(arg), Part: event.PartValue, Kind: kind, Data: data}}
	ev.toLeader = true
}
