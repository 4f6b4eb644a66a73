//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// Flags of clone(2) (include/uapi/linux/sched.h).
const (
	cloneVM      = 0x100
	cloneFS      = 0x200
	cloneFiles   = 0x400
	cloneSighand = 0x800
	cloneVfork   = 0x4000
	cloneThread  = 0x10000
	cloneSysVSem = 0x40000
	cloneSetTLS  = 0x80000
	cloneNewPID  = 0x20000000
	signalChild  = 17
)

// birth is a clone-like call under way.
type birth struct {
	parent *task
	flags  uint64
	args   [6]uint64
	kind   frontend.ForkKind
	// fpu is the parent's XSAVE area.
	fpu []byte
	// vcpu is the child's where it shares the parent's memory. It is made in the
	// parent, so that both have its descriptor. mm is that memory.
	vcpu *vcpu
	mm   *memory
	// told is true when the monitor knows of the child and has let the parent go
	// on; result holds the call's result when it came earlier.
	told, returned bool
	result         int64
}

// giveBack gives up the virtual processor of a child that has not got it.
func (b *birth) giveBack() {
	if b.vcpu != nil {
		b.mm.idle = append(b.mm.idle, b.vcpu)
		b.vcpu = nil
	}
}

// fork carries out a call that makes a task. The child is a real one of the
// process; it begins in the variant host, which reports it.
func (s *session) fork(t *task, nr int64, args [6]uint64) error {
	b := &birth{parent: t, flags: args[0], args: args, kind: frontend.Clone, mm: t.proc.mm}
	switch nr {
	case unix.SysFork:
		b.flags, b.args, b.kind = signalChild, [6]uint64{}, frontend.Fork
	case unix.SysVfork:
		b.flags, b.args = cloneVM|cloneVfork|signalChild, [6]uint64{}
	}
	if b.flags&cloneNewPID != 0 {
		// The child would not know the ids by which the monitor knows it.
		return s.done(t, -int64(syscall.EPERM))
	}
	if b.flags&cloneVfork != 0 {
		b.kind = frontend.Vfork
	} else if b.flags&0xff == signalChild && b.flags&cloneVM == 0 {
		b.kind = frontend.Fork
	}
	if b.flags&cloneFiles != 0 {
		if kept, err := s.keepSlot(t); err != nil || !kept {
			if err == nil {
				err = s.done(t, -int64(syscall.EAGAIN))
			}
			return err
		}
	}
	if !b.makesInTable() && (b.flags&cloneVM == 0 || s.native() || t.proc.mm.spare(t) >= 0) {
		return s.forkAlone(t, b)
	}
	s.alone(t, func() { s.check(t, s.forkAlone(t, b)) }, func() { s.check(t, s.done(t, -int64(syscall.EAGAIN))) })
	return nil
}

// makesInTable says whether the child gets descriptors of the variant host's of its own
// in the parent's table. Until it has, the parent has the table for itself.
func (b *birth) makesInTable() bool { return b.flags&(cloneFiles|cloneThread) == cloneFiles }

// forkAlone is fork for a task that has its table of descriptors for itself where
// something is made in it.
func (s *session) forkAlone(t *task, b *birth) error {
	var err error
	if b.fpu, err = s.saveFPU(t); err != nil {
		return err
	}
	if b.flags&cloneVM != 0 {
		if b.vcpu, err = s.processor(t, t.proc.mm); errors.Is(err, vhost.ErrFull) {
			s.leaveAlone(t)
			return s.done(t, -int64(syscall.EAGAIN))
		} else if err != nil {
			return err
		}
	}
	if !b.makesInTable() {
		s.leaveAlone(t)
	}
	s.tidy(t, func() { s.check(t, s.clone(t, b)) })
	return nil
}

// clone makes the task of b.
func (s *session) clone(t *task, b *birth) error {
	v := t.proc.variant
	blk, err := v.newBlock(s.hostSpin)
	if err != nil {
		b.giveBack()
		s.leaveAlone(t)
		return s.done(t, -int64(syscall.EAGAIN))
	}
	if s.native() {
		blk.SetNative()
	}
	blk.Lend()
	child := &task{id: frontend.Task{Variant: v.index}, blk: blk, born: b, state: unborn, posted: true}
	child.then = func() { s.childStarted(child) }
	s.active = append(s.active, child)
	s.unborn = append(s.unborn, child)
	t.bearing = b
	// The program's stack and thread pointer are the guest's; ids go where the
	// program wants them.
	call := vhost.Call{Nr: unix.SysClone, Child: blk}
	call.Args = [6]uint64{b.flags &^ cloneSetTLS, 0, b.args[2], b.args[3]}
	child.proc = t.proc
	s.post(t, []vhost.Call{call}, false, func() { s.cloneReturned(t, child) })
	return nil
}

// cloneReturned takes the parent's result.
func (s *session) cloneReturned(t, child *task) {
	b := child.born
	b.result, b.returned = t.blk.Result(t.blk.Done()-1), true
	if b.result < 0 {
		child.state, t.bearing = ended, nil
		s.dropActive(child)
		s.dropUnborn(child)
		child.proc.variant.arena.FreeBlock(child.blk)
		b.giveBack()
		s.leaveAlone(t)
		s.check(t, s.done(t, b.result))
		return
	}
	if b.told {
		s.check(t, s.done(t, b.result))
	}
}

// childStarted takes the first report of a new task.
func (s *session) childStarted(child *task) {
	b := child.born
	t := b.parent
	if t.state == ended || t.proc.killed {
		s.abandon(child)
		return
	}
	// What the call copies has been copied.
	t.grasping = 0
	if b.makesInTable() && t.files.maker != t {
		s.alone(t, func() { s.childStarted(child) }, func() { s.failure(t.id, errNotAlone) })
		return
	}
	defer s.leaveAlone(t)
	child.id.Host = child.blk.Thread()
	if err := s.adopt(t, child); isGone(err) && s.tasks[child.id.Host] == child {
		if child.vcpu == nil {
			b.giveBack()
		}
		// It died before it was ready. The monitor is told of it all the same, and of
		// its end next.
		s.log.Debug("a task died at its birth", "task", child.id.String())
	} else if err != nil {
		s.failure(t.id, err)
		return
	}
	t.state, child.state = atFork, atBirth
	s.apply(s.mon.OnFork(t.id, child.id, b.kind))
}

// parentGoesOn lets the parent of a reported child go on. Its call may still be
// under way: vfork.
func (s *session) parentGoesOn(t *task) error {
	b := t.bearing
	b.told, t.bearing = true, nil
	if b.returned {
		return s.done(t, b.result)
	}
	t.state = running
	return nil
}

// abandon ends a child that nobody will hear of, because its parent has ended
// meanwhile. That it is gone is awaited at the end of the session.
func (s *session) abandon(child *task) {
	child.state = ended
	child.born.giveBack()
	s.dropUnborn(child)
	pid := child.blk.Process()
	child.proc.variant.dying = append(child.proc.variant.dying, dying{child.blk, pid, child.blk.Thread()})
	if child.born.flags&cloneThread != 0 {
		// It ends with its process.
		return
	}
	pidfd, err := unix.PidfdOpen(pid)
	if err != nil {
		return
	}
	_ = unix.Kill(pid, syscall.SIGKILL)
	s.abandoned = append(slices.DeleteFunc(s.abandoned, func(fd int) bool {
		gone := unix.Readable(fd)
		if gone {
			_ = unix.Close(fd)
		}
		return gone
	}), pidfd)
}

// hangUpLimit bounds the wait for processes of which the monitor knows nothing yet.
const hangUpLimit = 10 * time.Second

// endUnborn ends the children of v that were being made when all its other
// processes ended, and waits until no process has the variant's control socket.
func (s *session) endUnborn(v *variant) {
	for end := time.Now().Add(hangUpLimit); v.socket >= 0 && time.Now().Before(end); {
		for _, c := range slices.Clone(s.unborn) {
			if c.proc.variant == v && c.blk.Reported() {
				s.abandon(c)
			}
		}
		if hungUp, err := unix.WaitHangUp(v.socket, patience); hungUp || err != nil {
			return
		}
	}
}

// adopt makes a task that has started one of the session's.
func (s *session) adopt(t, child *task) error {
	b := child.born
	p := t.proc
	if b.flags&cloneThread == 0 {
		pid := child.blk.Process()
		pidfd, err := unix.PidfdOpen(pid)
		if err != nil {
			return fmt.Errorf("open process: %w", err)
		}
		p = &process{variant: p.variant, pid: pid, pidfd: pidfd, alarm: -1, inherited: p.siren, mm: p.mm, limits: p.limits, exe: p.exe, actions: t.proc.actions, trapTSC: p.trapTSC}
		if b.flags&cloneFiles != 0 {
			// The parent's is not a copy.
			p.inherited = 0
		}
		if b.flags&cloneSighand == 0 {
			p.actions = p.actions.Clone()
		}
		// The id may have been another's whose end nobody has waited for.
		if old := s.procs[pid]; old != nil {
			s.processEnded(old)
		}
		s.procs[pid] = p
		s.dropUnborn(child)
		if err := s.setProgram(p, t.proc.image, t.proc.interp, t.proc.prompt); err != nil {
			return err
		}
		if err := s.watch.add(p); err != nil {
			return err
		}
	}
	s.dropUnborn(child)
	child.proc = p
	if b.flags&cloneFiles != 0 {
		child.files = t.files
		child.files.users++
		child.files.mixed = child.files.mixed || p != t.proc
	} else {
		child.files = t.files.copied()
	}
	p.tasks = append(p.tasks, child)
	s.tasks[child.id.Host] = child
	child.sig = t.sig.Clone(b.flags&cloneVM != 0 && b.flags&cloneVfork == 0)
	child.regs = t.regs
	child.regs.RAX = 0
	if b.args[1] != 0 {
		child.regs.RSP = b.args[1]
	}
	child.call = call{nr: t.call.nr, args: t.call.args}
	fs, gs := t.bases()
	if b.flags&cloneSetTLS != 0 {
		fs = b.args[4]
	}
	defer s.lift(child)()
	if b.flags&cloneVM != 0 {
		if b.flags&cloneThread == 0 {
			p.mm.users++
		}
	} else if err := s.ownMemory(t, child); err != nil {
		return err
	}
	if b.flags&cloneThread == 0 {
		if err := s.arm(child); err != nil {
			return err
		}
	}
	c := b.vcpu
	if c == nil {
		var err error
		if c, err = s.processor(child, p.mm); err != nil {
			return err
		}
	}
	return s.equip(child, c, fs, gs, b.fpu)
}

// ownMemory gives the process of a forked child a machine of its own in place of
// the parent's, which it cannot use.
func (s *session) ownMemory(t, child *task) error {
	old := t.proc.mm
	m, err := s.newMemory(child.proc.variant)
	if err != nil {
		return err
	}
	m.brk = old.brk
	m.rewriting, m.traps = old.rewriting.clone(), slices.Clone(old.traps)
	child.proc.mm = m
	if child.files != t.files {
		if err := s.forget(t, child); err != nil {
			return err
		}
	}
	if s.native() {
		// Nothing of the memory is the front-end's but what the kernel has copied.
		return nil
	}
	if err := s.build(child, m); err != nil {
		return err
	}
	return s.prefill(child, old)
}

// maxPrefill bounds how many leaf tables of the parent's are filled in the child
// before it starts.
const maxPrefill = 64

// prefill enters what the parent used into the child's tables.
func (s *session) prefill(child *task, old *memory) error {
	n := 0
	for window := range old.space.Filled() {
		if n++; n > maxPrefill {
			break
		}
		for at := window; at < window+guestmem.WindowSize; {
			v, err := s.mapping(child, at)
			if err != nil {
				return err
			}
			if v.End <= at || v.Start >= window+guestmem.WindowSize {
				break
			}
			start, end := max(v.Start, window), min(v.End, window+guestmem.WindowSize)
			if err := s.fillRange(child, start, end, guestmem.Prot(v.Prot)); err != nil {
				return err
			}
			at = end
		}
	}
	return nil
}

// bases returns the program's FS and GS bases.
func (t *task) bases() (fs, gs uint64) {
	sp := t.vcpu.state.Special()
	return sp.SegmentBase(kvm.FS), sp.SegmentBase(kvm.GS)
}

// saveFPU returns the program's vector registers.
func (s *session) saveFPU(t *task) ([]byte, error) {
	if s.native() {
		area, err := s.extended(t)
		return slices.Clone(area), err
	}
	ret, err := s.call1(t, unix.SysIoctl, uint64(t.vcpu.fd), s.kvm.getFPU, t.blk.Addr(vhost.Large))
	if err == nil {
		err = errnoResult("read vector registers", ret)
	}
	if err != nil {
		return nil, err
	}
	fpu := make([]byte, s.kvm.fpuSize)
	copy(fpu, t.blk.Bytes(vhost.Large, vhost.LargeSize))
	return fpu, nil
}

// loadFPU sets the program's vector registers.
func (s *session) loadFPU(t *task, fpu []byte) error {
	if s.native() {
		area, err := s.extended(t)
		if err == nil {
			copyState(area, fpu)
		}
		return err
	}
	copy(t.blk.Bytes(vhost.Large, vhost.LargeSize), fpu)
	return s.must(t, "set vector registers", vhost.Call{
		Nr: unix.SysIoctl, Args: [6]uint64{uint64(t.vcpu.fd), kvm.SetXSave, t.blk.Addr(vhost.Large)},
	})
}

func (s *session) dropActive(t *task) { s.active = without(s.active, t) }
func (s *session) dropUnborn(t *task) { s.unborn = without(s.unborn, t) }

// without removes t from list, in place.
func without(list []*task, t *task) []*task {
	return slices.DeleteFunc(list, func(o *task) bool { return o == t })
}
