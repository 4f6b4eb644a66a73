//go:build linux && amd64

package kvmsandbox

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
)

// A page that the guest touches for the first time costs an exit to the kernel of the
// host, which costs more than a fault of a process does. Memory that a program fills
// from one end to the other is populated ahead, a window at a time: the machine then
// takes several pages per exit.

// ahead notes how a memory's windows are entered.
type ahead struct {
	last    uint64 // the window that was entered last for a write
	up, run bool   // in which direction, and whether it is the direction of the one before
}

// enters notes a write to a window that was not entered before and says whether it and
// the two before lie one behind the other.
func (a *ahead) enters(window uint64) bool {
	up, next := window == a.last+guestmem.WindowSize, window+guestmem.WindowSize == a.last
	run := (up || next) && a.run && a.up == up
	a.run, a.up, a.last = up || next, up, window
	return run
}

// populate returns the calls that populate the window of page, in mapping v, if the
// program fills its memory window after window: at most that many bytes are populated
// that it may never touch.
func (s *session) populate(t *task, page uint64, v frontend.Mapping) ([]vhost.Call, error) {
	window := page &^ (guestmem.WindowSize - 1)
	a := &t.proc.mm.ahead
	if v.Shared || v.Prot&protWrite == 0 || !a.enters(window) {
		return nil, nil
	}
	before := window - guestmem.WindowSize
	if !a.up {
		before = window + guestmem.WindowSize
	}
	if before < v.Start || before+guestmem.WindowSize > v.End {
		return nil, nil
	}
	full, err := s.resident(t, before, guestmem.WindowSize)
	if err != nil || !full {
		return nil, err
	}
	start, end := max(v.Start, window), min(v.End, window+guestmem.WindowSize)
	// What cannot be populated is found when it is touched.
	return []vhost.Call{{Nr: unix.SysMadvise, Args: [6]uint64{start, end - start, unix.MadvPopulateWrite}}}, nil
}

// resident says whether all but a few pages of a range are in memory.
func (s *session) resident(t *task, start, size uint64) (bool, error) {
	pages := int(size / pageSize)
	x := t.scratch()
	at := x.put(make([]byte, pages))
	ret, err := s.call1(t, unix.SysMincore, start, size, at)
	if err != nil || ret < 0 {
		return false, err
	}
	missing := 0
	for _, b := range x.get(at, pages) {
		if b&1 == 0 {
			missing++
		}
	}
	return missing <= pages/16, nil
}
