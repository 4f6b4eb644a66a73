package libmultivar

import "github.com/multivar/multivar/frontend"

// futexNuma has the kernel write the number of a node beside the futex (FUTEX2_NUMA),
// which no Linux before 6.16 does. It is refused as these refuse it.
const futexNuma = 4

// Of struct futex_waitv.
const (
	futexRecord = 24
	recordFlags = 16
)

// prepareFutex2 refuses futexes that the kernel would write to. With threads in parallel
// it refuses all: programs fall back to futex(2).
func (e *Engine) prepareFutex2(th *thread, ev *record) {
	if e.parallel() {
		e.answer(ev, -eNOSYS)
		return
	}
	numa := false
	switch ev.name {
	case "futex_wait", "futex_wake":
		numa = ev.raw.Args[3]&futexNuma != 0
	default:
		const requeued = 2
		n := uint64(requeued)
		if a := &ev.call.Args[1]; a.Most != 0 {
			n = countOf(a, ev.raw.Args[1])
			if n > a.Most {
				return
			}
		}
		raw := make([]byte, n*futexRecord)
		got, err := e.host.ReadVariantMem(th.sides[frontend.Leader].task, ev.raw.Args[0], raw)
		if err != nil {
			raw = raw[:got]
		}
		for ; len(raw) >= futexRecord; raw = raw[futexRecord:] {
			numa = numa || raw[recordFlags]&futexNuma != 0
		}
	}
	if numa {
		e.answer(ev, -eINVAL)
	}
}
