//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
)

// A program's readings are believed as far as the clocks can have told them.
func TestPlausibleReadings(t *testing.T) {
	const start = 1000 * time.Second
	const realAhead = 50 * 365 * 24 * time.Hour
	mono, ahead := start, realAhead
	read := func(id int) (seconds, nanoseconds int64, err error) {
		at := mono
		if id != monotonicClock {
			at += ahead
		}
		return int64(at / time.Second), int64(at % time.Second), nil
	}
	c := newClocks(read)
	mono += time.Second
	at := func(clock uint32, d time.Duration) frontend.Reading {
		return frontend.Reading{Clock: clock, Seconds: int64(d / time.Second), Nanoseconds: int64(d % time.Second)}
	}
	since := &moment{mono: mono - 10*time.Millisecond}
	for name, test := range map[string]struct {
		list []frontend.Reading
		want int
	}{
		"nothing":              {nil, 0},
		"just now":             {[]frontend.Reading{at(1, mono), at(0, mono+realAhead), at(5, mono+realAhead-5*time.Second)}, 3},
		"when it went on":      {[]frontend.Reading{at(1, since.mono), at(1, mono)}, 2},
		"later":                {[]frontend.Reading{at(1, mono), at(1, mono+1)}, 1},
		"long ago":             {[]frontend.Reading{at(1, since.mono-time.Second), at(1, mono)}, 0},
		"another clock's":      {[]frontend.Reading{at(0, mono)}, 0},
		"later by a real one":  {[]frontend.Reading{at(0, mono+realAhead+time.Microsecond), at(0, mono+realAhead+time.Millisecond)}, 1},
		"a process's clock":    {[]frontend.Reading{at(2, mono)}, 0},
		"no clock":             {[]frontend.Reading{at(1<<31, mono)}, 0},
		"an address":           {[]frontend.Reading{{Clock: 1, Seconds: 0x5555_5555_4000}}, 0},
		"before all times":     {[]frontend.Reading{{Clock: 1, Seconds: -1}}, 0},
		"too many nanoseconds": {[]frontend.Reading{{Clock: 1, Seconds: 1000, Nanoseconds: 1e9}}, 0},
		"no nanoseconds":       {[]frontend.Reading{{Clock: 1, Seconds: 1001, Nanoseconds: -1}}, 0},
	} {
		if n := c.plausible(test.list, since); n != test.want {
			t.Errorf("%s: %d of %d are believed, want %d", name, n, len(test.list), test.want)
		}
	}
	// Before the session's first one everything since its start may be.
	if n := c.plausible([]frontend.Reading{at(1, start), at(1, start-time.Second)}, &moment{}); n != 1 {
		t.Errorf("%d readings since the start", n)
	}
	// Somebody sets the clock. Whoever is looked at first, others may have read it before, too.
	other := *since
	ahead += time.Hour
	if n := c.plausible([]frontend.Reading{at(0, mono+realAhead), at(0, mono+ahead)}, since); n != 2 {
		t.Errorf("%d readings of a clock that was set", n)
	}
	if n := c.plausible([]frontend.Reading{at(0, mono+realAhead)}, &other); n != 1 {
		t.Error("another program's reading of a clock that was set")
	}
	now := c.moment()
	if n := c.plausible([]frontend.Reading{at(0, mono+realAhead)}, &now); n != 0 {
		t.Error("a time from before the clock was set")
	}
	// It is set by less than can be told from what adjusts it.
	ahead -= 5 * time.Millisecond
	if n := c.plausible([]frontend.Reading{at(0, mono+ahead+5*time.Millisecond), at(0, mono+ahead+8*time.Millisecond)}, &now); n != 1 {
		t.Errorf("%d readings of a clock that was set back", n)
	}
	// It goes faster than the other one.
	now = c.moment()
	mono, ahead = mono+time.Second, ahead+80*time.Millisecond
	if n := c.plausible([]frontend.Reading{at(4, now.mono+ahead-80*time.Millisecond), at(4, mono+ahead)}, &now); n != 2 {
		t.Errorf("%d readings of a clock that is faster", n)
	}
}
