//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	"gvisor.dev/gvisor/pkg/cpuid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Where there is no virtual machine the program runs in the variant host's own process:
// its calls and faults arrive there as signals (Documentation/admin-guide/
// syscall-user-dispatch.rst), and the frame that the kernel makes of each is what the
// program goes on with. It detects what a program does, and does not contain it: the
// variant host's memory is mapped in the program's address space.

// trapSet are the signals that say what an instruction of the program has done. They are
// the variant host's whatever the program does with them, and never blocked while it runs:
// the kernel would kill it.
const trapSet = signals.Set(1)<<(signals.SIGILL-1) | signals.Set(1)<<(signals.SIGTRAP-1) |
	signals.Set(1)<<(signals.SIGBUS-1) | signals.Set(1)<<(signals.SIGFPE-1) |
	signals.Set(1)<<(signals.SIGSEGV-1) | signals.Set(1)<<(signals.SIGSYS-1)

// native says whether programs run in their processes and not in virtual machines.
func (s *session) native() bool { return s.kvm.kind == kindNative }

// ErrNotNative is returned (wrapped) by Run of a front-end that NewNative made when this
// host cannot run programs in their processes.
var ErrNotNative = errors.New("programs cannot run in the variant host's process here: kvmsandbox doctor says what is missing")

// openNative finds out whether this host can run programs so. The error wraps
// ErrNotNative.
func openNative() (*machine, error) {
	m := &machine{fd: -1, kind: kindNative, minAddr: minAddr()}
	if err := unix.KnowsDispatch(); err != nil {
		return nil, fmt.Errorf("%w (no Syscall User Dispatch: %w)", ErrNotNative, err)
	}
	if err := unix.HasBaseInstructions(); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNotNative, err)
	}
	var err error
	if m.aux, err = ownAux(); err != nil {
		return nil, err
	}
	if m.image, err = vhost.ImagePlaces(); err != nil {
		return nil, err
	}
	return m, nil
}

// learnState finds out from the frame of a first process which vector registers the
// kernel keeps.
func (m *machine) learnState(blk *vhost.Block) error {
	if m.xstate != nil {
		return nil
	}
	frame, ok := blk.Frame()
	if !ok {
		return errFrame
	}
	area, ok := blk.Extended(frame)
	if !ok {
		return errFrame
	}
	const software = 464
	features := binary.LittleEndian.Uint64(area[software+8:])
	var err error
	if m.xstate, err = signals.NewXState(features, func(i int) signals.Component {
		const leaf = 0xd
		out := (&cpuid.Native{}).Query(cpuid.In{Eax: leaf, Ecx: uint32(i)})
		return signals.Component{Offset: out.Ebx, Size: out.Eax}
	}, 0); err != nil {
		return err
	}
	if m.fpuSize = m.xstate.Size(); m.fpuSize > len(area) {
		return errFrame
	}
	return nil
}

// errFrame is what a variant host is killed for that has no frame where it says.
var errFrame = fmt.Errorf("%w: it has lost its frame", frontend.ErrTampered)

// extended returns t's vector registers, where they are.
func (s *session) extended(t *task) ([]byte, error) {
	frame, ok := t.blk.Frame()
	if !ok {
		return nil, errFrame
	}
	area, ok := t.blk.Extended(frame)
	if !ok || len(area) < s.kvm.fpuSize {
		return nil, errFrame
	}
	return area[:s.kvm.fpuSize], nil
}

// copyState copies an area of vector registers but for the kernel's notes in it, by which
// it finds out how much of it there is.
func copyState(to, from []byte) {
	const software, header = 464, 512
	copy(to[:software], from)
	copy(to[header:], from[header:])
}

// equipNative is equip.
func (s *session) equipNative(t *task, c *vcpu, fsBase, gsBase uint64, fpu []byte) error {
	t.vcpu = c
	c.state = kvm.State(t.blk.Bytes(vhost.Run, vhost.RunSize))
	t.place, t.dirty = inUser, true
	t.setBases(fsBase, gsBase)
	s.tellTrapsTo(t)
	if r := &t.proc.mm.rewriting; len(r.parts) > 0 {
		t.blk.SetStubs(r.rooms, true)
	}
	if len(fpu) == 0 {
		return nil
	}
	return s.loadFPU(t, fpu)
}

func (t *task) setBases(fs, gs uint64) {
	sp := t.vcpu.state.Special()
	sp.SetSegmentBase(kvm.FS, fs)
	sp.SetSegmentBase(kvm.GS, gs)
	t.vcpu.state.MarkSpecial()
}

// catchTraps returns the calls, which must not fail, that let the variant host have the signals that tell
// of the program's instructions, and that of halt, after an exec.
func (s *session) catchTraps(t *task, x *scratch) (calls []vhost.Call) {
	for n := 1; n <= signals.Max; n++ {
		if (trapSet | kickSet).Has(n) {
			calls = append(calls, s.hostAction(t, x, n))
		}
	}
	return calls
}

// openSignals are what the kernel blocks while t's native program runs, or a call of its
// agent's sleeps.
func (s *session) openSignals(t *task) signals.Set {
	mask := ^signals.Set(0)
	if t.leads() {
		mask = t.sig.Blocked
	}
	return mask &^ s.neverBlocked(t)
}

// trapped finds out which signal led t from its program to the variant host.
func (s *session) trapped(t *task) {
	s.stats.Exits++
	t.proc.variant.stops++
	t.vcpu.state.General(&t.regs)
	t.raw, t.dirty, t.place = t.regs, false, inUser
	if s.disagreed(t) {
		return
	}
	if t.blk.Ran() == 0 {
		s.calledWith(t)
		return
	}
	info := signals.Info(t.blk.Info())
	n, code := info.Signo(), info.Code()
	const filtered, userDispatch = 1, 2
	switch {
	case n == signals.SIGSYS && code == filtered && binary.LittleEndian.Uint64(info[16:])&^(pageSize-1) == vsyscallPage:
		// The dispatch does not know this page, the filter does. The kernel has set the
		// registers as after the call.
		s.called(t)
	case n == signals.SIGSYS && code == userDispatch:
		// A call of a 32-bit program.
		s.begin(t, frontend.Call{Arch: sysabi.AMD64, Nr: -1, IP: t.regs.RIP, SP: t.regs.RSP}, true)
	case code > 0 && trapSet.Has(n):
		s.faulted(t, signals.Fault{Signal: n, Info: info})
	case s.isKick(info):
		t.kicked = false
		t.state = atStop
		s.apply(s.mon.OnStop(t.id))
	default:
		t.take(info)
		s.goBack(t)
	}
}

// wasCut is the result of a call that a signal has interrupted while t's agent made it.
func (s *session) wasCut(t *task, nr int64, args [6]uint64) error {
	t.pause = s.sleeping(t, nr, args)
	t.take(*t.cut)
	t.cut = nil
	ret, err := s.wasInterrupted(t)
	if err != nil {
		return err
	}
	return s.done(t, ret)
}

// calledWith reports a call. A signal that has kept its agent from making it goes back to
// where it came from: the call finds it there.
func (s *session) calledWith(t *task) {
	if info, ok := t.blk.Signal(); ok {
		switch {
		case s.isKick(info):
			t.kicked = false
		case t.blk.Interrupted():
			t.cut = &info
		default:
			// One that is held back the call finds by cutByHeld.
			t.take(info)
			if err := s.requeue(t); err != nil {
				s.check(t, err)
				return
			}
		}
	}
	s.called(t)
}

// vsyscallPage is where old programs call the kernel without a system call instruction.
const vsyscallPage = 0xffff_ffff_ff60_0000

// faulted handles an instruction of the program's that the processor refused.
func (s *session) faulted(t *task, f signals.Fault) {
	s.stats.Faults++
	if f.Signal != signals.SIGTRAP && s.led(t) {
		return
	}
	frame, ok := t.blk.Frame()
	if !ok {
		s.failure(t.id, errFrame)
		return
	}
	if f.Signal == signals.SIGILL && s.identified(t) {
		return
	}
	if f.Signal == signals.SIGSEGV && f.Info.Code() == signals.CodeKernel && s.instruction(t) {
		return
	}
	number, code, cr2 := vhost.Trap(frame)
	t.sig.Trap = signals.Trap{Number: number, ErrorCode: code, CR2: cr2}
	s.raise(t, f)
}

// heldBack says whether the kernel cannot get a signal back that the program blocks.
func (s *session) heldBack(info [128]byte) bool {
	n := (*signals.Info)(&info).Signo()
	return s.native() && trapSet.Has(n) || n == signals.SIGCONT
}

// armed says whether the variant host reported that it can run programs.
func (s *session) armed(t *task) error {
	if !s.native() {
		return nil
	}
	if _, ok := t.blk.Frame(); !ok {
		return fmt.Errorf("%w (the variant host got no signal)", ErrNotNative)
	}
	return s.kvm.learnState(t.blk)
}
