//go:build linux && amd64

package kvmsandbox

import (
	"time"

	"github.com/multivar/multivar/internal/tsc"
	"github.com/multivar/multivar/internal/unix"
)

// counter is the time stamp counter of programs, by a clock that their agents can read, too. How fast
// it is is measured once, so that it is the same for all.
type counter struct {
	begun mark
	scale tsc.Scale
}

// mark is what counter and clock are at one moment.
type mark struct{ cycles, nanoseconds uint64 }

// marks is how often counter and clock are read for the two that lie closest together.
const marks = 8

// takeMark reads counter and clock.
func takeMark() (m mark) {
	closest := ^uint64(0)
	for range marks {
		before := tsc.Read()
		now := unix.MonotonicRaw()
		if took := tsc.Read() - before; took < closest {
			closest = took
			m = mark{before + took/2, now}
		}
	}
	return m
}

// settled returns what the counter is. Before it is known the caller waits until as much time has
// passed since begun as is needed to measure it; that is hardly ever so by the time a program runs.
func (c *counter) settled() tsc.Scale {
	const enough = 4 * time.Millisecond
	for c.scale.PerNanosecond == 0 {
		now := takeMark()
		passed := time.Duration(now.nanoseconds - c.begun.nanoseconds)
		if passed >= enough {
			c.scale = tsc.NewScale(c.begun.cycles, c.begun.nanoseconds, now.cycles, now.nanoseconds)
			break
		}
		time.Sleep(enough - passed)
	}
	return c.scale
}
