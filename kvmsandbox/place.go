//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/kvmsandbox/internal/loader"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// reportExec reports the program that a task is about to begin.
func (s *session) reportExec(t *task, old frontend.Task) {
	p := t.proc
	if err := s.setProgram(p, t.exec.file(loader.Program), t.exec.file(loader.Interpreter), t.exec.prompt()); err != nil {
		s.failure(t.id, err)
		return
	}
	t.state = atExec
	img := t.exec.plan.Image
	s.apply(s.mon.OnExec(t.id, old, &img))
}

// place carries out OpPlace: it maps the program and starts it.
func (s *session) place(t *task, pl *frontend.Placement) error {
	defer s.lift(t)()
	x := t.exec
	defer t.dropExec()
	placed, err := x.plan.Place(pl)
	if err != nil {
		return err
	}
	m, err := s.newMemory(t.proc.variant)
	if err != nil {
		return err
	}
	t.proc.mm = m
	t.blk.SetStubs(m.rewriting.rooms, false)
	for i, at := range pl.Stubs {
		if s.native() && at != 0 {
			m.rewriting.rooms[i] = vhost.Room{Start: at, Size: stubsRoom}
			m.rewriting.stale = true
		}
	}
	if !s.native() {
		if err := s.build(t, m); err != nil {
			return err
		}
	}
	file, err := s.mapProgram(t, x, placed)
	if errors.Is(err, syscall.ENOMEM) {
		// It is too late for execve to answer (load_elf_binary): the new program dies of
		// what it would be if its first instruction failed, in all variants.
		t.call, t.state = call{}, running
		s.later(t, func() {
			s.raise(t, signals.Fault{Signal: signals.SIGSEGV, Info: signals.KernelInfo(signals.SIGSEGV)})
		})
		return nil
	}
	if err != nil {
		return err
	}
	if n, err := s.WriteVariantMem(t.id, pl.SP, pl.Stack); err != nil {
		return fmt.Errorf("write %d bytes of stack, %d done: %w", len(pl.Stack), n, err)
	}
	t.proc.trapTSC = t.proc.trapTSC || pl.TrapTSC
	var more []vhost.Call
	behind := t.scratch()
	if s.native() {
		more = append(s.catchTraps(t, behind), undumped(vhost.Blocks, vhost.MaxBlocks*vhost.BlockSize))
	}
	if err := s.describe(t, behind, pl, &placed.Limits, file, more); err != nil {
		return err
	}
	m.brk = placed.Limits.Brk
	t.regs = kvm.Registers{RIP: pl.IP, RSP: pl.SP, RFLAGS: flagIF | flagFixed}
	t.call, t.proc.kickable = call{}, s.native()
	c, err := s.processor(t, m)
	if err != nil {
		return err
	}
	if err := s.equip(t, c, 0, 0, nil); err != nil {
		return err
	}
	if t.leads() {
		if err := s.catchSignals(t); err != nil {
			return err
		}
	}
	if s.native() {
		s.tidy(t, func() { s.check(t, s.enter(t, nil)) })
		return nil
	}
	if err := s.catchFaults(t); err != nil {
		return err
	}
	for _, g := range placed.Segments {
		if err := s.fillRange(t, g.Addr, min(g.End(), g.Addr+maxEager), guestmem.Prot(g.Prot)); err != nil {
			return err
		}
	}
	s.tidy(t, func() { s.check(t, s.enter(t, nil)) })
	return nil
}

// maxEager is how much of a segment is entered into the tables before the program
// starts.
const maxEager = 4 << 20

// mapProgram maps the segments of a program in t's process, which has its limits lifted, and returns
// its file's descriptor there.
func (s *session) mapProgram(t *task, x *execution, placed *loader.Placed) (file int, err error) {
	files := make([]frontend.File, len(x.plan.Files))
	for i := range files {
		files[i] = x.file(i)
	}
	fds, err := s.receiveAll(t, files...)
	if err != nil {
		return -1, err
	}
	var calls []vhost.Call
	flush := func() error {
		err := s.must(t, "map program", calls...)
		calls = calls[:0]
		return err
	}
	for _, g := range placed.Segments {
		flags, fd := uint64(unix.MapPrivate|unix.MapFixedNoreplace), ^uint64(0)
		if g.File == loader.Anonymous {
			flags |= unix.MapAnonymous
		} else {
			fd = uint64(fds[g.File])
		}
		if g.Region == frontend.RegionStack {
			flags |= unix.MapGrowsdown | unix.MapStack
		}
		args := [6]uint64{g.Addr, g.Size, uint64(g.Prot), flags, fd, g.Offset}
		if !s.native() {
			readable(unix.SysMmap, &args)
		}
		calls = append(calls, vhost.Call{Nr: unix.SysMmap, Args: args})
		if len(calls) == vhost.MaxCalls {
			if err := flush(); err != nil {
				return -1, err
			}
		}
	}
	t.dump(fds[1:]...)
	if err := flush(); err != nil {
		return -1, err
	}
	for _, g := range placed.Segments {
		if g.ZeroFrom == 0 {
			continue
		}
		zero := make([]byte, g.End()-g.ZeroFrom)
		if _, err := s.WriteVariantMem(t.id, g.ZeroFrom, zero); err != nil {
			return -1, fmt.Errorf("clear the end of a segment: %w", err)
		}
	}
	return fds[0], nil
}

// mmMapSize is the size of struct prctl_mm_map, keepExe says that the link to the
// executable stays (include/uapi/linux/prctl.h).
const (
	mmMapSize = 104
	keepExe   = ^uint32(0)
)

// describe tells the kernel where the parts of the program are, so that /proc shows
// them as it should, names the task and traps the time stamp counter, and makes more calls. The
// program is open in t's process as file, which becomes litter.
func (s *session) describe(t *task, x *scratch, pl *frontend.Placement, l *loader.Limits, file int, more []vhost.Call) error {
	b := make([]byte, 0, mmMapSize)
	for _, v := range []uint64{
		l.StartCode, l.EndCode, l.StartData, l.EndData, l.Brk, l.Brk, pl.StackStart,
		pl.ArgStart, pl.ArgEnd, pl.EnvStart, pl.EnvEnd, pl.AuxStart,
	} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(pl.AuxSize))
	name := pl.Comm
	if name == "" {
		name = "vhost"
	}
	calls := append([]vhost.Call{{Nr: unix.SysPrctl, Args: [6]uint64{unix.PrSetName, x.put(append([]byte(name), 0))}}}, more...)
	if t.proc.trapTSC && s.kvm.kind != kindHardware {
		// The second kind of machine heeds CR4.TSD only then.
		calls = append(calls, vhost.Call{Nr: unix.SysPrctl, Args: [6]uint64{unix.PrSetTSC, unix.PrTSCSigsegv}})
	}
	return s.nameProgram(t, func(exe uint32) vhost.Call {
		at := x.put(binary.LittleEndian.AppendUint32(b[:len(b):len(b)], exe))
		return vhost.Call{Nr: unix.SysPrctl, Args: [6]uint64{unix.PrSetMM, unix.PrSetMMMap, at, mmMapSize}}
	}, file, calls)
}
