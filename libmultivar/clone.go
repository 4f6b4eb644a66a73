package libmultivar

import (
	"encoding/binary"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Flags of clone(2) (include/uapi/linux/sched.h).
const (
	cloneExitSignal    = 0xff
	cloneVM            = 0x100
	cloneFiles         = 0x400
	cloneSighand       = 0x800
	clonePidFD         = 0x1000
	cloneVfork         = 0x4000
	cloneParent        = 0x8000
	cloneThread        = 0x10000
	cloneParentTID     = 0x100000
	cloneChildClearTID = 0x200000
	cloneUntraced      = 0x800000
	cloneChildTID      = 0x1000000
	cloneNamespaces    = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
	cloneClearSighand  = 0x100000000
	cloneIntoCgroup    = 0x200000000
	cloneNewTime       = 0x80
)

// birth is what a clone-like call asks for.
type birth struct {
	flags uint64
	// parentTID and childTID are the addresses, in the leader and in each
	// follower, to which thread ids are written; pidFD the one for the pidfd.
	parentTID, childTID, pidFD func(own *frontend.Call) uint64
	pidFDValue                 []byte
}

// cloneNr and wait4Nr are the numbers of the calls that followers make.
func (e *Engine) cloneNr() int64 {
	if e.caps.Arch == sysabi.ARM64 {
		return 220
	}
	return 56
}

func (e *Engine) prepareFork(_ *thread, ev *record) {
	ev.follow = followClone
	ev.birth = &birth{flags: sigCHLD}
	if ev.call.Handler == sysabi.HandlerVfork {
		ev.birth.flags |= cloneVfork | cloneVM
	}
	e.copiesMemory(ev)
	ev.after = e.afterBirth(ev)
}

// afterBirth gives the parent the id of its child that the program sees. One that comes back from vfork
// waits until its child is known to have gone: of one that was killed the kernel tells the parent first,
// and followers, in which the parent waits for the child, have to have its end before any turn.
func (e *Engine) afterBirth(ev *record) func(int64) int64 {
	return func(ret int64) int64 {
		if th := ev.thread; ev.vforks() && ret > 0 && e.followers > 0 && ev.child != nil && ev.child.proc.sharesWith(th) {
			th.victim = &victim{process: ev.child.proc, owner: ev.child, until: e.now + dyingLimit}
		}
		if ret > 0 && ev.child != nil {
			return int64(ev.child.tid)
		}
		return ret
	}
}

// prepareClone lets all variants create a task. Ids that the kernel would write
// to memory are the leader's in all variants, so followers write them themselves.
func (e *Engine) prepareClone(_ *thread, ev *record) {
	flags := ev.raw.Args[0]
	child, tls := 3, 4
	if e.caps.Arch == sysabi.ARM64 {
		child, tls = 4, 3
	}
	_ = tls
	b := &birth{
		flags:     flags,
		parentTID: func(own *frontend.Call) uint64 { return own.Args[2] },
		pidFD:     func(own *frontend.Call) uint64 { return own.Args[2] },
		childTID:  func(own *frontend.Call) uint64 { return own.Args[child] },
	}
	nr := ev.raw.Nr
	e.prepareBirth(ev, b, func(v int, own *frontend.Call) (int64, [6]uint64) {
		return nr, own.Args
	})
}

// Offsets in struct clone_args (include/uapi/linux/sched.h).
const (
	argsFlags = 8 * iota
	argsPidFD
	argsChildTID
	argsParentTID
	argsExitSignal
	argsStack
	argsStackSize
	argsTLS
	argsSetTID
	argsSetTIDSize
	argsCgroup
	argsSize
	argsMinSize = argsSetTID
)

// prepareClone3 turns clone3 into the clone that does the same: its arguments
// are taken from memory once.
func (e *Engine) prepareClone3(th *thread, ev *record) {
	get := func(s *side, c *frontend.Call) (p [argsSize]byte, ok bool) {
		size := c.Args[1]
		if size < argsMinSize || size > pageSize {
			return p, false
		}
		_, err := e.host.ReadVariantMem(s.task, c.Args[0], p[:min(size, argsSize)])
		return p, err == nil
	}
	raw, ok := get(&th.sides[frontend.Leader], &ev.raw)
	word := func(p *[argsSize]byte, off int) uint64 { return binary.LittleEndian.Uint64(p[off:]) }
	flags := word(&raw, argsFlags)
	const known = 0xffffffff | cloneClearSighand
	switch {
	case ev.raw.Args[1] > pageSize:
		e.answer(ev, -eTOOBIG)
		return
	case ev.raw.Args[1] >= argsMinSize && !ok:
		e.answer(ev, -eFAULT)
		return
	case !ok, flags&0xff != 0 && flags&0xff != cloneNewTime, word(&raw, argsExitSignal) > sigMax, flags&^known&^cloneIntoCgroup != 0:
		e.answer(ev, -eINVAL)
		return
	case flags&(cloneIntoCgroup|cloneClearSighand) != 0, word(&raw, argsSetTIDSize) != 0:
		e.notice("clone3", "clone3 with a cgroup, a set of thread ids or cleared handlers is not modelled yet: it answers ENOSYS")
		e.answer(ev, -eNOSYS)
		return
	}
	field := func(off int) func(*frontend.Call) uint64 {
		return func(own *frontend.Call) uint64 {
			for v := range th.sides {
				if s := &th.sides[v]; own == &s.call {
					if p, ok := get(s, own); ok {
						return word(&p, off)
					}
				}
			}
			return 0
		}
	}
	b := &birth{flags: flags | word(&raw, argsExitSignal), parentTID: field(argsParentTID), childTID: field(argsChildTID), pidFD: field(argsPidFD)}
	if flags&clonePidFD != 0 && flags&cloneParentTID != 0 {
		// clone has one address for both.
		e.notice("clone3pidfd", "clone3 with CLONE_PIDFD and CLONE_PARENT_SETTID is not modelled yet: it answers ENOSYS")
		e.answer(ev, -eNOSYS)
		return
	}
	nr := e.cloneNr()
	arm := e.caps.Arch == sysabi.ARM64
	e.prepareBirth(ev, b, func(v int, own *frontend.Call) (int64, [6]uint64) {
		p, _ := get(&th.sides[v], own)
		stack := word(&p, argsStack)
		if stack != 0 {
			stack += word(&p, argsStackSize)
		}
		second := word(&p, argsParentTID)
		if flags&clonePidFD != 0 {
			second = word(&p, argsPidFD)
		}
		// The flags are those that were looked at: another thread may have changed them since.
		a := [6]uint64{b.flags, stack, second, word(&p, argsChildTID), word(&p, argsTLS)}
		if arm {
			a[3], a[4] = a[4], a[3]
		}
		return nr, a
	})
}

// prepareBirth completes a clone whose arguments args gives per variant.
func (e *Engine) prepareBirth(ev *record, b *birth, args func(int, *frontend.Call) (int64, [6]uint64)) {
	const newNS, newUser, cloneFS = 0x20000, 0x10000000, 0x200
	if b.flags&cloneFS != 0 && b.flags&(newNS|newUser) != 0 {
		e.answer(ev, -eINVAL)
		return
	}
	if b.flags&cloneNamespaces != 0 || b.flags&cloneUntraced != 0 {
		e.answer(ev, -ePERM)
		return
	}
	if b.flags&cloneThread != 0 && !e.caps.Threads {
		e.notice("threads", "this front-end has no threads: they cannot be created (EAGAIN)")
		e.answer(ev, -eAGAIN)
		return
	}
	ev.follow = followClone
	ev.birth = b
	ev.after = e.afterBirth(ev)
	ev.run = func(v int, own *frontend.Call) (int64, [6]uint64) {
		nr, a := args(v, own)
		if v != frontend.Leader {
			a[0] &^= cloneParentTID | cloneChildTID | clonePidFD
		}
		return nr, a
	}
	// Until the child lets its parent go, it has turns.
	ev.call.Blocks = b.flags&cloneVfork != 0
	e.copiesMemory(ev)
}

// copiesMemory has a call that makes a copy of memory come between the same turns of those that may
// be about to change it. It waits for the followers: put off for such a place is what all stand at.
func (e *Engine) copiesMemory(ev *record) {
	if ev.birth.flags&cloneVM == 0 && e.followers > 0 && ev.thread.sides[frontend.Leader].domain.sides[frontend.Leader].live > 1 {
		ev.copies, ev.wait = true, true
	}
}

// OnFork implements frontend.Monitor.
func (e *Engine) OnFork(parent, child frontend.Task, _ frontend.ForkKind) []frontend.Action {
	th, s := e.lookup(parent)
	if th == nil {
		return e.take()
	}
	ev := s.inCall
	if ev == nil || ev.birth == nil {
		e.fail(fmt.Errorf("%v created %v outside of a clone call", parent, child))
		return e.take()
	}
	if parent.Variant == frontend.Leader {
		if ev.child != nil {
			e.fail(fmt.Errorf("%v created two tasks in one call", parent))
			return e.take()
		}
		ev.child = e.newChild(th, ev.birth, child.Host)
		ev.forked = true
		e.attach(ev.child, child)
		e.writeIDs(ev, frontend.Leader, s, child)
	} else {
		if !ev.forked {
			e.fail(fmt.Errorf("%v forked before the leader", parent))
			return e.take()
		}
		e.attach(ev.child, child)
		e.writeIDs(ev, parent.Variant, s, child)
	}
	ev.child.proc.code[parent.Variant] = th.proc.code[parent.Variant]
	// The child may go on in its parent's handlers.
	ev.child.sides[parent.Variant].adrift = s.adrift
	e.act(frontend.Action{Op: frontend.OpResume, Task: parent})
	if s.exits && ev.child.proc == th.proc {
		e.stillborn(ev.child, parent.Variant, s.ended)
	} else {
		e.goOn(ev.child, frontend.Action{Op: frontend.OpResume, Task: child})
	}
	twin := &ev.child.sides[parent.Variant]
	for _, waits := range twin.waiters {
		f := &waits.sides[parent.Variant]
		if f.met != nil && f.met.child == ev.child && f.inCall == nil && f.stop.stopped() && !e.ended {
			e.followerGo(waits, parent.Variant)
		}
	}
	twin.waiters = nil
	if parent.Variant == frontend.Leader {
		for v := 1; v < len(th.sides) && !e.ended; v++ {
			if f := &th.sides[v]; f.met == ev && f.inCall == nil && f.stop.stopped() {
				e.followerGo(th, v)
			}
		}
	} else if !e.ended {
		e.killParent(th, parent.Variant)
	}
	return e.take()
}

// stillborn notes that v's task of th was born when another thread had been let into the end of
// their process, which is what it will die of: it does not begin. over says that the process has
// left its domain in v.
func (e *Engine) stillborn(th *thread, v int, over bool) {
	s := &th.sides[v]
	s.ending, s.exits = true, true
	if over {
		s.ended = true
		s.domain.drop(th, v)
	}
}

// newChild creates the thread or process that a clone-like call asks for.
func (e *Engine) newChild(th *thread, b *birth, host int) *thread {
	p := th.proc
	if b.flags&cloneThread != 0 {
		d := th.sides[frontend.Leader].domain
		if e.parallel() {
			d = newDomain(e.cfg.Variants)
		}
		return e.newThread(p, e.visiblePid(host), d)
	}
	parent, exitSignal := p, int(b.flags&cloneExitSignal)
	if b.flags&cloneParent != 0 {
		// Nobody of the program when p is its first process.
		parent, exitSignal = p.parent, p.exitSignal
	}
	d := th.sides[frontend.Leader].domain
	if e.parallel() || !e.sharesMemory(th, b.flags) {
		d = newDomain(e.cfg.Variants)
	}
	c := e.newProcess(parent, host, d)
	c.exitSignal = exitSignal
	c.comm = p.comm
	c.sameImage = p.sameImage
	c.handlers = p.handlers
	if b.flags&cloneSighand == 0 {
		c.handlers = p.handlers.clone()
	}
	if b.flags&cloneFiles != 0 {
		p.fds.shared = true
		c.fds = p.fds
	} else {
		c.fds = p.fds.clone()
	}
	c.space, c.lane, c.late = p.space, p.lane, p.late
	if b.flags&cloneVM == 0 && p.space != nil {
		c.space, c.lane = p.space.Clone(), e.newLane()
		c.late = p.areas().clone(c.space, p.threads)
		dropVacant(c.space)
	}
	return c.main
}

// writeIDs writes what the program is told about a new task into the memory of
// one variant: the ids that the program sees, the leader's pidfd.
func (e *Engine) writeIDs(ev *record, v int, s *side, child frontend.Task) {
	b := ev.birth
	if v == frontend.Leader {
		if b.flags&clonePidFD != 0 {
			b.pidFDValue = make([]byte, 4)
			if _, err := e.host.ReadVariantMem(s.task, b.pidFD(&s.call), b.pidFDValue); err != nil {
				b.pidFDValue = nil
			}
		}
		if e.cfg.Pids == PidsLeader {
			return
		}
	}
	var id [4]byte
	binary.LittleEndian.PutUint32(id[:], uint32(ev.child.tid))
	put := func(t frontend.Task, addr uint64, p []byte) {
		// An address that cannot be written is ignored, as the kernel does.
		if _, err := e.host.WriteVariantMem(t, addr, p); err != nil {
			e.log.Debug("thread id not written", "task", t, "addr", addr)
		}
	}
	if b.flags&cloneParentTID != 0 {
		put(s.task, b.parentTID(&s.call), id[:])
		if b.flags&cloneVM == 0 {
			put(child, b.parentTID(&s.call), id[:])
		}
	}
	if b.flags&cloneChildTID != 0 {
		put(child, b.childTID(&s.call), id[:])
	}
	if v != frontend.Leader && b.pidFDValue != nil {
		put(s.task, b.pidFD(&s.call), b.pidFDValue)
	}
}
