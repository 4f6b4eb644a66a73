//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// Calls on ranges of addresses reach the variant host's memory when a range does. For
// the program nothing is mapped there, and what it asks is answered like that: a call
// is made for the parts of its range that are outside, with the result that the hole
// in the middle has.

// holed says what a call on a range does where nothing is mapped.
type holed struct {
	// goesOn is true when the rest of the range behind a hole counts.
	goesOn bool
	// ret is the result where the call would otherwise be successful.
	ret int64
}

// rangeCalls take a range as their first two arguments.
var rangeCalls = map[int64]holed{
	unix.SysMunmap:       {goesOn: true},
	unix.SysMprotect:     {ret: -int64(syscall.ENOMEM)},
	unix.SysPkeyMprotect: {ret: -int64(syscall.ENOMEM)},
	unix.SysMadvise:      {goesOn: true, ret: -int64(syscall.ENOMEM)},
	unix.SysMsync:        {goesOn: true, ret: -int64(syscall.ENOMEM)},
	unix.SysMlock:        {ret: -int64(syscall.ENOMEM)},
	unix.SysMlock2:       {ret: -int64(syscall.ENOMEM)},
	unix.SysMunlock:      {ret: -int64(syscall.ENOMEM)},
	unix.SysMseal:        {ret: -int64(syscall.ENOMEM)},
	unix.SysMbind:        {ret: -int64(syscall.EFAULT)},
	// The range is wholly a part of one mapping, or nothing happens.
	unix.SysMincore:        {ret: -int64(syscall.ENOMEM)},
	unix.SysRemapFilePages: {ret: -int64(syscall.EINVAL)},
}

// aroundSlot carries out calls whose ranges touch the slot; ok is false for others
// and for those that the kernel does not do at all.
func (s *session) aroundSlot(t *task, nr int64, args [6]uint64) (ret int64, ok bool, err error) {
	if nr == unix.SysShmat {
		return s.shmatInSlot(t, args)
	}
	h, known := rangeCalls[nr]
	addr, size := args[0], args[1]
	if !known || addr%pageSize != 0 || size == 0 || addr+size < addr || !touchesSlot(addr, size) {
		return 0, false, nil
	}
	if nr == unix.SysMunmap && addr+size > userEnd {
		// Nothing is unmapped then.
		return -int64(syscall.EINVAL), true, nil
	}
	ret, err = s.holedCall(t, nr, args, h)
	return ret, true, err
}

// holedCall makes a call for the parts of its range outside of the slot.
func (s *session) holedCall(t *task, nr int64, args [6]uint64, h holed) (int64, error) {
	end := args[0] + args[1]
	parts := []span{{args[0], vhost.SlotStart}}
	if h.goesOn {
		parts = append(parts, span{vhost.SlotEnd, end})
	}
	result := h.ret
	for _, p := range parts {
		if p.start >= p.end {
			continue
		}
		args[0], args[1] = p.start, p.end-p.start
		if err := s.prepareMachine(t, nr, &args); err != nil {
			return 0, err
		}
		ret, err := s.call1(t, nr, args[:]...)
		if err != nil {
			return 0, err
		}
		if ret < 0 && ret != h.ret {
			return ret, nil
		}
	}
	return result, nil
}

// shmatInSlot refuses to attach a segment where the slot is. Only SHM_REMAP would
// let the kernel do so; how large the segment is has to be asked.
func (s *session) shmatInSlot(t *task, args [6]uint64) (ret int64, ok bool, err error) {
	const ipcStat, sizeAt, statSize = 2, 48, 112
	if args[1] == 0 || args[1] >= vhost.SlotEnd {
		return 0, false, nil
	}
	x := t.scratch()
	at := x.put(make([]byte, statSize))
	ret, err = s.call1(t, unix.SysShmctl, args[0], ipcStat, at)
	if err != nil || ret < 0 {
		// The kernel says what is wrong with it.
		return 0, false, err
	}
	size := binary.LittleEndian.Uint64(x.get(at, statSize)[sizeAt:])
	return -int64(syscall.EINVAL), touchesSlot(args[1], size), nil
}

// Flags of mlockall(2).
const (
	lockCurrent = 1
	lockFuture  = 2
	lockOnFault = 4
)

// lockAll is mlockall(2) of what the program has mapped: what the variant host has
// is large, and none of the program's.
func (s *session) lockAll(t *task, flags uint64) (int64, error) {
	if flags&lockCurrent == 0 || flags&^(lockCurrent|lockFuture|lockOnFault) != 0 {
		return s.call1(t, unix.SysMlockall, flags)
	}
	all, err := s.Mappings(t.id)
	if err != nil {
		return 0, err
	}
	var size uint64
	for _, m := range all {
		size += m.End - m.Start
	}
	if ret, err := mayLock(t.proc.pid, size); err != nil || ret < 0 {
		return ret, err
	}
	// What was asked for the future before ends, as do locks: all are set anew.
	calls := []vhost.Call{{Nr: unix.SysMunlockall}}
	if flags&lockFuture != 0 {
		calls = append(calls, vhost.Call{Nr: unix.SysMlockall, Args: [6]uint64{flags &^ lockCurrent}})
	}
	for _, m := range all {
		if m.Start < userEnd {
			// That there is nothing to fetch somewhere does not matter.
			calls = append(calls, vhost.Call{Nr: unix.SysMlock2, Args: [6]uint64{m.Start, m.End - m.Start, flags / lockOnFault}})
		}
	}
	for c := range slices.Chunk(calls, vhost.MaxCalls) {
		if err := s.do(t, c...); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// mayLock says whether process pid may lock so much memory, as a raw result.
func mayLock(pid int, size uint64) (int64, error) {
	limit, err := unix.LockLimit(pid)
	if err != nil {
		return 0, errDead
	}
	if size <= limit && limit > 0 {
		return 0, nil
	}
	b, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return 0, errDead
	}
	const ipcLock = 14 // CAP_IPC_LOCK
	if caps, err := strconv.ParseUint(field(b, "CapEff:"), 16, 64); err == nil && caps>>ipcLock&1 != 0 {
		return 0, nil
	}
	if limit == 0 {
		return -int64(syscall.EPERM), nil
	}
	return -int64(syscall.ENOMEM), nil
}
