package fakefe

import (
	"encoding/binary"
	"strconv"

	"github.com/multivar/multivar/frontend"
)

func (t *task) wait4() (int64, bool) {
	a := &t.run.args
	p := t.proc
	want := int(int32(a[0]))
	any := false
	for i, c := range p.children {
		if want > 0 && c.pid != want {
			continue
		}
		any = true
		if !c.zombie {
			continue
		}
		if a[1] != 0 {
			var status [4]byte
			binary.LittleEndian.PutUint32(status[:], uint32(c.status.Code)<<8|uint32(c.status.Signal))
			if p.mem.write(a[1], status[:], false) < len(status) {
				return errFault, true
			}
		}
		if a[3] != 0 && p.mem.write(a[3], make([]byte, 144), false) < 144 {
			return errFault, true
		}
		p.children = append(p.children[:i:i], p.children[i+1:]...)
		c.parent = nil
		return int64(c.pid), true
	}
	switch {
	case !any:
		return errChild, true
	case a[2]&waitNoHang != 0:
		return 0, true
	}
	return 0, false
}

// fork makes a new task.
func (s *session) fork(t *task) {
	flags := uint64(0)
	switch t.run.nr {
	case nrVfork:
		flags = cloneVM | cloneVfork
	case nrClone:
		flags = t.run.args[0]
	}
	var steps []Step
	if t.step != nil {
		steps = t.step.Child
	}
	p := t.proc
	var child *task
	if flags&cloneThread != 0 {
		child = s.newTask(p, steps)
	} else {
		c := &process{
			s: s, variant: p.variant, path: p.path + "." + strconv.Itoa(p.born), parent: p,
			mem: p.mem, vars: p.vars, args: p.args, used: p.used, program: p.program, image: p.image,
		}
		p.born++
		if flags&cloneParent != 0 {
			c.parent = p.parent
		}
		if flags&cloneVM == 0 {
			c.mem = p.mem.fork()
		}
		c.vars = make(map[string]uint64, len(p.vars))
		for k, v := range p.vars {
			c.vars[k] = v
		}
		disp := *p.disp
		c.disp = &disp
		if c.parent != nil {
			c.parent.children = append(c.parent.children, c)
		}
		s.procs = append(s.procs, c)
		child = s.newTask(c, steps)
		if flags&cloneVfork != 0 {
			c.vfork = t
		}
	}
	child.blocked, child.sp = t.blocked, t.sp
	t.child = child
	t.ret = int64(child.id.Host)
	t.state = forking
}

// kill ends a process.
func (s *session) kill(p *process, st frontend.Status) {
	if p.ends == nil && p.living() > 0 {
		p.ends = &st
	}
	for _, t := range p.tasks {
		switch t.state {
		case dead, dying:
			continue
		case forking:
			// The child that nobody was told of goes too.
			s.drop(t.child)
		case unborn:
			t.state = dead
			continue
		}
		t.state, t.status = dying, st
		t.bequeath()
	}
}

// bequeath marks the robust futexes that t has under its own id, as the kernel does before
// anybody is told of the task's end (kernel/futex/core.c, exit_robust_list).
func (t *task) bequeath() {
	const (
		owner, died, waiters = 0x3fffffff, 0x40000000, 0x80000000
		limit                = 2048
	)
	le, mem := binary.LittleEndian, t.proc.mem
	word := func(addr uint64) (uint64, bool) {
		var p [8]byte
		n := mem.read(addr, p[:])
		return le.Uint64(p[:]), n == len(p)
	}
	entry, ok := word(t.robust)
	offset, ok2 := word(t.robust + 8)
	for range limit {
		if t.robust == 0 || !ok || !ok2 || entry == t.robust {
			return
		}
		var p [4]byte
		if mem.read(entry+offset, p[:]) < len(p) {
			return
		}
		if v := le.Uint32(p[:]); v&owner == uint32(t.id.Host) {
			le.PutUint32(p[:], v&waiters|died)
			mem.write(entry+offset, p[:], false)
		}
		entry, ok = word(entry)
	}
}

// drop forgets a task that was never reported.
func (s *session) drop(t *task) {
	t.state = dead
	p := t.proc
	if p.vfork != nil {
		p.vfork = nil
	}
	if p.parent != nil && p.living() == 0 {
		for i, c := range p.parent.children {
			if c == p {
				p.parent.children = append(p.parent.children[:i:i], p.parent.children[i+1:]...)
				break
			}
		}
	}
}

// bury makes a process whose last task has ended a zombie.
func (s *session) bury(p *process, st frontend.Status) {
	if p.ends != nil {
		st = *p.ends
	}
	p.status = st
	s.record.Status[p.variant][p.path] = st
	if p == s.root {
		s.outcome = s.spec.FirstEnded(st)
	}
	for _, c := range p.children {
		c.parent = nil
	}
	p.vfork = nil
	if p.parent == nil {
		return
	}
	if a := &p.parent.disp[sigChld]; a.handler == 1 || a.flags&saNoChildWait != 0 {
		for i, c := range p.parent.children {
			if c == p {
				p.parent.children = append(p.parent.children[:i:i], p.parent.children[i+1:]...)
				break
			}
		}
		return
	}
	p.zombie = true
	code := codeExited
	if st.Signal != 0 {
		code = codeKilled
	}
	s.send(p.parent, newSignal(sigChld, code, uint64(p.pid)))
}
