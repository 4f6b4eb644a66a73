//go:build linux && amd64

package kvmsandbox

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
)

// span is a range of addresses, end exclusive.
type span struct{ start, end uint64 }

// around returns the pages of size bytes at addr, nothing when that is no range of
// the user address space.
func around(addr, size uint64) span {
	if size == 0 || addr >= userEnd || size > userEnd-addr {
		return span{}
	}
	return span{addr &^ (pageSize - 1), (addr + size + pageSize - 1) &^ (pageSize - 1)}
}

// memoryChange says which parts of memory a call may change, before it is made:
// the guest's entries for them go first, because the machine forgets what it knew
// of them only when the process's own memory changes after that.
type memoryChange func(s *session, t *task, a [6]uint64) ([]span, error)

// memoryCalls are the calls that change what is mapped where.
var memoryCalls = map[int64]memoryChange{
	unix.SysMmap:           mmapChange,
	unix.SysMunmap:         rangeChange,
	unix.SysMprotect:       rangeChange,
	unix.SysPkeyMprotect:   rangeChange,
	unix.SysRemapFilePages: rangeChange,
	unix.SysMremap:         mremapChange,
	unix.SysBrk:            brkChange,
	unix.SysShmat:          shmatChange,
	unix.SysShmdt:          shmdtChange,
}

// rangeChange: the first two arguments are the range.
func rangeChange(_ *session, _ *task, a [6]uint64) ([]span, error) {
	return []span{around(a[0], a[1])}, nil
}

func mmapChange(_ *session, _ *task, a [6]uint64) ([]span, error) {
	if a[3]&unix.MapFixed == 0 {
		return nil, nil
	}
	return []span{around(a[0], a[1])}, nil
}

func mremapChange(_ *session, _ *task, a [6]uint64) ([]span, error) {
	list := []span{around(a[0], max(a[1], a[2]))}
	if a[3]&unix.MremapFixed != 0 {
		list = append(list, around(a[4], a[2]))
	}
	return list, nil
}

// brkChange: the heap shrinks from its end down to the argument.
func brkChange(_ *session, t *task, a [6]uint64) ([]span, error) {
	end := t.proc.mm.brk
	if a[0] == 0 || a[0] >= end {
		return nil, nil
	}
	return []span{around(a[0], end-a[0]+pageSize)}, nil
}

// shmatChange: SHM_REMAP replaces what was there, and only the kernel knows how
// large the segment is.
func shmatChange(_ *session, _ *task, a [6]uint64) ([]span, error) {
	const remap = 0o40000
	if a[2]&remap == 0 || a[1] >= userEnd {
		return nil, nil
	}
	return []span{{a[1] &^ (pageSize - 1), guestmem.UserEnd}}, nil
}

func shmdtChange(s *session, t *task, a [6]uint64) ([]span, error) {
	v, err := s.mapping(t, a[0])
	if err != nil || v.Start > a[0] {
		return nil, err
	}
	return []span{{v.Start, v.End}}, nil
}

// prepareMachine makes the guest ready for a call that changes memory: its entries for what
// the call may change are taken, and the call becomes one whose pages it can have.
func (s *session) prepareMachine(t *task, nr int64, args *[6]uint64) error {
	if s.native() {
		return nil
	}
	readable(nr, args)
	if change := memoryCalls[nr]; change != nil {
		return s.clear(t, *args, change)
	}
	return nil
}

// clear takes the guest's entries for what a call may change.
func (s *session) clear(t *task, args [6]uint64, change memoryChange) error {
	spans, err := change(s, t, args)
	if err != nil {
		return err
	}
	for _, r := range spans {
		if r.start < r.end {
			if err := t.proc.mm.space.Clear(r.start, min(r.end, guestmem.UserEnd)); err != nil {
				return err
			}
		}
	}
	return nil
}

// runMemoryCall makes a call that changes memory. Until it is done the guest gets no
// new entries: they would be made from what was mapped before, and stay.
func (s *session) runMemoryCall(t *task, nr int64, args [6]uint64) error {
	if err := s.prepareMachine(t, nr, &args); err != nil {
		return err
	}
	t.proc.mm.rewriting.noted(nr, args)
	t.changes = t.proc.mm
	t.changes.changing++
	s.post(t, []vhost.Call{{Nr: nr, Args: args}}, false, func() {
		s.changed(t)
		ret := t.blk.Result(0)
		if nr == unix.SysBrk && ret > 0 {
			t.proc.mm.brk = uint64(ret)
		}
		s.callMade(t)
	})
	return nil
}

// changed notes that t's call on memory has ended and lets tasks go on that waited for
// it: they fault again.
func (s *session) changed(t *task) {
	m := t.changes
	if m == nil {
		return
	}
	t.changes = nil
	if m.changing--; m.changing > 0 {
		return
	}
	for _, o := range m.parked {
		s.later(o, func() { s.check(o, s.enter(o, nil)) })
	}
	m.parked = nil
}

// readable adds the right to read to memory that is to be written or executed only.
// The processor can read such pages anyway, but the machine gets no page from the
// kernel that the process may not read.
func readable(nr int64, a *[6]uint64) {
	switch nr {
	case unix.SysMmap, unix.SysMprotect, unix.SysPkeyMprotect:
		if a[2]&(protWrite|protExec) != 0 {
			a[2] |= protRead
		}
	}
}

// makeArea maps memory for the monitor in t's process. Nothing was there, so the guest has
// no entries for it that would have to go.
func (s *session) makeArea(t *task, a *frontend.Area) (ret int64, err error) {
	ret, err = s.call1(t, unix.SysMmap, a.Addr, a.Size, protRead|protWrite,
		unix.MapPrivate|unix.MapAnonymous|unix.MapFixedNoreplace, ^uint64(0), 0)
	if err != nil || ret < 0 {
		return ret, err
	}
	if _, err := s.WriteVariantMem(t.id, a.Addr, a.Content); err != nil {
		return 0, err
	}
	return 0, nil
}
