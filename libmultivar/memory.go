package libmultivar

import (
	"fmt"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Flags of mmap(2), mremap(2) and madvise(2) on x86-64 and arm64
// (include/uapi/asm-generic/mman-common.h).
const (
	protExec  = 4
	protWrite = 2
	protRead  = 1

	mapShared    = 0x01
	mapPrivate   = 0x02
	mapType      = 0x0f
	mapFixed     = 0x10
	mapAnon      = 0x20
	map32Bit     = 0x40
	mapGrowsDown = 0x100
	mapHugeTLB   = 0x40000
	mapSync      = 0x80000
	mapNoReplace = 0x100000
	mapHugeShift = 26

	remapMayMove   = 1
	remapFixed     = 2
	remapDontUnmap = 4

	adviseFree     = 8
	adviseDontNeed = 4
	adviseDontFork = 10
	adviseDoFork   = 11

	hugePage = 2 << 20
)

// Numbers of the memory calls per architecture, for calls that the engine makes
// in place of another.
type memoryCalls struct{ mmap, munmap, madvise int64 }

func (e *Engine) memoryCalls() memoryCalls {
	if e.caps.Arch == sysabi.ARM64 {
		return memoryCalls{mmap: 222, munmap: 215, madvise: 233}
	}
	return memoryCalls{mmap: 9, munmap: 11, madvise: 28}
}

// place returns a function that gives a variant's own arguments with the
// addresses at the given positions replaced by canonical ones.
func (e *Engine) place(nr int64, args [6]uint64, at map[int]addrspace.Address) func(int, *frontend.Call) (int64, [6]uint64) {
	return func(v int, _ *frontend.Call) (int64, [6]uint64) {
		out := args
		for i, a := range at {
			out[i] = e.layout.Real(v, a)
		}
		return nr, out
	}
}

// hintReach is how far from what is mapped in a variant's slot the hint of a new mapping
// may be to be followed. Farther off it is hardly an address that the program has worked
// out from another one, but a plain number, as Go's random heap bases are: it is the same
// in all variants, and only one of them could follow it. One that is not as far may be a plain
// number, too, which shows in what the followers ask for.
const hintReach = 1 << 30

// plainHint reports whether the hint of a call that all followers have come to, an address in the
// leader's slot, is the same number in one of theirs.
func plainHint(ev *record, arg int) bool {
	for v := range ev.thread.sides {
		if s := &ev.thread.sides[v]; v != frontend.Leader && s.met == ev && s.call.Args[arg] == ev.raw.Args[arg] {
			return true
		}
	}
	return false
}

// hintWord has an address where memory would be welcome compared as what it is: a
// number that nothing has to come of.
func hintWord(ev *record, arg int) {
	ev.call.Args = slices.Clone(ev.call.Args)
	ev.call.Args[arg].Kind = sysabi.Word
}

// prepareMmap chooses the address of a new mapping, the same canonical one in
// all variants.
func (e *Engine) prepareMmap(th *thread, ev *record) {
	args := ev.raw.Args
	length, ok := addrspace.PageUp(args[1])
	flags := args[3]
	anon := flags&mapAnon != 0
	if anon {
		ev.call.Args = ev.call.Args[:4]
	}
	space := th.proc.space
	if !ok || length == 0 || args[0]%pageSize != 0 && flags&(mapFixed|mapNoReplace) != 0 {
		// The kernel says what is wrong with it.
		ev.follow = followAnswer
		return
	}
	fixed := flags&(mapFixed|mapNoReplace) != 0
	hint := e.layout.Canonical(frontend.Leader, args[0])
	var at addrspace.Address
	// near is true while the hint may turn out to be a plain number; instead is where the mapping
	// goes then.
	near, instead := false, addrspace.Address{}
	switch {
	case fixed && !e.fits(hint, length):
		e.notice("band", "a mapping at a fixed address inside the monitor's range was refused with ENOMEM")
		e.answer(ev, -eNOMEM)
		return
	case fixed:
		at = hint
	case flags&map32Bit != 0:
		if at, ok = space.FindFreeLow(length); !ok {
			e.answer(ev, -eNOMEM)
			return
		}
	default:
		hintWord(ev, 0)
		hint = hint.PageDown()
		if args[0] >= 0x10000 && e.fits(hint, length) && space.Free(hint, length) && (!hint.Relative() || space.Near(hint, length, hintReach)) {
			at = hint
			near = hint.Relative() && e.followers > 0
			break
		}
		if at, ok = e.findFree(th, length, args[2], flags); !ok {
			e.answer(ev, -eNOMEM)
			return
		}
	}
	lead := args
	if !fixed {
		lead[3] |= mapNoReplace
	}
	follower := lead
	shared := flags&mapType != mapPrivate
	copied := false
	if !anon {
		// Followers map the leader's file, but never in a way that reaches it.
		follower[3] = follower[3]&^(mapType|mapSync) | mapPrivate
		ev.fileArg = 4
		copied = shared && e.followers > 0 && (args[2]&protWrite != 0 || e.sharedOtherwise(th, int(int32(args[4]))))
	}
	if copied {
		if name, foreign := e.foreignMemory(th, int(int32(args[4]))); foreign {
			e.notice("foreign "+name, fmt.Sprintf("%s is memory of a process outside: it cannot be mapped to write (EACCES)", name))
			e.answer(ev, -eACCES)
			return
		}
		switch ok, refused := e.canTwin(th, int(int32(args[4]))); {
		case refused:
			e.notice("twin", "a writable shared mapping of a device or of a file of more than 1 GiB was refused with ENODEV")
			e.answer(ev, -eNODEV)
			return
		case !ok:
			// Not a descriptor: the kernel says so.
			copied = false
		default:
			e.beforeTwin(ev)
		}
	}
	if !fixed {
		// Another thread may ask for memory before this call is made.
		e.note(space.Map(at, length, addrspace.Attrs{Kind: addrspace.Reserved}))
	}
	ev.touch(at, length)
	if near {
		if instead, near = e.findFree(th, length, args[2], flags); near {
			ev.wait = true
			e.note(space.Map(instead, length, addrspace.Attrs{Kind: addrspace.Reserved}))
			ev.touch(instead, length)
		}
	}
	nr := ev.raw.Nr
	ev.run = func(v int, _ *frontend.Call) (int64, [6]uint64) {
		if near {
			near = false
			if plainHint(ev, 0) {
				at, instead = instead, at
			}
			// Another thread may have mapped something there meanwhile.
			if r, ok := space.At(instead); ok && r.Kind == addrspace.Reserved {
				e.note(space.Unmap(instead, length))
			}
		}
		a := lead
		if v != frontend.Leader {
			a = follower
			if copied {
				// The variant's twin of the file is shared among its own processes.
				a[3] = a[3]&^mapType | mapShared
			}
		}
		a[0] = e.layout.Real(v, at)
		return nr, a
	}
	ev.addrResult = true
	ev.after = func(ret int64) int64 {
		if ret < 0 && ret >= -4095 {
			if !fixed {
				e.note(space.Unmap(at, length))
			}
			if ret == -eEXIST && !fixed {
				return -eNOMEM
			}
			return ret
		}
		attrs := addrspace.Attrs{Prot: uint32(args[2]), Kind: addrspace.Anon}
		if flags&mapGrowsDown != 0 {
			attrs.Flags |= addrspace.GrowsDown
		}
		if shared {
			attrs.Flags |= addrspace.Shared
		}
		if !anon {
			attrs.Kind = addrspace.File
			if copied {
				attrs.Flags |= addrspace.SharedFile
			}
		}
		e.unmaps(space, at, length)
		defer func() { e.note(space.Map(at, length, attrs)) }()
		if !anon && e.followers > 0 {
			if shared && e.unwritable(th, int(int32(args[4]))) {
				attrs.Flags |= addrspace.Unwritable
			}
			if copied {
				attrs.Label = e.attachTwin(th, ev, int(int32(args[4])))
			} else if f, err := e.host.DupFile(th.sides[frontend.Leader].task, int(int32(args[4]))); err != nil {
				e.lose(ev, err)
			} else {
				ev.file, ev.hasFile = f, true
				if name, err := e.host.FilePath(th.sides[frontend.Leader].task, int(int32(args[4]))); err == nil {
					e.noteMapped(name)
				}
			}
		}
		return ret
	}
}

// findFree chooses the address of a mapping: data at common addresses where the
// layout has them, everything that may be code, or is of a file that is not shared,
// in the variant's own slot. Memory that is shared by a file is data like any other:
// programs tell each other where they have it.
func (e *Engine) findFree(th *thread, length, prot, flags uint64) (addrspace.Address, bool) {
	space := th.proc.space
	if (flags&mapAnon != 0 || flags&mapType != mapPrivate) && prot&protExec == 0 {
		if a, ok := space.FindFreeCommon(length, mappingAlign(flags)); ok {
			return a, true
		}
	}
	return space.FindFree(length, mappingAlign(flags))
}

// mappingAlign returns the alignment that a mapping needs beyond a page.
func mappingAlign(flags uint64) uint64 {
	if flags&mapHugeTLB == 0 {
		return pageSize
	}
	if shift := flags >> mapHugeShift & 0x3f; shift > 12 && shift < 38 {
		return 1 << shift
	}
	return hugePage
}

// note logs that the engine's map of an address space could not follow the
// kernel. It costs the program at most an ENOMEM: whatever the engine places is
// placed with MAP_FIXED_NOREPLACE.
func (e *Engine) note(err error) {
	if err != nil {
		e.log.Debug("address space", "err", err)
	}
}

// fits reports whether a range of the leader lies in its slot or outside of all
// slots as a whole, and outside of what the front-end keeps for itself.
func (e *Engine) fits(a addrspace.Address, length uint64) bool {
	end := a.Offset() + length
	if end < length {
		return false
	}
	if a.Relative() {
		return end <= e.layout.Size()
	}
	if a.Offset() < e.caps.ReservedEnd && end > e.caps.ReservedStart {
		return false
	}
	return end <= addrspace.BandStart || a.Offset() >= addrspace.BandEnd
}

// prepareMunmap lets all variants unmap.
func (e *Engine) prepareMunmap(th *thread, ev *record) {
	a := e.layout.Canonical(frontend.Leader, ev.raw.Args[0])
	length, ok := addrspace.PageUp(ev.raw.Args[1])
	space := th.proc.space
	ev.touch(a, length)
	ev.after = func(ret int64) int64 {
		if ret == 0 && ok && length > 0 && e.tracked(a) {
			e.unmaps(space, a, length)
			e.vacate(ev, space, a, length)
		}
		return ret
	}
}

// namesNone reports whether a call changes the address space and names no descriptor.
func namesNone(ev *record) bool {
	return changesMemory(ev.call.Row) && ev.call.Handler != sysabi.HandlerMmap
}

// mapsInTurn leaves the leader's th its turn while it waits with ev for the followers, if that changes
// the address space. Otherwise another thread could have its turn meanwhile, and one behind it get
// memory that ev gives back: followers let go with both at once, and may make the second call first.
func (e *Engine) mapsInTurn(th *thread, ev *record) {
	if ev.wait && e.followers > 0 && !e.parallel() && changesMemory(ev.call.Row) {
		th.takeBack(frontend.Leader)
	}
}

// tracked reports whether the engine's map covers an address: everything that a
// variant can map.
func (e *Engine) tracked(a addrspace.Address) bool {
	return a.Relative() || !e.layout.InBand(a.Offset())
}

func (e *Engine) prepareMprotect(th *thread, ev *record) {
	a := e.layout.Canonical(frontend.Leader, ev.raw.Args[0])
	length, ok := addrspace.PageUp(ev.raw.Args[1])
	prot := uint32(ev.raw.Args[2]) & 7
	space := th.proc.space
	ev.touch(a, length)
	ev.partial = true
	if prot&protWrite != 0 && ok && e.tracked(a) {
		e.protectUpTo(ev, space, a, length)
	}
	ev.after = func(ret int64) int64 {
		if ret == 0 && ok && length > 0 && e.tracked(a) {
			// A stack may have grown without the engine's knowledge.
			space.Grow(a)
			if err := space.Protect(a, length, prot); err != nil {
				e.log.Debug("mprotect of untracked memory", "addr", a, "len", length)
			}
		}
		return ret
	}
}

// protectUpTo has followers give write access only in front of memory for which the leader
// does not get it: what they have there are files of the monitor's that allow it.
func (e *Engine) protectUpTo(ev *record, space *addrspace.Space, a addrspace.Address, length uint64) {
	for r := range space.Regions(a, length) {
		if r.Flags&addrspace.Unwritable == 0 {
			continue
		}
		n, _ := r.Start.Sub(a)
		if !a.Less(r.Start) {
			ev.follow = followAnswer
		}
		ev.run = func(v int, own *frontend.Call) (int64, [6]uint64) {
			args := own.Args
			if v != frontend.Leader {
				args[1] = n
			}
			return own.Nr, args
		}
		return
	}
}

// prepareMremap chooses where a mapping goes that cannot grow in place.
func (e *Engine) prepareMremap(th *thread, ev *record) {
	args := ev.raw.Args
	space := th.proc.space
	from := e.layout.Canonical(frontend.Leader, args[0])
	oldSize, ok1 := addrspace.PageUp(args[1])
	newSize, ok2 := addrspace.PageUp(args[2])
	flags := args[3]
	if !ok1 || !ok2 || newSize == 0 || args[0]%pageSize != 0 || flags&^(remapMayMove|remapFixed|remapDontUnmap) != 0 || !e.tracked(from) {
		ev.follow = followAnswer
		return
	}
	to := from
	at := map[int]addrspace.Address{0: from}
	lead := args
	reserved := false
	switch {
	case flags&remapFixed != 0:
		to = e.layout.Canonical(frontend.Leader, args[4])
		if !e.fits(to, newSize) {
			e.answer(ev, -eNOMEM)
			return
		}
		at[4] = to
		// What was there before is gone when the move fails.
		ev.partial = true
	case flags&remapMayMove == 0:
	case newSize <= oldSize && flags&remapDontUnmap == 0:
		lead[3] &^= remapMayMove
	case flags&remapDontUnmap == 0 && oldSize > 0 && space.FreeAfter(from.Add(oldSize), newSize-oldSize):
		lead[3] &^= remapMayMove
	default:
		var ok bool
		if from.Relative() {
			to, ok = space.FindFree(newSize, pageSize)
		} else if to, ok = space.FindFreeCommon(newSize, pageSize); !ok {
			to, ok = space.FindFree(newSize, pageSize)
		}
		if !ok {
			e.answer(ev, -eNOMEM)
			return
		}
		lead[3] |= remapFixed
		at[4] = to
		reserved = true
		e.note(space.Map(to, newSize, addrspace.Attrs{Kind: addrspace.Reserved}))
	}
	ev.touch(from, max(oldSize, newSize))
	ev.touch(to, newSize)
	ev.run = e.place(ev.raw.Nr, lead, at)
	ev.addrResult = true
	ev.after = func(ret int64) int64 {
		if reserved {
			e.note(space.Unmap(to, newSize))
		}
		if ret < 0 && ret >= -4095 {
			return ret
		}
		keep := flags&remapDontUnmap != 0 || oldSize == 0
		size := oldSize
		if size == 0 {
			size = newSize
		}
		e.unmaps(space, from, size)
		e.unmaps(space, to, newSize)
		if err := space.Move(from, size, to, newSize, keep); err != nil {
			e.note(err)
		}
		if !keep && from != to {
			e.occupy(ev, space, span{from, size})
		}
		return ret
	}
}

// prepareMadvise makes lazy freeing immediate: when the kernel would take the
// pages is not the same in all variants.
func (e *Engine) prepareMadvise(th *thread, ev *record) {
	args := ev.raw.Args
	a := e.layout.Canonical(frontend.Leader, args[0])
	length, ok := addrspace.PageUp(args[1])
	ev.touch(a, length)
	ev.partial = true
	switch int32(args[2]) {
	case adviseFree:
		nr := ev.raw.Nr
		ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) {
			out := own.Args
			out[2] = adviseDontNeed
			return nr, out
		}
	case adviseDontFork, adviseDoFork:
		space := th.proc.space
		add, remove := addrspace.DontFork, addrspace.Flags(0)
		if int32(args[2]) == adviseDoFork {
			add, remove = remove, add
		}
		ev.after = func(ret int64) int64 {
			if ret == 0 && ok && e.tracked(a) {
				if err := space.SetFlags(a, length, add, remove); err != nil {
					e.log.Debug("madvise of untracked memory", "addr", a)
				}
			}
			return ret
		}
	}
}

// prepareBrk runs the heap in memory of the engine's choice: growing maps
// memory, shrinking unmaps it.
func (e *Engine) prepareBrk(th *thread, ev *record) {
	space := th.proc.space
	end := e.layout.Canonical(frontend.Leader, ev.raw.Args[0])
	now := space.BrkEnd()
	current := int64(e.layout.Real(frontend.Leader, now))
	ev.addrResult = true
	unchanged := func() { e.answer(ev, current) }
	if !space.CanBrk(end) {
		unchanged()
		return
	}
	size, ok := end.Sub(space.BrkStart())
	if !ok {
		unchanged()
		return
	}
	used, _ := now.Sub(space.BrkStart())
	newTop, _ := addrspace.PageUp(size)
	oldTop, _ := addrspace.PageUp(used)
	calls := e.memoryCalls()
	done := func() int64 {
		e.note(space.SetBrk(end))
		return int64(e.layout.Real(frontend.Leader, end))
	}
	switch {
	case newTop == oldTop:
		unchanged()
		ev.ret = done()
	case newTop > oldTop:
		at := space.BrkStart().Add(oldTop)
		ev.touch(at, newTop-oldTop)
		ev.run = e.place(calls.mmap, [6]uint64{1: newTop - oldTop, 2: 3, 3: mapPrivate | mapAnon | mapNoReplace, 4: ^uint64(0)},
			map[int]addrspace.Address{0: at})
		ev.after = func(ret int64) int64 {
			if ret < 0 && ret >= -4095 {
				ev.follow = followAnswer
				return current
			}
			return done()
		}
	default:
		at := space.BrkStart().Add(newTop)
		ev.touch(at, oldTop-newTop)
		ev.plainKernel = true
		ev.run = e.place(calls.munmap, [6]uint64{1: oldTop - newTop}, map[int]addrspace.Address{0: at})
		ev.after = func(ret int64) int64 {
			if ret != 0 {
				ev.follow = followAnswer
				return current
			}
			return done()
		}
	}
}

// comparedMemory returns, for the leader's call c, the shared mappings with twins whose
// content becomes visible outside with this call: what a program writes through them is
// compared when they are synchronised or go away.
func (e *Engine) comparedMemory(th *thread, call *sysabi.Call, c *frontend.Call) []addrspace.Region {
	space := th.proc.space
	if space == nil {
		return nil
	}
	var start addrspace.Address
	var size uint64
	all := false
	switch call.Handler {
	case sysabi.HandlerShmdt:
		start = e.layout.Canonical(frontend.Leader, c.Args[0])
		size = attachedSize(space, start)
	case sysabi.HandlerMsync, sysabi.HandlerMunmap:
		var ok bool
		start = e.layout.Canonical(frontend.Leader, c.Args[0])
		if size, ok = addrspace.PageUp(c.Args[1]); !ok {
			return nil
		}
	case sysabi.HandlerExitGroup, sysabi.HandlerExecve, sysabi.HandlerExecveat:
		all = true
	default:
		return nil
	}
	var out []addrspace.Region
	if all {
		for r := range space.All() {
			if r.Flags&addrspace.SharedFile != 0 {
				out = append(out, r)
			}
		}
		return out
	}
	for r := range space.Regions(start, size) {
		if r.Flags&addrspace.SharedFile == 0 {
			continue
		}
		if r.Start.Less(start) {
			r.Start = start
		}
		if end := start.Add(size); end.Less(r.End) {
			r.End = end
		}
		out = append(out, r)
	}
	return out
}
