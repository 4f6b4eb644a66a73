package libmultivar

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Flags of clone(2) (include/uapi/linux/sched.h).
const (
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

// waitAll is __WALL of wait(2).
const waitAll = 0x40000000

// cloneNr and wait4Nr are the numbers of the calls that followers make.
func (e *Engine) cloneNr() int64 {
	if e.caps.Arch == sysabi.ARM64 {
		return 220
	}
	return 56
}

func (e *Engine) wait4Nr() int64 {
	if e.caps.Arch == sysabi.ARM64 {
		return 260
	}
	return 61
}

func (e *Engine) prepareFork(_ *thread, ev *record) {
	ev.follow = followClone
	ev.birth = &birth{}
	if ev.call.Handler == sysabi.HandlerVfork {
		ev.birth.flags = cloneVfork | cloneVM
	}
	ev.after = e.afterBirth(ev)
}

// afterBirth gives the parent the id of its child that the program sees.
func (e *Engine) afterBirth(ev *record) func(int64) int64 {
	return func(ret int64) int64 {
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
		a := [6]uint64{flags | word(&p, argsExitSignal), stack, second, word(&p, argsChildTID), word(&p, argsTLS)}
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
	if b.flags&cloneVM != 0 && b.flags&(cloneVfork|cloneThread) == 0 {
		// It would run beside its parent on the same memory, outside of any turn.
		e.notice("clonevm", "a process that shares its parent's memory is not modelled yet: clone answers ENOSYS")
		e.answer(ev, -eNOSYS)
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
	if b.flags&cloneVfork == 0 {
		ev.call.Blocks = false
	}
}

// OnFork implements frontend.Monitor.
func (e *Engine) OnFork(parent, child frontend.Task, _ frontend.ForkKind) []frontend.Action {
	th, s := e.find(parent)
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
	e.act(frontend.Action{Op: frontend.OpResume, Task: parent})
	e.goOn(ev.child, frontend.Action{Op: frontend.OpResume, Task: child})
	if parent.Variant == frontend.Leader {
		for v := 1; v < len(th.sides) && !e.ended; v++ {
			if f := &th.sides[v]; f.met == ev && f.inCall == nil && f.stop.stopped() {
				e.followerGo(th, v)
			}
		}
	}
	return e.take()
}

// newChild creates the thread or process that a clone-like call asks for.
func (e *Engine) newChild(th *thread, b *birth, host int) *thread {
	p := th.proc
	if b.flags&cloneThread != 0 {
		return e.newThread(p, e.visiblePid(host), th.domain)
	}
	parent := p
	if b.flags&cloneParent != 0 && p.parent != nil {
		parent = p.parent
	}
	c := e.newProcess(parent, host)
	c.comm = p.comm
	c.sameImage = p.sameImage
	c.handlers = p.handlers
	if b.flags&cloneSighand == 0 {
		c.handlers = p.handlers.clone()
	}
	c.fds = p.fds
	if b.flags&cloneFiles == 0 {
		c.fds = p.fds.clone()
	}
	c.space = p.space
	if b.flags&cloneVM == 0 && p.space != nil {
		c.space = p.space.Clone()
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

// execState is an exec on its way through the variants.
type execState struct {
	// first is true for the program that a session starts with.
	first   bool
	start   addrspace.StartInfo
	offsets addrspace.Offsets
	program string
	// vectors are the positions of argv and envp.
	argv, envp int
}

func (x *execState) args(own *frontend.Call) [6]uint64 {
	return [6]uint64{1: own.Args[x.argv], 2: own.Args[x.envp]}
}

func (e *Engine) prepareExec(th *thread, ev *record) {
	ev.follow = followExec
	ev.exec = &execState{argv: 1, envp: 2}
	dir, path, flags := currentDir, ev.raw.Args[0], 0
	if ev.call.Handler == sysabi.HandlerExecveat {
		ev.exec.argv, ev.exec.envp = 2, 3
		dir, path, flags = int(int32(ev.raw.Args[0])), ev.raw.Args[1], int(int32(ev.raw.Args[4]))
	}
	host, ok := e.host.(frontend.Executables)
	if !ok || !e.caps.Executables {
		return
	}
	task := th.sides[frontend.Leader].task
	name := make([]byte, maxPath)
	n, _ := e.host.ReadVariantMem(task, path, name)
	end := bytes.IndexByte(name[:n], 0)
	if end < 0 {
		// The kernel says what is wrong with it.
		return
	}
	if errno, reason := host.ExecRefusal(task, dir, string(name[:end]), flags); errno != 0 {
		e.notice("exec "+reason, fmt.Sprintf("%s was not executed: %s", name[:end], reason))
		e.answer(ev, -int64(errno))
	}
}

// currentDir is AT_FDCWD (include/uapi/linux/fcntl.h).
const currentDir = -100

// OnExec implements frontend.Monitor.
func (e *Engine) OnExec(t, old frontend.Task, img *frontend.Image) []frontend.Action {
	th := e.tasks[old]
	if th == nil || e.ended {
		if !e.ended {
			e.fail(fmt.Errorf("exec of unknown task %v", old))
		}
		return e.take()
	}
	if t != old {
		delete(e.tasks, old)
		e.tasks[t] = th
		th.sides[t.Variant].task = t
	}
	s := &th.sides[t.Variant]
	s.stop = atExec
	s.image = img
	if t.Variant == frontend.Leader {
		e.leaderExec(th, img)
	} else {
		e.followerExec(th, t.Variant)
	}
	return e.take()
}

func (e *Engine) leaderExec(th *thread, img *frontend.Image) {
	s := &th.sides[frontend.Leader]
	ev := s.inCall
	if ev == nil && len(th.events) > 0 {
		ev = th.events[0]
	}
	if ev == nil || ev.exec == nil {
		e.fail(fmt.Errorf("%v executed a program outside of an exec call", s.task))
		return
	}
	x := ev.exec
	x.start = addrspace.StartInfoFrom(img)
	x.start.ProgramAlign = e.programAlign(s.task, img)
	if e.cfg.Layout == LayoutDisjoint {
		x.offsets = e.layout.Random(e.rand)
	} else {
		x.offsets = e.layout.RandomCommon(e.rand)
	}
	x.program = programPath(img)
	place, space, err := addrspace.Plan(e.layout, frontend.Leader, x.offsets, img, x.start)
	if err != nil {
		e.fail(fmt.Errorf("placing %s: %w", x.program, err))
		return
	}
	place.TrapTSC = e.caps.Rdtsc
	p := th.proc
	p.space = space
	p.comm = img.Comm
	p.sameImage = true
	p.handlers = p.handlers.exec()
	p.fds = p.fds.exec()
	s.inCall = nil
	s.image = nil
	th.settling = nil
	if !x.first && e.followers > 0 {
		f, err := e.host.DupImage(s.task)
		if err != nil {
			e.hostFailed(err)
			return
		}
		ev.file, ev.hasFile = f, true
	}
	e.complete(ev)
	e.letGo(th, frontend.Action{Op: frontend.OpPlace, Task: s.task, Place: place})
	if !x.first {
		return
	}
	for v := 1; v < len(th.sides) && !e.ended; v++ {
		if th.sides[v].image != nil {
			e.followerExec(th, v)
		}
	}
}

// Entries of the auxiliary vector and the size of an ELF program header
// (include/uapi/linux/auxvec.h, elf(5)).
const (
	auxPhdr    = 3
	auxPhnum   = 5
	phdrSize   = 56
	maxHeaders = 512
)

// programAlign returns the alignment that the program's segments ask for.
func (e *Engine) programAlign(t frontend.Task, img *frontend.Image) uint64 {
	at, _ := addrspace.AuxValue(img.Aux, auxPhdr)
	n, ok := addrspace.AuxValue(img.Aux, auxPhnum)
	if !ok || n > maxHeaders {
		return 0
	}
	headers := make([]byte, n*phdrSize)
	if _, err := e.host.ReadVariantMem(t, at, headers); err != nil {
		return 0
	}
	return addrspace.ProgramAlign(headers)
}

// followerExec places the program of a follower as the leader's was placed.
func (e *Engine) followerExec(th *thread, v int) {
	s := &th.sides[v]
	ev := th.event(v)
	if ev != nil && ev.kind == event.Killed {
		e.followerMatch(th, v)
		return
	}
	if ev == nil || ev.exec == nil || (!ev.exec.first && s.inCall != ev) {
		e.fail(fmt.Errorf("%v executed a program outside of an exec call", s.task))
		return
	}
	if !ev.done {
		return
	}
	img := s.image
	s.image = nil
	x := ev.exec
	place, space, err := addrspace.Plan(e.layout, v, x.offsets, img, x.start)
	if err != nil {
		e.fail(fmt.Errorf("placing %s: %w", programPath(img), err))
		return
	}
	place.TrapTSC = e.caps.Rdtsc
	if programPath(img) != x.program {
		th.proc.sameImage = false
	}
	if sp := th.proc.space; sp != nil && !sp.Equal(space) {
		// Different builds take different ranges: what one variant uses is free in
		// none.
		sp.Reserve(space)
	}
	if ev.met == 0 || s.met != ev {
		s.met = ev
		ev.met++
	}
	e.logCall(v, ev)
	e.passed(ev, v)
	e.letGo(th, frontend.Action{Op: frontend.OpPlace, Task: s.task, Place: place})
}

// programPath returns the path of the image's program.
func programPath(img *frontend.Image) string {
	for _, m := range img.Mappings {
		if m.Region == frontend.RegionProgram && m.Path != "" {
			return m.Path
		}
	}
	return ""
}

func (e *Engine) prepareExit(_ *thread, ev *record) {
	ev.follow = followEach
	ev.wait = true
	ev.deadly = true
	ev.wholeProcess = ev.call.Handler == sysabi.HandlerExitGroup
}

// OnExit implements frontend.Monitor.
func (e *Engine) OnExit(t frontend.Task, st frontend.Status) []frontend.Action {
	th := e.tasks[t]
	if th == nil || e.ended {
		return e.take()
	}
	delete(e.tasks, t)
	s := &th.sides[t.Variant]
	s.stop = dead
	s.since = e.now
	s.status = st
	exits := s.exits
	if !s.ended {
		s.ended = true
		th.domain.leave(t.Variant, th)
	}
	switch {
	case t.Variant == frontend.Leader:
		e.settle(th)
		s.inCall = nil
		th.held = false
		if exits || s.ending && s.signal != nil && st.Signal == s.signal.Number {
			// Followers end by the same event.
			e.trim(th)
			th.fatal = !exits
			for v := 1; v < len(th.sides) && th.fatal && !e.ended; v++ {
				if f := &th.sides[v]; f.stop.stopped() && !f.exits && th.event(v) == nil {
					e.followerMatch(th, v)
				}
			}
		} else {
			e.leaderKilled(th, st)
		}
	case !s.ending, !exits && th.survives(t.Variant):
		// Nothing of the leader's explains it, or the leader has gone on.
		e.divergeDeath(th, t.Variant, st)
	default:
		e.skipDead(th, t.Variant)
	}
	e.reapTwins(th)
	e.pump(th.domain, t.Variant)
	return e.take()
}

// survives reports whether the leader has gone on behind the event of which
// follower v died.
func (th *thread) survives(v int) bool {
	ev := th.event(v)
	return ev != nil && ev.kind != event.Killed
}

// leaderKilled drives the followers' twins of a task that was killed from outside
// to its last event, and kills them there.
func (e *Engine) leaderKilled(th *thread, st frontend.Status) {
	var ev *record
	if n := len(th.events); n > 0 && th.events[n-1].forked && !th.events[n-1].done {
		// The child lives, and followers may have theirs already.
		e.complete(th.events[n-1])
	}
	if n := len(th.events); n > 0 && !th.events[n-1].done {
		// The call in which it died has no outcome.
		ev = th.events[n-1]
		ev.kind = event.Killed
	} else {
		ev = e.newRecord(th, event.Killed)
	}
	ev.name = "killed"
	ev.started = true
	ev.status = st
	e.published(th, ev)
	if !e.ended {
		e.complete(ev)
	}
}

// skipDead counts the events that a dead follower will not meet as passed.
func (e *Engine) skipDead(th *thread, v int) {
	s := &th.sides[v]
	for {
		ev := th.event(v)
		if ev == nil {
			return
		}
		s.next++
		ev.passed++
		if s.met != ev {
			ev.met++
		}
		s.met = nil
		if len(th.events) > 0 && th.events[0] == ev {
			e.trim(th)
		}
	}
}

// reapTwins forgets a thread that has died in all variants.
func (e *Engine) reapTwins(th *thread) {
	for v := range th.sides {
		if th.sides[v].stop != dead {
			return
		}
	}
	for _, ev := range th.events {
		e.release(ev)
	}
	p := th.proc
	delete(p.threads, th.id)
	if len(p.threads) > 0 {
		return
	}
	p.space = nil
	p.dead = true
	if up := p.parent; (up == nil || up.dead && !e.subreaper || up.handlers.disp[sigCHLD] == dispIgnore) && e.pids[p.pid] == p {
		// Nobody will ask for it.
		delete(e.pids, p.pid)
	}
}

// prepareWait replicates the leader's choice of a child and lets followers
// collect its twin.
func (e *Engine) prepareWait(_ *thread, ev *record) {
	ev.follow = followAnswer
	const noWait = 0x1000000
	options := ev.raw.Args[2]
	waitid := ev.call.Handler == sysabi.HandlerWaitid
	if waitid {
		options = ev.raw.Args[3]
	}
	translate := ev.after
	ev.after = func(ret int64) int64 {
		if translate != nil {
			ret = translate(ret)
		}
		host := ret
		if waitid {
			host = e.waitedID(ev)
		}
		if ret < 0 || host <= 0 {
			return ret
		}
		task := frontend.Task{Variant: frontend.Leader, Host: int(host)}
		seen := e.programPid(host)
		child := e.pids[int(seen)]
		if e.tasks[task] == nil && child != nil && (!waitid || options&noWait == 0) {
			// It is dead and gone: the twins go too.
			delete(e.pids, int(seen))
			ev.child = child.main
			ev.follow = followReap
			ev.run = func(v int, own *frontend.Call) (int64, [6]uint64) {
				if v == frontend.Leader {
					return own.Nr, own.Args
				}
				return e.wait4Nr(), [6]uint64{0: uint64(child.main.sides[v].task.Host), 2: waitAll}
			}
		}
		if waitid {
			e.showWaited(ev, seen)
			return ret
		}
		return seen
	}
}

// showWaited writes the id that the program sees into the leader's siginfo.
func (e *Engine) showWaited(ev *record, seen int64) {
	if e.cfg.Pids == PidsLeader || ev.raw.Args[2] == 0 {
		return
	}
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], uint32(seen))
	if _, err := e.host.WriteVariantMem(ev.thread.sides[frontend.Leader].task, ev.raw.Args[2]+siginfoSender, p[:]); err != nil {
		e.hostFailed(err)
	}
}

// waitedID returns the id of the process that the leader's waitid reported.
func (e *Engine) waitedID(ev *record) int64 {
	info := ev.raw.Args[2]
	if info == 0 {
		return 0
	}
	var p [4]byte
	if _, err := e.host.ReadVariantMem(ev.thread.sides[frontend.Leader].task, info+siginfoSender, p[:]); err != nil {
		return 0
	}
	return int64(int32(binary.LittleEndian.Uint32(p[:])))
}
