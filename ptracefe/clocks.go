//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"time"

	"github.com/multivar/multivar/frontend"
)

// Clocks that tell everybody the same and that the vDSO tells without a call where it can
// (include/uapi/linux/time.h, include/vdso/datapage.h). Programs read no others by themselves.
const (
	toldClocks     = 1<<0 | 1<<monotonicClock | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<11
	monotonicClock = 1
	clockCount     = 12
)

// clocks judge what programs say that clocks have told them.
type clocks struct {
	read func(id int) (seconds, nanoseconds int64, err error)
	// ahead is how far each clock was ahead of the monotonic one when it was last looked at, moved
	// by how much that has changed since the session began, to and fro; start is what the monotonic
	// one told then.
	ahead, moved [clockCount]time.Duration
	start        time.Duration
}

// moment is when the readings of a program were looked at.
type moment struct {
	mono  time.Duration
	moved [clockCount]time.Duration
}

// moment returns the present one.
func (c *clocks) moment() moment { return moment{c.now(monotonicClock), c.moved} }

const (
	// coarseClocks are those that the kernel moves on with its ticks, which may be late on a virtual
	// machine; coarseLag is by how much they may lag behind.
	coarseClocks = 1<<5 | 1<<6
	coarseLag    = 10 * time.Second
	// leastStep is by how much other clocks may move against the monotonic one at least.
	leastStep = 100 * time.Microsecond
)

func newClocks(read func(id int) (seconds, nanoseconds int64, err error)) clocks {
	c := clocks{read: read}
	c.start = c.now(monotonicClock)
	for id := range c.ahead {
		if isTold(uint32(id)) {
			c.ahead[id] = c.now(id) - c.now(monotonicClock)
		}
	}
	return c
}

func (c *clocks) now(id int) time.Duration {
	seconds, nanoseconds, _ := c.read(id)
	return span(seconds, nanoseconds)
}

// span is a time that is not before 1970 and less than two hundred years behind that, else negative.
func span(seconds, nanoseconds int64) time.Duration {
	const most = 200 * 365 * 86400
	if seconds < 0 || seconds > most || nanoseconds < 0 || nanoseconds >= int64(time.Second) {
		return -1
	}
	return time.Duration(seconds)*time.Second + time.Duration(nanoseconds)
}

// plausible returns how many of a program's readings clocks can have told since a moment. Where a
// clock has moved against the monotonic one meanwhile, because it was set, or the machine slept, it can
// have told what it would have without that. One goes faster than the other while that is adjusted, by a
// tenth at most (adjtimex(2), tick).
func (c *clocks) plausible(list []frontend.Reading, since *moment) int {
	var now [clockCount]time.Duration
	for _, r := range list {
		if isTold(r.Clock) && now[r.Clock] == 0 {
			now[r.Clock] = c.now(int(r.Clock))
		}
	}
	// Behind them, because who loses the processor in between must not find that they told too much.
	mono := c.now(monotonicClock)
	longest := mono - max(since.mono, c.start)
	var doubt [clockCount]time.Duration
	for id, at := range now {
		if at == 0 || id == monotonicClock {
			continue
		}
		moved := at - mono - c.ahead[id]
		c.ahead[id] += moved
		c.moved[id] += moved.Abs()
		doubt[id] = c.moved[id] - since.moved[id] + leastStep
	}
	for i, r := range list {
		if !isTold(r.Clock) {
			return i
		}
		told, most := span(r.Seconds, r.Nanoseconds), longest+doubt[r.Clock]
		if r.Clock != monotonicClock {
			most += longest / 8
		}
		if coarseClocks>>r.Clock&1 != 0 {
			most += coarseLag
		}
		if age := now[r.Clock] - told; told < 0 || age < -doubt[r.Clock] || age > most {
			return i
		}
	}
	return len(list)
}

// isTold reports whether programs read a clock by themselves.
func isTold(id uint32) bool { return id < clockCount && toldClocks>>id&1 != 0 }
