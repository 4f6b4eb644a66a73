package fakefe

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// AMD64 numbers of the calls that the package executes itself
// (arch/x86/entry/syscalls/syscall_64.tbl).
const (
	nrMmap       = 9
	nrYield      = 24
	nrFutex      = 202
	nrMprotect   = 10
	nrMunmap     = 11
	nrSigaction  = 13
	nrSigmask    = 14
	nrSigreturn  = 15
	nrMremap     = 25
	nrMadvise    = 28
	nrPause      = 34
	nrNanosleep  = 35
	nrGetpid     = 39
	nrClone      = 56
	nrFork       = 57
	nrVfork      = 58
	nrExecve     = 59
	nrExit       = 60
	nrWait4      = 61
	nrKill       = 62
	nrGetppid    = 110
	nrSuspend    = 130
	nrSigstack   = 131
	nrGettid     = 186
	nrTkill      = 200
	nrTidAddress = 218
	nrRestart    = 219
	nrExitGroup  = 231
	nrEpollWait  = 232
	nrTgkill     = 234
	nrRobustList = 273
	nrPrlimit64  = 302
)

const (
	errPerm   = -1
	errNoEnt  = -2
	errSrch   = -3
	errBadF   = -9
	errChild  = -10
	errNoMem  = -12
	errFault  = -14
	errExist  = -17
	errInval  = -22
	errNoSys  = -38
	mapShared = 1
	mapFixed  = 0x10
	mapAnon   = 0x20
	mapGrows  = 0x100
	mapNoRep  = 0x100000

	remapMove  = 1
	remapFixed = 2

	adviseDontNeed = 4
	adviseDontFork = 10
	adviseDoFork   = 11

	cloneVM      = 0x100
	cloneSighand = 0x800
	cloneVfork   = 0x4000
	cloneParent  = 0x8000
	cloneThread  = 0x10000
	threadFlags  = cloneVM | 0x200 | 0x400 | cloneSighand | cloneThread

	waitNoHang = 1

	// placeless is where mappings go that have no address.
	placeless = 0x7f00_0000_0000
	maxShared = 16 << 20
)

// Kernel stands for the world outside of the scripted program: it executes the
// calls of the leader that do not concern its own memory, life and signals.
type Kernel interface {
	// Call executes a call. With done false the caller sleeps, and Call is called
	// again after each thing that happens.
	Call(c *KernelCall) (ret int64, done bool)
}

// KernelFunc makes a function a Kernel.
type KernelFunc func(c *KernelCall) (ret int64, done bool)

// Call implements Kernel.
func (f KernelFunc) Call(c *KernelCall) (int64, bool) { return f(c) }

// KernelCall is a call that a Kernel executes.
type KernelCall struct {
	Task frontend.Task
	// Process is the path of the calling process; Pid its id and Parent its
	// parent's, 1 when that is dead.
	Process     string
	Pid, Parent int
	Nr          int64
	Args        [6]uint64
	task        *task
}

// Read reads n bytes of the caller's memory; fewer where it is not mapped.
func (c *KernelCall) Read(addr uint64, n int) []byte {
	p := make([]byte, n)
	return p[:c.task.proc.mem.read(addr, p)]
}

// Write writes into the caller's memory and returns how many bytes fit.
func (c *KernelCall) Write(addr uint64, p []byte) int { return c.task.proc.mem.write(addr, p, false) }

func (s *session) arch() sysabi.Arch {
	if s.cfg.Capabilities != nil {
		return s.cfg.Capabilities.Arch
	}
	return sysabi.AMD64
}

// execute starts the call that t.run says.
func (s *session) execute(t *task, f *file) {
	if ret, done := s.tryCall(t, f); done {
		if t.state == atEntry {
			s.done(t, ret)
		}
		return
	}
	t.state = blocked
	if t.takeable() {
		// A signal is there already.
		if code := t.interruptCode(); code != 0 {
			s.done(t, code)
		}
	}
}

// takeable reports whether a signal is pending that t does not block.
func (t *task) takeable() bool {
	for _, sig := range t.proc.pending {
		if t.blocked&bit(sig.Number) == 0 {
			return true
		}
	}
	return false
}

// retry tries a sleeping call again and reports whether it is done.
func (s *session) retry(t *task) bool {
	switch t.run.nr {
	case nrFork, nrVfork, nrClone:
		for _, p := range s.procs {
			if p.vfork == t {
				return false
			}
		}
		s.done(t, t.ret)
		return true
	}
	ret, done := s.tryCall(t, nil)
	if done && t.state == blocked {
		s.done(t, ret)
	}
	return done
}

// tryCall executes t.run. When it changes t.state itself, the result does not
// count.
func (s *session) tryCall(t *task, f *file) (ret int64, done bool) {
	a := &t.run.args
	p := t.proc
	if t.step != nil && t.step.Op == OpAwait {
		return 0, t.step.Until(&Frame{task: t})
	}
	switch t.run.nr {
	case nrYield:
		if t.stoppable {
			return 0, true
		}
	case nrMmap:
		return s.mmap(t, f), true
	case nrMunmap:
		end := a[0] + roundUp(a[1])
		if a[0]%pageSize != 0 || a[1] == 0 || end <= a[0] {
			return errInval, true
		}
		p.mem.remove(a[0], end)
		return 0, true
	case nrMprotect:
		end := a[0] + roundUp(a[1])
		if a[0]%pageSize != 0 || end < a[0] {
			return errInval, true
		}
		upTo := p.mem.covered(a[0], end)
		p.mem.change(a[0], upTo, func(x *area) { x.Prot = uint32(a[2]) & 7 })
		if upTo < end {
			return errNoMem, true
		}
		return 0, true
	case nrMremap:
		return s.mremap(t), true
	case nrMadvise:
		return s.madvise(t), true
	case nrSigaction:
		return t.sigaction(), true
	case nrSigmask:
		return t.sigmask(), true
	case nrSigreturn:
		t.sigreturn()
		return 0, true
	case nrSigstack:
		return 0, true
	case nrRobustList:
		t.robust = a[0]
		return 0, true
	case nrTidAddress, nrGettid:
		return int64(t.id.Host), true
	case nrGetpid:
		return int64(p.pid), true
	case nrGetppid:
		if p.parent == nil {
			return 1, true
		}
		return int64(p.parent.pid), true
	case nrFork, nrVfork, nrClone:
		s.fork(t)
		return 0, true
	case nrExecve:
		return s.exec(t)
	case nrExit:
		t.state, t.status = dying, frontend.Status{Code: int(a[0] & 0xff)}
		t.bequeath()
		return 0, true
	case nrExitGroup:
		s.kill(p, frontend.Status{Code: int(a[0] & 0xff)})
		return 0, true
	case nrWait4:
		return t.wait4()
	case nrKill:
		return s.raise(t, int(int32(a[0])), int(int32(a[1])), codeUser), true
	case nrTkill:
		return s.raise(t, int(int32(a[0])), int(int32(a[1])), codeTkill), true
	case nrTgkill:
		return s.raise(t, int(int32(a[0])), int(int32(a[2])), codeTkill), true
	case nrPause:
		return 0, false
	case nrSuspend:
		if t.suspended == nil {
			var set [8]byte
			if p.mem.read(a[0], set[:]) < len(set) {
				return errFault, true
			}
			old := t.blocked
			t.suspended = &old
			t.blocked = binary.LittleEndian.Uint64(set[:]) &^ (bit(sigKill) | bit(19))
		}
		return 0, false
	}
	// A limit concerns the processes of its variant.
	if t.id.Variant != frontend.Leader && t.run.nr != nrPrlimit64 {
		if row, ok := sysabi.Lookup(sysabi.AMD64, int(t.run.nr)); ok && s.cfg.Alone && row.Alone == sysabi.AloneRuns {
			return 0, true
		}
		s.fault("%v, a follower, is let into call %d, which acts outside", t.id, t.run.nr)
		return 0, true
	}
	parent := 1
	if p.parent != nil {
		parent = p.parent.pid
	}
	return s.kernel.Call(&KernelCall{
		Task: t.id, Process: p.path, Pid: p.pid, Parent: parent, Nr: t.run.nr, Args: t.run.args, task: t,
	})
}

func roundUp(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }

func (s *session) mmap(t *task, f *file) int64 {
	a := &t.run.args
	size := roundUp(a[1])
	mem := t.proc.mem
	if size == 0 || a[0]%pageSize != 0 {
		return errInval
	}
	at := a[0]
	if a[3]&(mapFixed|mapNoRep) == 0 {
		at = placeless
		for mem.overlaps(at, at+size) {
			at += size + pageSize
		}
	}
	if a[3]&mapNoRep != 0 && mem.overlaps(at, at+size) {
		return errExist
	}
	n := area{
		Mapping: frontend.Mapping{Start: at, End: at + size, Prot: uint32(a[2]) & 7, Shared: a[3]&0xf == mapShared},
		grows:   a[3]&mapGrows != 0,
	}
	if n.Shared && size > maxShared {
		return errNoMem
	}
	var content []byte
	if a[3]&mapAnon == 0 {
		switch {
		case f != nil:
			content = f.content
		case t.id.Variant == frontend.Leader && s.cfg.Content != nil:
			if content = s.cfg.Content(int(int32(a[4]))); content == nil {
				return errBadF
			}
		default:
			return errBadF
		}
		if a[5] < uint64(len(content)) {
			content = content[a[5]:]
		} else {
			content = nil
		}
	}
	mem.add(n)
	mem.write(at, content[:min(uint64(len(content)), size)], true)
	return int64(at)
}

func (s *session) mremap(t *task) int64 {
	a := &t.run.args
	mem := t.proc.mem
	old, size := roundUp(a[1]), roundUp(a[2])
	x := mem.find(a[0])
	if x == nil || size == 0 || old == 0 || x.End < a[0]+old {
		return errFault
	}
	moved := *x
	moved.Start, moved.End = a[0], a[0]+size
	switch {
	case a[3]&remapFixed != 0:
		mem.remove(a[4], a[4]+size)
		if size < old {
			mem.remove(a[0]+size, a[0]+old)
		}
		mem.move([]frontend.Move{{From: a[0], To: a[4], Size: min(old, size)}})
		if size > old {
			moved.Start, moved.End = a[4]+old, a[4]+size
			mem.add(moved)
		}
		return int64(a[4])
	case size < old:
		mem.remove(a[0]+size, a[0]+old)
	case size > old:
		if mem.overlaps(a[0]+old, a[0]+size) {
			return errNoMem
		}
		moved.Start = a[0] + old
		mem.add(moved)
	}
	return int64(a[0])
}

func (s *session) madvise(t *task) int64 {
	a := &t.run.args
	mem := t.proc.mem
	end := a[0] + roundUp(a[1])
	if mem.covered(a[0], end) < end {
		return errNoMem
	}
	switch a[2] {
	case adviseDontNeed:
		for at := range mem.pages {
			if at >= a[0] && at < end {
				clear(mem.pages[at][:])
			}
		}
	case adviseDontFork, adviseDoFork:
		mem.change(a[0], end, func(x *area) { x.dontFork = a[2] == adviseDontFork })
	}
	return 0
}

func (t *task) sigaction() int64 {
	a := &t.run.args
	n := int(int32(a[0]))
	if n < 1 || n > 64 || n == sigKill || n == 19 {
		return errInval
	}
	le := binary.LittleEndian
	d := &t.proc.disp[n]
	old := *d
	if a[1] != 0 {
		var p [32]byte
		if t.proc.mem.read(a[1], p[:]) < len(p) {
			return errFault
		}
		*d = action{le.Uint64(p[0:]), le.Uint64(p[8:]), le.Uint64(p[16:]), le.Uint64(p[24:])}
	}
	if a[2] != 0 {
		p := le.AppendUint64(nil, old.handler)
		p = le.AppendUint64(le.AppendUint64(le.AppendUint64(p, old.flags), old.restorer), old.mask)
		if t.proc.mem.write(a[2], p, false) < len(p) {
			return errFault
		}
	}
	return 0
}

func (t *task) sigmask() int64 {
	a := &t.run.args
	le := binary.LittleEndian
	old := t.blocked
	if a[1] != 0 {
		var p [8]byte
		if t.proc.mem.read(a[1], p[:]) < len(p) {
			return errFault
		}
		set := le.Uint64(p[:]) &^ (bit(sigKill) | bit(19))
		switch a[0] {
		case 0:
			t.blocked |= set
		case 1:
			t.blocked &^= set
		case 2:
			t.blocked = set
		default:
			return errInval
		}
	}
	if a[2] != 0 && t.proc.mem.write(a[2], le.AppendUint64(nil, old), false) < 8 {
		return errFault
	}
	return 0
}

// raise sends a signal by pid or tid.
func (s *session) raise(t *task, pid, number, code int) int64 {
	if number < 0 || number > 64 {
		return errInval
	}
	for _, p := range s.procs {
		if p.variant != t.id.Variant || p.pid != pid {
			continue
		}
		if number != 0 {
			s.send(p, newSignal(number, code, uint64(t.proc.pid)))
		}
		return 0
	}
	return errSrch
}
