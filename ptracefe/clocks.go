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
	// ahead is how far each clock was ahead of the monotonic one when it was last looked at, start
	// what the latter told first.
	ahead [clockCount]time.Duration
	start time.Duration
}

const (
	// coarseLag is by how much a coarse clock may lag behind: a tick of the slowest kernel.
	coarseLag = 20 * time.Millisecond
	// stepAbove is by how much a clock that is set, or that stands while the machine sleeps, moves
	// against the monotonic one. What adjusts them all the time does less.
	stepAbove = time.Millisecond
)

func newClocks(read func(id int) (seconds, nanoseconds int64, err error)) clocks {
	c := clocks{read: read}
	c.start = c.now(monotonicClock)
	for id := range c.ahead {
		if toldClocks>>id&1 != 0 {
			c.ahead[id] = c.now(id) - c.now(monotonicClock)
		}
	}
	return c
}

func (c *clocks) now(id int) time.Duration {
	seconds, nanoseconds, _ := c.read(id)
	return span(seconds, nanoseconds)
}

// unknownTime is that of a clock that has been set.
const unknownTime = time.Duration(-1)

// span is a time that is not before 1970 and less than two hundred years behind that, else negative.
func span(seconds, nanoseconds int64) time.Duration {
	const most = 200 * 365 * 86400
	if seconds < 0 || seconds > most || nanoseconds < 0 || nanoseconds >= int64(time.Second) {
		return -1
	}
	return time.Duration(seconds)*time.Second + time.Duration(nanoseconds)
}

// plausible returns how many of a program's readings clocks can have told since the monotonic one
// told since, and what that tells now. Of a clock that has been set meanwhile it is not known.
func (c *clocks) plausible(list []frontend.Reading, since time.Duration) (n int, mono time.Duration) {
	mono = c.now(monotonicClock)
	longest := mono - max(since, c.start) + coarseLag
	var now [clockCount]time.Duration
	for i, r := range list {
		if r.Clock >= clockCount || toldClocks>>r.Clock&1 == 0 {
			return i, mono
		}
		told := span(r.Seconds, r.Nanoseconds)
		if now[r.Clock] == 0 {
			now[r.Clock] = c.look(int(r.Clock), mono)
		}
		at := now[r.Clock]
		if told < 0 || at != unknownTime && (told > at || at-told > longest) {
			return i, mono
		}
	}
	return len(list), mono
}

// look returns what a clock tells now, unknownTime if it has been set since it was last looked at.
func (c *clocks) look(id int, mono time.Duration) time.Duration {
	at := c.now(id)
	moved := at - mono - c.ahead[id]
	c.ahead[id] += moved
	if id != monotonicClock && moved.Abs() > stepAbove+coarseLag {
		return unknownTime
	}
	return at
}
