//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Results of KVM_RUN that say something about the guest.
const (
	ranInterrupted = -int64(syscall.EINTR)
	ranFault       = -int64(syscall.EFAULT)
)

// guestStopped finds out why t's guest stopped.
func (s *session) guestStopped(t *task) {
	if s.native() {
		s.trapped(t)
		return
	}
	s.stats.Exits++
	t.proc.variant.stops++
	st := t.vcpu.state
	st.General(&t.raw)
	t.regs = t.raw
	t.dirty, t.faults = false, false
	t.place = inUser
	if !inRing0(t.raw.RFLAGS) {
		t.takeBack()
	}
	ran, reason := t.blk.Ran(), st.Reason()
	if ran == vhost.RanBroken {
		s.failure(t.id, fmt.Errorf("the agent in ring 0 has failed: guest stopped for reason %d at %#x, flags %#x", reason, t.raw.RIP, t.raw.RFLAGS))
		return
	}
	if s.disagreed(t) {
		return
	}
	switch {
	case ran == vhost.RanSignalled:
		s.answeredAndSignalled(t)
	case ran == ranFault && s.kvm.kind == kindPVM && t.raw.RIP == s.gateAddr() && inRing0(t.raw.RFLAGS):
		t.readGate()
		t.dirty = true
		s.calledWith(t)
	case ran == ranFault && t.raw.RIP == s.gateAddr():
		// The program has jumped there.
		s.trap(t, vectorPageFault, faultUser|faultFetch, t.raw.RIP, false)
	case ran == ranFault:
		s.hostFault(t)
	case ran == ranInterrupted:
		s.interrupted(t)
	case ran != 0:
		s.failure(t.id, fmt.Errorf("run guest: %w", syscall.Errno(-ran)))
	case reason == kvm.ExitIO && st.Port() == portCall:
		t.place = inGate
		t.readGate()
		s.calledWith(t)
	case reason == kvm.ExitIO && st.Port() >= portVector && st.Port() < portVector+vectors:
		s.vector(t, int(st.Port()-portVector))
	case reason == kvm.ExitInterrupted:
		s.interrupted(t)
	case reason == kvm.ExitMMIO:
		s.check(t, s.emulatedAccess(t))
	case reason == kvm.ExitInternalError && !inStubs(t.raw.RIP):
		// An instruction that the machine would have to emulate and cannot.
		s.exception(t, vectorOpcode, 0)
	case reason == kvm.ExitShutdown:
		// Nothing is left of the processor's state that the program could go on with.
		s.check(t, s.dieOf(t, syscall.SIGSEGV))
	default:
		s.failure(t.id, fmt.Errorf("guest stopped for reason %d (%#x, %#x) at %#x", reason, st.Detail(0), st.Detail(1), t.raw.RIP))
	}
}

// inRing0 says whether flags are those of a processor in ring 0, by its own account or
// by what it was doing: whatever leads there clears the interrupt flag (callFlags, and
// the kind of the vectors' gates), which ring 3 cannot. So a program that has jumped to
// the entry code is told from one that a call or an exception has led there.
func inRing0(flags uint64) bool { return flags&flagIF == 0 }

// inStubs says whether a guest address is in the entry code.
func inStubs(ip uint64) bool {
	return ip >= ringAddr+offStubs && ip < ringAddr+offStubs+pageSize
}

// interrupted handles a stop because of a signal. In the entry code, the program has
// called or failed already: that is reported, and the signal comes with the next
// entry.
func (s *session) interrupted(t *task) {
	switch ip := t.raw.RIP; {
	case !inRing0(t.raw.RFLAGS):
		// Wherever it has jumped, it has not arrived.
		t.faults = t.raw.RFLAGS&flagRF != 0
	case ip == s.gateAddr():
		t.readGate()
		if s.kvm.kind == kindPVM {
			t.dirty = true
		} else {
			t.place = inGate
			t.raw.RIP += outSize
		}
		s.calledWith(t)
		return
	case ip == ringAddr+stubCall+outSize:
		t.place = inGate
		t.readGate()
	case ip == ringAddr+stubReturn:
		if s.strayFrame(t) {
			return
		}
		t.place = inFrame
		t.readFrame()
	case inStubs(ip):
		s.vector(t, int(ip-ringAddr-offStubs)/stubSize)
		return
	}
	if t.kicked {
		s.halted(t)
		return
	}
	s.goBack(t)
}

// called reports a call.
func (s *session) called(t *task) { s.begin(t, s.callOf(t), false) }

// callOf is the call at which the program stands.
func (s *session) callOf(t *task) frontend.Call {
	r := &t.regs
	return frontend.Call{
		Arch: sysabi.AMD64, Nr: int64(int32(r.RAX)),
		Args: [6]uint64{r.RDI, r.RSI, r.RDX, r.R10, r.R8, r.R9},
		IP:   r.RIP, SP: r.RSP,
	}
}

func (s *session) begin(t *task, c frontend.Call, foreign bool) {
	s.stats.Calls++
	t.call = call{number: s.stats.Calls, nr: c.Nr, args: c.Args, foreign: foreign, ranNr: c.Nr, ranArgs: c.Args}
	t.state = atEntry
	t.loops, t.asking = 0, false
	s.apply(s.mon.OnSyscall(t.id, c))
}

// frame is what the processor pushed when an exception took it to ring 0.
type frame []byte

const (
	frameIP = 8 * iota
	frameCS
	frameFlags
	frameSP
	frameSS
	frameSize
)

func (f frame) word(off int) uint64       { return binary.LittleEndian.Uint64(f[off:]) }
func (f frame) put(off int, value uint64) { binary.LittleEndian.PutUint64(f[off:], value) }

// frame returns where t's processor keeps the frame of an exception from ring 3.
func (t *task) frame() frame {
	end := vcpuPage(t.vcpu.number) + pageSize
	return frame(t.proc.mm.region.Mem[end-frameSize : end])
}

// readGate takes from where a system call leaves it what of the program's registers
// is not in place. Where ring 3 can jump to the gate by itself, it could have put
// anything there.
func (t *task) readGate() {
	t.regs.RIP, t.regs.RFLAGS = t.raw.RCX, t.raw.R11&flagsOfProgram|flagIF|flagFixed
	t.takeBack()
}

// readFrame takes from the frame what of the program's registers is there. Flags that
// ring 3 cannot have set are not to come back.
func (t *task) readFrame() {
	f := t.frame()
	t.regs.RIP, t.regs.RSP = f.word(frameIP), f.word(frameSP)
	t.regs.RFLAGS = f.word(frameFlags) & (flagsOfProgram | flagIF | flagFixed)
	t.takeBack()
}

// vector handles an exception.
func (s *session) vector(t *task, number int) {
	f := t.frame()
	t.place = inFrame
	var code uint64
	if hasErrorCode(number) {
		off := vcpuPage(t.vcpu.number) + pageSize - frameSize - 8
		code = binary.LittleEndian.Uint64(t.proc.mm.region.Mem[off:])
	}
	if number == vectorDebug && f.word(frameIP) == s.gateAddr() && inRing0(f.word(frameFlags)) {
		// A trap that was held back until the system call had entered ring 0.
		t.regs.RSP = f.word(frameSP)
		t.readGate()
		s.called(t)
		return
	}
	if s.strayFrame(t) {
		return
	}
	lent := t.loan
	t.readFrame()
	if cs := f.word(frameCS); cs&3 != 3 {
		// There is no such segment, so that this is the processor's fault: an emulated
		// one may let iretl in ring 3 lead to virtual-8086 mode, where any number is one.
		// A real one refuses the segment.
		s.trap(t, vectorGeneral, cs&^3, 0, false)
		return
	}
	if lent != nil {
		t.refused = 0
		switch {
		case number == vectorDebug && lent.trap == 0 && !lent.raises:
			// The next one is not to be taken for another step.
			_, err := s.debugStatus(t)
			if err == nil {
				err = s.enter(t, nil)
			}
			s.check(t, err)
			return
		case number == vectorOpcode:
			t.refused = t.regs.RIP
		}
	}
	// Where the stack pointer is no address the second kind does not get as far as to
	// look for the gate's page.
	if s.kvm.kind == kindPVM && t.regs.RIP == s.gateAddr() && inRing0(t.regs.RFLAGS) &&
		(number == vectorPageFault && t.vcpu.state.Special().CR2() == s.gateAddr() || number == vectorOpcode) {
		t.readGate()
		s.calledWith(t)
		return
	}
	if s.kvm.kind == kindPVM && t.regs.RIP != s.gateAddr() && number == vectorPageFault && code&faultFetch != 0 && t.vcpu.state.Special().CR2() == s.gateAddr() {
		// The arrival of a call that has been made already: a signal came between it and
		// the fault, which was raised all the same when the program went on.
		s.check(t, s.enter(t, nil))
		return
	}
	s.exception(t, number, code)
}

// strayFrame says whether the frame that t's exception has left is ring 0's own and none of the program's,
// which ends the session. The program's may look like one of ring 0's, see vector, but for where it is.
func (s *session) strayFrame(t *task) bool {
	f := t.frame()
	ip := f.word(frameIP)
	if f.word(frameCS)&3 == 3 || ip < ringAddr && !inSlot(ip) {
		return false
	}
	s.failure(t.id, fmt.Errorf("exception in ring 0 at %#x, stopped at %#x", ip, t.raw.RIP))
	return true
}

// canonical says whether the processor takes an address in ring 3.
func canonical(addr uint64) bool { return int64(addr<<16)>>16 == int64(addr) }

// leaveRing0 puts t's processor into ring 3 by its registers: an emulated return does
// not take every stack pointer that the processor does.
func (t *task) leaveRing0() {
	st := t.vcpu.state
	userSegments(st.Special())
	st.MarkSpecial()
	t.place, t.dirty = inUser, true
}

// load puts the program's registers where the guest goes on with them.
func (t *task) load() {
	st := t.vcpu.state
	switch t.place {
	case inUser:
		if t.dirty {
			st.SetGeneral(&t.regs)
		}
	case inGate:
		want := t.regs
		want.RIP, want.RFLAGS = t.raw.RIP, t.raw.RFLAGS
		if t.regs.RIP == t.regs.RCX && t.regs.RFLAGS == t.regs.R11 && t.regs.RFLAGS&(flagTF|flagRF) == 0 {
			// The stub's sysretq takes both from there. It loses RF, and TF makes it trap
			// before the program's next instruction: a handler's return would lead there
			// again and again (entry_64.S leaves both to iretq, too).
			st.SetGeneral(&want)
			break
		}
		fallthrough
	case inFrame:
		f := t.frame()
		f.put(frameIP, t.regs.RIP)
		f.put(frameCS, userCS)
		f.put(frameFlags, t.regs.RFLAGS|flagIF|flagFixed)
		f.put(frameSP, t.regs.RSP)
		f.put(frameSS, userSS)
		entry := t.regs
		entry.RIP = ringAddr + stubReturn
		entry.RSP = stackTop(t.vcpu.number) - frameSize
		entry.RFLAGS = flagFixed
		st.SetGeneral(&entry)
	}
	t.dirty = false
}

// Bits of RFLAGS.
const (
	flagFixed = 1 << 1
	flagTF    = 1 << 8
	flagIF    = 1 << 9
	flagDF    = 1 << 10
	flagRF    = 1 << 16

	// flagsOfProgram are those that ring 3 can set: CF PF AF ZF SF TF DF OF NT RF AC ID.
	flagsOfProgram = 0x254dd5
)
