//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"os"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// The limits of a process that concern what the variant host needs itself, files, memory
// and threads, are the program's only in part: the soft limit that the kernel has is the
// program's, with room for the variant host's memory, but its hard limit stays what
// it was. Otherwise a program that lowers it would keep the variant host from working
// in that process and all that descend from it: few monitors may raise it again.

const infinite = ^uint64(0)

// hardLimits are limits that the program has lowered and the kernel does not know, by
// resource.
type hardLimits map[uint64]hardLimit

type hardLimit struct {
	value uint64 // infinite stands for none
	// soft0 is true when the program's soft limit is 0 and the kernel's is not: to
	// the limit of data (mm/mmap.c, may_expand_vm) 0 means the hard limit.
	soft0 bool
}

// hostRoom is how much of the address space of a process is the variant host's: its image,
// the bell, the gate and the blocks. Where there is a machine its tables come to that.
const (
	hostRoom    = 16*pageSize + vhost.MaxBlocks*vhost.BlockSize
	machineRoom = hostRoom + regionSize
)

// slotRoom is what is added to the program's limit of its address space.
func (s *session) slotRoom() uint64 {
	if s.native() {
		return hostRoom
	}
	return machineRoom
}

// ownLimits are the resources in question, and whether the variant host takes room of what
// they limit.
var ownLimits = map[uint64]bool{
	unix.RlimitFiles:     false,
	unix.RlimitData:      false,
	unix.RlimitStack:     false,
	unix.RlimitSignals:   false,
	unix.RlimitProcesses: false,
	unix.RlimitAddress:   true,
}

// roomIn returns how much of a resource is the variant host's, which has slot bytes of the
// address space.
func roomIn(resource, slot uint64) uint64 {
	if ownLimits[resource] {
		return slot
	}
	return 0
}

// limit is a struct rlimit64.
type limit struct{ soft, hard uint64 }

const limitSize = 16

func decodeLimit(b []byte) limit {
	return limit{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (l limit) encode() []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, l.soft), l.hard)
}

// moreRoom and lessRoom add room to a value and take it away.
func moreRoom(value, room uint64) uint64 {
	if value >= infinite-room {
		return infinite
	}
	return value + room
}

func lessRoom(value, room uint64) uint64 {
	if value == infinite {
		return infinite
	}
	return value - min(value, room)
}

// shown returns the limit that the program has where the kernel has l and the variant host
// slot bytes of the address space.
func (h hardLimits) shown(resource, slot uint64, l limit) limit {
	room := roomIn(resource, slot)
	l = limit{lessRoom(l.soft, room), lessRoom(l.hard, room)}
	if own, ok := h[resource]; ok {
		l.hard = min(l.hard, own.value)
		if own.soft0 {
			l.soft = 0
		}
	}
	return l
}

// change works out what the kernel and the program's own hard limit are to be when
// the program wants its limit to be want. The kernel has now; it says whether the
// program may raise hard limits.
func (h hardLimits) change(resource, slot uint64, now, want limit, may bool) (kernel limit, own hardLimit, errno syscall.Errno) {
	shown := h.shown(resource, slot, now)
	switch {
	case want.soft > want.hard:
		return limit{}, own, syscall.EINVAL
	case want.hard > shown.hard && !may:
		return limit{}, own, syscall.EPERM
	}
	room := roomIn(resource, slot)
	own = hardLimit{value: want.hard}
	if resource == unix.RlimitData && want.soft == 0 && want.hard < now.hard {
		// Less than a page is nothing, but not the exception.
		want.soft, own.soft0 = max(want.hard, 1), true
	}
	return limit{moreRoom(want.soft, room), max(now.hard, moreRoom(want.hard, room), want.soft)}, own, 0
}

// runLimit carries out getrlimit(2), setrlimit(2) and prlimit(2) of ownLimits; ok is
// false for others.
func (s *session) runLimit(t *task, nr int64, args [6]uint64) (ret int64, ok bool, err error) {
	var pid, resource, newAddr, oldAddr uint64
	switch nr {
	case unix.SysGetrlimit:
		resource, oldAddr = args[0], args[1]
	case unix.SysSetrlimit:
		resource, newAddr = args[0], args[1]
	case unix.SysPrlimit64:
		pid, resource, newAddr, oldAddr = args[0], args[1], args[2], args[3]
	default:
		return 0, false, nil
	}
	resource = uint64(uint32(resource))
	p := t.proc
	if id := int(int32(pid)); id != 0 {
		if o := s.tasks[id]; o != nil {
			p = o.proc
		} else if p = s.procs[id]; p == nil {
			return 0, false, nil
		}
	}
	// A null pointer of the older calls is a bad one.
	if _, own := ownLimits[resource]; !own || nr != unix.SysPrlimit64 && newAddr == 0 && oldAddr == 0 {
		return 0, false, nil
	}
	var want *limit
	if newAddr != 0 {
		b := make([]byte, limitSize)
		if _, err := s.ReadVariantMem(t.id, newAddr, b); err != nil {
			ret, err = fault(err)
			return ret, true, err
		}
		l := decodeLimit(b)
		want = &l
	}
	now, ret, err := s.setLimit(t, p, resource, want)
	if err != nil || ret < 0 || oldAddr == 0 {
		return ret, true, err
	}
	if _, err := s.WriteVariantMem(t.id, oldAddr, now.encode()); err != nil {
		ret, err = fault(err)
		return ret, true, err
	}
	return ret, true, nil
}

// setLimit gives process p the limit that t wants it to have, if want is not nil, and
// returns the one before as the program knows it.
func (s *session) setLimit(t *task, p *process, resource uint64, want *limit) (old limit, ret int64, err error) {
	x := t.scratch()
	at := x.put(make([]byte, limitSize))
	ret, err = s.call1(t, unix.SysPrlimit64, uint64(p.pid), resource, 0, at)
	if err != nil || ret < 0 {
		return old, ret, err
	}
	now := decodeLimit(x.get(at, limitSize))
	saved := p.savedLimit(resource)
	if saved != nil {
		now = limit{saved.Soft, saved.Hard}
	}
	old = p.limits.shown(resource, s.slotRoom(), now)
	if want == nil {
		return old, 0, nil
	}
	kernel, own, errno := p.limits.change(resource, s.slotRoom(), now, *want, mayRaiseLimits(t.id.Host))
	if errno != 0 {
		return old, -int64(errno), nil
	}
	copy(x.get(at, limitSize), kernel.encode())
	if saved != nil {
		saved.Soft, saved.Hard = kernel.soft, kernel.hard
	} else if ret, err = s.call1(t, unix.SysPrlimit64, uint64(p.pid), resource, at, 0); err != nil || ret < 0 {
		return old, ret, err
	}
	limits := hardLimits{resource: own}
	for r, hard := range p.limits {
		if r != resource {
			limits[r] = hard
		}
	}
	p.limits = limits
	return old, 0, nil
}

// savedLimit returns the limit that p gets back when its limits are not lifted any
// more, nil when this one is not lifted.
func (p *process) savedLimit(resource uint64) *unix.Limit {
	for i := range p.saved {
		if p.saved[i].Resource == resource {
			return &p.saved[i]
		}
	}
	return nil
}

// mayRaiseLimits says whether task tid has CAP_SYS_RESOURCE.
func mayRaiseLimits(tid int) bool {
	const sysResource = 24
	b, err := os.ReadFile(procPath(tid, "status"))
	if err != nil {
		return false
	}
	caps, err := strconv.ParseUint(field(b, "CapEff:"), 16, 64)
	return err == nil && caps>>sysResource&1 != 0
}
