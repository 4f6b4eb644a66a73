package libmultivar

import (
	"fmt"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Segments of System V shared memory are real in the leader. A follower maps a twin in
// their place, which lives as long as the segment may be attached again. Only segments
// that the program itself has created can be attached: what others write to theirs would
// reach the leader alone.

// Flags of shmat(2) (include/uapi/linux/shm.h).
const (
	shmReadOnly = 0o10000
	shmRound    = 0o20000
	shmRemap    = 0o40000
	shmExec     = 0o100000
)

// ipcRemove is IPC_RMID (include/uapi/linux/ipc.h).
const ipcRemove = 0

func segmentKey(id int) string { return fmt.Sprintf("sysv:%d", id) }

// maxSegments is how many segments have twins at the same time.
const maxSegments = 256

// attachment names one attachment of a segment, which is no other one's although they may
// lie side by side.
func (e *Engine) attachment(id int) string {
	e.attached++
	return fmt.Sprintf("%s/%d", segmentKey(id), e.attached)
}

// twinKey returns the key of the twin that a region with this label maps.
func twinKey(label string) string {
	key, _, _ := strings.Cut(label, "/")
	if strings.HasPrefix(key, "sysv:") {
		return key
	}
	return label
}

// prepareShmget notes segments that the program creates.
func (e *Engine) prepareShmget(th *thread, ev *record) {
	ev.after = func(ret int64) int64 {
		if ret < 0 {
			return ret
		}
		id := int(ret)
		seg, ok := e.host.Segment(id)
		if !ok || seg.Creator != th.proc.main.sides[frontend.Leader].task.Host {
			return ret
		}
		if t := e.twins[segmentKey(id)]; t != nil && t.removed {
			// The id is used again.
			e.dropTwin(t)
		}
		if len(e.segments) >= maxRemembered {
			for old := range e.segments {
				if _, ok := e.host.Segment(old); !ok {
					delete(e.segments, old)
				}
			}
		}
		if len(e.segments) < maxRemembered {
			e.segments[id] = seg.Creator
		}
		return ret
	}
}

// prepareShmat chooses the address of a segment, the same canonical one in all variants.
func (e *Engine) prepareShmat(th *thread, ev *record) {
	id, addr, flags := int(int32(ev.raw.Args[0])), ev.raw.Args[1], ev.raw.Args[2]
	seg, ok := e.host.Segment(id)
	size, fits := addrspace.PageUp(seg.Size)
	if flags&shmRound != 0 {
		addr &^= pageSize - 1
	}
	if !ok || !fits || addr%pageSize != 0 || addr == 0 && flags&shmRemap != 0 {
		e.answer(ev, -eINVAL)
		return
	}
	if e.segments[id] != seg.Creator || seg.Creator == 0 || !e.caps.Twins || size > maxCopy {
		e.notice("segment", "a segment of System V shared memory that is not the program's own, or of more than 1 GiB, cannot be attached (EACCES)")
		e.answer(ev, -eACCES)
		return
	}
	if e.twins[segmentKey(id)] == nil && len(e.twins) >= maxSegments {
		if e.dropIdle(); len(e.twins) >= maxSegments {
			e.answer(ev, -eNOMEM)
			return
		}
	}
	space := th.proc.space
	var at addrspace.Address
	if addr == 0 {
		hintWord(ev, 1)
		if at, ok = e.findFree(th, size, protRead, mapAnon); !ok {
			e.answer(ev, -eNOMEM)
			return
		}
		e.note(space.Map(at, size, addrspace.Attrs{Kind: addrspace.Reserved}))
	} else if at = e.layout.Canonical(frontend.Leader, addr); !e.fits(at, size) {
		e.answer(ev, -eINVAL)
		return
	}
	ev.wait = flags&shmExec != 0
	prot, fixed := uint64(protRead), uint64(mapNoReplace)
	if flags&shmReadOnly == 0 {
		prot |= protWrite
	}
	if flags&shmExec != 0 {
		prot |= protExec
	}
	if flags&shmRemap != 0 {
		fixed = mapFixed
	}
	ev.touch(at, size)
	nr, mmap := ev.raw.Nr, e.memoryCalls().mmap
	ev.fileArg = 4
	ev.run = func(v int, _ *frontend.Call) (int64, [6]uint64) {
		real := e.layout.Real(v, at)
		if v == frontend.Leader {
			return nr, [6]uint64{uint64(id), real, flags &^ shmRound}
		}
		return mmap, [6]uint64{real, size, prot, mapShared | fixed}
	}
	ev.addrResult = true
	ev.after = func(ret int64) int64 {
		if ret < 0 && ret >= -4095 {
			if addr == 0 {
				e.note(space.Unmap(at, size))
			}
			return ret
		}
		attrs := addrspace.Attrs{Prot: uint32(prot), Kind: addrspace.Anon, Flags: addrspace.Shared | addrspace.SharedFile, Label: e.attachment(id)}
		if flags&shmReadOnly != 0 {
			attrs.Flags |= addrspace.Unwritable
		}
		e.note(space.Map(at, size, attrs))
		if e.followers > 0 {
			e.attachSegment(th, ev, id, int64(size))
		}
		return ret
	}
}

// attachSegment makes the followers of ev map the twin of a segment.
func (e *Engine) attachSegment(th *thread, ev *record, id int, size int64) {
	host, ok := e.host.(frontend.Twins)
	if !ok {
		e.fail(fmt.Errorf("the front-end has no twins"))
		return
	}
	t, err := e.twinOf(host, segmentKey(id), size)
	if err != nil {
		e.lose(ev, err)
		return
	}
	t.size, t.kept = size, !t.removed
	e.share(t, ev, th)
}

// prepareShmdt unmaps a segment in all variants: what is left of one attachment, from its
// first page on.
func (e *Engine) prepareShmdt(th *thread, ev *record) {
	addr := ev.raw.Args[0]
	at := e.layout.Canonical(frontend.Leader, addr)
	space := th.proc.space
	size := attachedSize(space, at)
	if addr%pageSize != 0 || size == 0 {
		e.answer(ev, -eINVAL)
		return
	}
	ev.touch(at, size)
	nr, munmap := ev.raw.Nr, e.memoryCalls().munmap
	ev.run = func(v int, own *frontend.Call) (int64, [6]uint64) {
		if v == frontend.Leader {
			return nr, own.Args
		}
		return munmap, [6]uint64{e.layout.Real(v, at), size}
	}
	ev.after = func(ret int64) int64 {
		if ret == 0 {
			e.unmaps(space, at, size)
			e.note(space.Unmap(at, size))
		}
		return ret
	}
}

// attachedSize returns how many bytes from at on belong to the attachment that begins
// there, 0 when none does. Its parts may have different protections.
func attachedSize(space *addrspace.Space, at addrspace.Address) (size uint64) {
	first, ok := space.At(at)
	if !ok || first.Start != at || twinKey(first.Label) == first.Label {
		return 0
	}
	for r := range space.All() {
		if r.Label == first.Label && r.Start == at.Add(size) {
			size += r.Size()
		}
	}
	return size
}

// Where struct shmid_ds tells who created a segment and who used it last.
const shmCreator, shmUser = 80, 84

// prepareShmctl forgets segments that are gone, and shows ids of processes as the program
// sees them.
func (e *Engine) prepareShmctl(th *thread, ev *record) {
	id := int(int32(ev.raw.Args[0]))
	task, at := th.sides[frontend.Leader].task, ev.raw.Args[2]
	var stat bool
	if a := ev.call.Args; len(a) == 3 && a[2].Dir == sysabi.Out && a[2].Struct != nil {
		stat = e.cfg.Pids != PidsLeader && a[2].Struct.Size > shmUser && a[2].Struct.Name == "shmid_ds"
	}
	removes := uint32(ev.raw.Args[1]) == ipcRemove
	ev.after = func(ret int64) int64 {
		switch {
		case ret < 0:
		case removes:
			// Those that know the id can attach it until nobody has it any more.
			if t := e.twins[segmentKey(id)]; t != nil {
				t.kept, t.removed = false, true
				e.unmapped = true
			}
		case stat:
			e.showPid(task, at+shmCreator)
			e.showPid(task, at+shmUser)
		}
		return ret
	}
}
