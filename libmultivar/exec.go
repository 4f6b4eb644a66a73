package libmultivar

import (
	"bytes"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// execState is an exec on its way through the variants.
type execState struct {
	// first is true for the program that a session starts with.
	first   bool
	start   addrspace.StartInfo
	offsets addrspace.Offsets
	program string
	// vectors are the positions of argv and envp.
	argv, envp int
	// left is the domain in which the thread was before, nil when it was alone.
	left *domain
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
	e.stall.reports++
	th := e.tasks[old]
	if th == nil || e.ended {
		if !e.ended {
			e.fail(fmt.Errorf("exec of unknown task %v", old))
		}
		return e.take()
	}
	if t != old {
		if gone := e.tasks[t]; gone != nil && gone != th {
			e.replaced(gone, th, t.Variant)
		}
		if t.Variant == frontend.Leader {
			th.tid = th.proc.pid
		}
		delete(e.tasks, old)
		e.tasks[t] = th
		th.sides[t.Variant].task = t
	}
	s := &th.sides[t.Variant]
	s.stop = atExec
	s.image = img
	s.unpatched = true
	s.robust = 0
	if t.Variant == frontend.Leader {
		th.lease.lane = 0
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
	// Nobody has to see the same time.
	x.start.KeepVDSO, x.start.Readings = e.alone(), e.reads
	if e.cfg.Layout == LayoutDisjoint {
		x.offsets = e.layout.Random(e.rand)
	} else {
		x.offsets = e.layout.RandomCommon(e.rand)
	}
	x.program = programPath(img)
	if err := x.offsets.FitStack(img, x.start); err != nil {
		// The kernel ends such a program too. Followers are killed in front of it.
		e.notice("stack "+x.program, fmt.Sprintf("%s was killed: %v; raise the stack limit (ulimit -s)", x.program, err))
		e.act(frontend.Action{Op: frontend.OpKill, Task: s.task})
		return
	}
	place, space, err := addrspace.Plan(e.layout, frontend.Leader, x.offsets, img, x.start)
	if err != nil {
		e.fail(fmt.Errorf("placing %s: %w", x.program, err))
		return
	}
	place.TrapTSC = e.trapsTSC()
	e.leaveRoom(frontend.Leader, place, space)
	p := th.proc
	old := p.space
	p.space, p.lane, p.code[frontend.Leader] = space, e.newLane(), code{}
	e.unmapsAll(old)
	p.comm = img.Comm
	p.sameImage = true
	p.exitSignal = sigCHLD
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
	e.bind(ev, p)
	x.left = e.part(th)
	e.avenge(p)
	e.complete(ev)
	e.goOn(th, frontend.Action{Op: frontend.OpPlace, Task: s.task, Place: place})
	if !x.first {
		return
	}
	for v := 1; v < len(th.sides) && !e.ended; v++ {
		if th.sides[v].image != nil {
			e.followerExec(th, v)
		}
	}
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
	th.proc.code[v] = code{}
	place, space, err := addrspace.Plan(e.layout, v, x.offsets, img, x.start)
	if err != nil {
		e.fail(fmt.Errorf("placing %s: %w", programPath(img), err))
		return
	}
	place.TrapTSC = e.trapsTSC()
	e.leaveRoom(v, place, space)
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
	e.goOn(th, frontend.Action{Op: frontend.OpPlace, Task: s.task, Place: place})
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

// trapsTSC reports whether reads of the time stamp counter are caught: all variants have to
// get the same, or somebody wants to know.
func (e *Engine) trapsTSC() bool {
	return e.caps.Rdtsc && (!e.alone() || e.hooks.OnRdtsc != nil)
}
