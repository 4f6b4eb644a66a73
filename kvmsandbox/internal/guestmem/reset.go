//go:build linux && amd64

package guestmem

import "gvisor.dev/gvisor/pkg/hostarch"

// NeedsReset says that it is time for a reset, though there is room yet: few pages
// are free, and more than these are empty tables. It is for callers that can choose
// the moment.
func (s *Space) NeedsReset() bool {
	free := s.arena.free()
	return len(s.arena.stale) > 0 || free < s.arena.size()/4 && s.empty > free
}

// BeginReset takes out the tables that nothing is mapped by and returns how many
// pages wait for the end of the reset, those of an earlier BeginReset included. If
// there are any, the caller deletes the memory slot that holds Config.Tables, adds
// it anew and calls [Space.ResetDone]. In between, Fill returns [ErrNeedsReset] if it
// needs a table; Clear and Fill in windows that have one go on as usual. The
// program's mappings do not change.
func (s *Space) BeginReset() int {
	if s.arena.corrupt {
		return 0
	}
	if s.empty > 0 {
		for n, c := range s.chunks {
			for i := range c.windows {
				w := &c.windows[i]
				if w.leaf == nil || w.present > 0 {
					continue
				}
				va := n<<chunkShift + uint64(i)<<windowShift
				s.takeOut(va, windowShift)
				w.leaf = nil
				s.directories[va>>directoryShift]--
			}
		}
		s.empty = 0
	}
	for n, leaves := range s.directories {
		if leaves == 0 {
			s.takeOut(n<<directoryShift, directoryShift)
			delete(s.directories, n)
			s.uppers[n>>(rootShift-directoryShift)]--
		}
	}
	for n, directories := range s.uppers {
		if directories == 0 {
			s.takeOut(n<<rootShift, rootShift)
			delete(s.uppers, n)
		}
	}
	return len(s.arena.stale)
}

// takeOut takes out the empty table that maps 1<<shift bytes from va on. Unmap frees
// a table if the range is all that the table maps.
func (s *Space) takeOut(va uint64, shift uint) {
	stale := len(s.arena.stale) + 1
	s.tables.Unmap(hostarch.Addr(va), 1<<shift)
	if len(s.arena.stale) != stale {
		s.arena.corrupt = true
	}
}

// ResetDone says that since the last BeginReset the memory slot that holds
// Config.Tables was deleted and added anew, so that nobody knows the tables any more
// that were taken out.
func (s *Space) ResetDone() { s.arena.recycle() }
