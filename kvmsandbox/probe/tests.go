//go:build linux && amd64

package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/bobuhiro11/gokvm/kvm"

	"github.com/multivar/multivar/internal/unix"
)

// apiVersion has been the same since Linux 2.6.22.
const apiVersion = 12

// minMemorySlots is more than a front-end fragments the memory of one process into.
// Linux has 32764 since 5.12.
const minMemorySlots = 509

// What to do, where no test knows better.
const (
	fixKernel = "update this host's kernel: Linux 6.1 or newer is needed"
	fixKVM    = "use --frontend ptrace: this host's KVM cannot run programs as it has to"
	// fixLongMode is for a KVM with limits of its own, as when it is nested in one that
	// hides the processor's 64 bits.
	fixLongMode = "use --frontend ptrace: this host's KVM runs no 64-bit programs"
	fixKind     = "nothing to repair: --frontend kvm runs here too; for its full speed take a host with VMX or SVM"
	fixValues   = "use --frontend ptrace for programs that read it, or a host with VMX or SVM"
	// fixDescriptors is for the default profiles of Docker and Podman.
	fixDescriptors = "start the container with --cap-add SYS_PTRACE, or use --frontend ptrace"
	fixCPUID       = "take a host with VMX or SVM for programs that behave by CPUID"
)

// tests are made in this order.
var tests = []test{
	{name: "device", required: true, gate: true, run: (*prober).testDevice},
	{name: "interface", required: true, gate: true, run: (*prober).testVersion, fix: fixKernel},
	{name: "virtual machine", required: true, gate: true, run: (*prober).testMachine, fix: fixKVM},
	{name: "long mode", required: true, gate: true, run: (*prober).testLongMode, fix: fixLongMode},
	{name: "memory slots", required: true, run: (*prober).testMemorySlots, fix: fixKernel},
	{name: "immediate exit", required: true, run: (*prober).testImmediateExit, fix: fixKernel},
	{name: "ring 3", required: true, gate: true, run: (*prober).testRing3, fix: fixKVM},
	{name: "return", required: true, run: (*prober).testReturn, fix: fixKVM},
	{name: "shared registers", required: true, run: (*prober).testSharedRegisters, fix: fixKernel},
	{name: "thread pointer", required: true, run: (*prober).testThreadPointer, fix: fixKVM},
	{name: "vector registers", required: true, run: (*prober).testVectorRegisters, fix: fixKVM},
	{name: "isolation", required: true, run: (*prober).testIsolation, fix: fixKVM},
	{name: "interruption", required: true, run: (*prober).testInterruption, fix: fixKVM},
	{name: "descriptors", required: true, run: (*prober).testDescriptors, fix: fixDescriptors},
	{name: "hardware", run: (*prober).testHardware, fix: fixKind},
	{name: "time stamps", run: (*prober).testTimeStamps, fix: fixValues},
	{name: "cpuid", run: (*prober).testCPUID, fix: fixCPUID},
}

// testDevice opens the device.
func (p *prober) testDevice() (string, error) {
	f, err := os.OpenFile(p.path, os.O_RDWR, 0)
	if err != nil {
		return "", explainDevice(p.path, err, p.host())
	}
	p.device = f
	return p.path, nil
}

func (p *prober) kvm() uintptr { return p.device.Fd() }

func (p *prober) testVersion() (string, error) {
	v, err := kvm.GetAPIVersion(p.kvm())
	if err != nil {
		return "", &missing{found: p.path + " is not KVM: " + err.Error(), fix: "remove " + p.path + " and load KVM: sudo modprobe kvm"}
	}
	if v != apiVersion {
		return "", fmt.Errorf("version %d in place of %d", v, apiVersion)
	}
	return fmt.Sprintf("version %d", v), nil
}

// testMachine makes the guest that all further tests use.
func (p *prober) testMachine() (string, error) {
	g, err := newGuest(int(p.kvm()))
	if err != nil {
		return "", explainMachine(err)
	}
	p.guest = g
	if p.spoil != nil {
		p.spoil(g)
	}
	return "memory and CPUID are set", nil
}

// testLongMode lets the processor have the registers of 64-bit mode and run there.
func (p *prober) testLongMode() (string, error) {
	err := p.guest.enterLongMode()
	if err == nil {
		_, err = p.guest.start(p.ctx, progCalls, nil)
		err = refusal(err)
	}
	if err != nil {
		return "", fmt.Errorf("64-bit mode cannot be entered: %w", err)
	}
	return "64-bit mode is entered", nil
}

// refusal returns that part of what may come of the first run which says that the
// processor's state was not accepted. What the program did then is for later tests.
func refusal(err error) error {
	var exit exitError
	if errors.As(err, &exit) && (exit == exitError(kvm.EXITFAILENTRY) || exit == exitError(kvm.EXITINTERNALERROR)) {
		return err
	}
	return nil
}

// extension returns what the device says of a capability, 0 if nothing.
func (p *prober) extension(c kvm.Capability) int {
	v, err := kvm.CheckExtension(p.kvm(), c)
	if err != nil {
		return 0
	}
	return int(v)
}

// testMemorySlots uses the last slot.
func (p *prober) testMemorySlots() (string, error) {
	n := p.extension(kvm.CapNRMemSlots)
	p.report.MemorySlots = n
	if n < minMemorySlots {
		return "", fmt.Errorf("%d, not %d", n, minMemorySlots)
	}
	last, addr := uint32(n-1), uint64(base+pages*pageSize)
	if err := p.guest.setMemory(last, addr, p.guest.mem[:pageSize]); err != nil {
		return "", fmt.Errorf("slot %d: %w", last, err)
	}
	if err := p.guest.setMemory(last, addr, nil); err != nil {
		return "", fmt.Errorf("give up slot %d: %w", last, err)
	}
	return fmt.Sprint(n), nil
}

// testImmediateExit asks a guest that would run for ever to come back at once.
func (p *prober) testImmediateExit() (string, error) {
	if p.extension(kvm.CapImmediateExit) == 0 {
		return "", errors.New("no KVM_CAP_IMMEDIATE_EXIT")
	}
	if err := p.guest.prepare(progCalls, nil); err != nil {
		return "", err
	}
	p.guest.state[stateImmediateExit] = 1
	defer func() { p.guest.state[stateImmediateExit] = 0 }()
	switch _, err := unix.IoctlValue(p.guest.vcpu, requestRun, 0); {
	case err == nil:
		return "", errors.New("the guest ran all the same")
	case !errors.Is(err, syscall.EINTR):
		return "", err
	}
	return "KVM_RUN comes back at once", nil
}

// testRing3 runs a program up to its system call and finds out how that arrives.
func (p *prober) testRing3() (string, error) {
	s, err := p.guest.start(p.ctx, progCalls, nil)
	if err != nil {
		return "", err
	}
	for _, k := range []Kind{Hardware, PVM} {
		if !s.call(k) {
			continue
		}
		const after = codeAt + 7
		if s.regs.RAX != 1 || s.regs.RCX != after || s.regs.R11&flagsFixed == 0 {
			return "", fmt.Errorf("a system call arrives with rax %d, rcx %#x, r11 %#x", s.regs.RAX, s.regs.RCX, s.regs.R11)
		}
		p.report.Kind = k
		return map[Kind]string{
			Hardware: "a system call enters ring 0",
			PVM:      "a system call is a page fault at its entry point",
		}[k], nil
	}
	return "", fmt.Errorf("%v in place of a system call", &s)
}

// calls runs a program that makes a system call, and returns how it arrived.
func (p *prober) calls(program []byte, change func(*kvm.Sregs, *kvm.Regs)) (stop, error) {
	s, err := p.guest.start(p.ctx, program, change)
	if err == nil && !s.call(p.report.Kind) {
		err = fmt.Errorf("%v in place of a system call", &s)
	}
	return s, err
}

// resumes lets a program go on behind its system call to the next one.
func (p *prober) resumes(s *stop) (stop, error) {
	next, err := p.guest.resume(p.ctx, p.report.Kind, s)
	if err == nil && !next.call(p.report.Kind) {
		err = fmt.Errorf("%v in place of the next system call", &next)
	}
	return next, err
}

// testReturn goes on behind a system call.
func (p *prober) testReturn() (string, error) {
	first, err := p.calls(progCalls, nil)
	if err != nil {
		return "", err
	}
	second, err := p.resumes(&first)
	if err != nil {
		return "", err
	}
	if second.regs.RAX != 2 || second.regs.RCX != codeAt+uint64(len(progCalls)) || second.regs.RSP == 0 {
		return "", fmt.Errorf("the next system call has rax %d, rcx %#x", second.regs.RAX, second.regs.RCX)
	}
	return "ring 3 goes on behind a system call", nil
}

// testSharedRegisters reads and writes registers in the shared state, which saves
// two calls of the kernel each time.
func (p *prober) testSharedRegisters() (string, error) {
	const want = syncGeneral | syncSpecial | syncEvents
	if have := p.extension(kvm.CapSyncRegs); have&want != want {
		return "", fmt.Errorf("KVM_CAP_SYNC_REGS is %d, not %d", have, want)
	}
	le, g := binary.LittleEndian, p.guest
	le.PutUint64(g.state[stateValid:], syncGeneral|syncSpecial)
	defer le.PutUint64(g.state[stateValid:], 0)
	s, err := p.calls(progCalls, nil)
	if err != nil {
		return "", err
	}
	// rcx is the third of struct kvm_regs; cs.selector lies behind base and limit.
	if rcx := le.Uint64(g.state[stateGeneral+16:]); rcx != s.regs.RCX {
		return "", fmt.Errorf("they say rcx %#x, but it is %#x", rcx, s.regs.RCX)
	}
	if cs := le.Uint16(g.state[stateSpecial+12:]); cs != s.cs {
		return "", fmt.Errorf("they say cs %#x, but it is %#x", cs, s.cs)
	}

	// Change rax on the way in and see whether ring 3 has it.
	if err := g.prepare(progVector[5:7], nil); err != nil {
		return "", err
	}
	words := unsafe.Slice((*byte)(unsafe.Pointer(&g.regs)), unsafe.Sizeof(g.regs))
	g.regs.RAX = magic
	copy(g.state[stateGeneral:], words)
	le.PutUint64(g.state[stateDirty:], syncGeneral)
	s, err = g.enter(p.ctx, unix.IoctlValue)
	if err != nil {
		return "", err
	}
	if !s.call(p.report.Kind) || s.regs.RAX != magic {
		return "", errors.New("what is written to them is lost")
	}
	return "read and written without a call", nil
}

// testThreadPointer reads memory through fs.
func (p *prober) testThreadPointer() (string, error) {
	binary.LittleEndian.PutUint64(p.guest.mem[dataAt-base:], magic)
	s, err := p.calls(progThread, func(special *kvm.Sregs, _ *kvm.Regs) { special.FS.Base = dataAt })
	if err != nil {
		return "", err
	}
	if s.regs.RAX != magic {
		return "", fmt.Errorf("ring 3 reads %#x there", s.regs.RAX)
	}
	return "fs can be set", nil
}

// testVectorRegisters reads what ring 3 has put into one, and changes it.
func (p *prober) testVectorRegisters() (string, error) {
	const legacySize, xmm7 = 4096, 160 + 7*16
	if p.extension(kvm.CapXSave) == 0 || p.extension(kvm.CapXCRS) == 0 {
		return "", errors.New("no KVM_CAP_XSAVE and KVM_CAP_XCRS")
	}
	p.report.StateSize = max(p.extension(kvm.CapXSave2), legacySize)
	get, size := uintptr(requestGetXSave), legacySize
	if p.report.StateSize > legacySize {
		get, size = requestGetXSave2, p.report.StateSize
	}
	s, err := p.calls(progVector, func(_ *kvm.Sregs, r *kvm.Regs) { r.RAX = magic })
	if err != nil {
		return "", err
	}
	g := p.guest
	g.xsave = make([]byte, size)
	if err := unix.IoctlBytes(g.vcpu, get, g.xsave); err != nil {
		return "", fmt.Errorf("read them: %w", err)
	}
	if v := binary.LittleEndian.Uint64(g.xsave[xmm7:]); v != magic {
		return "", fmt.Errorf("xmm7 is read as %#x", v)
	}
	binary.LittleEndian.PutUint64(g.xsave[xmm7:], ^magic)
	if err := unix.IoctlBytes(g.vcpu, requestSetXSave, g.xsave); err != nil {
		return "", fmt.Errorf("write them: %w", err)
	}
	if s, err = p.resumes(&s); err != nil {
		return "", err
	}
	if s.regs.RAX != ^magic {
		return "", fmt.Errorf("ring 3 finds %#x in xmm7", s.regs.RAX)
	}
	return fmt.Sprintf("read and written, %d bytes", p.report.StateSize), nil
}

// errPorts is how the guest ends when ring 3 reaches a port.
var errPorts = errors.New("ring 3 can write to ports")

// testIsolation reaches for what only ring 0 may have.
func (p *prober) testIsolation() (string, error) {
	s, err := p.guest.start(p.ctx, progPort, nil)
	if err != nil {
		return "", err
	}
	if !s.exception(vectorProtection) {
		return "", fmt.Errorf("%v in place of a fault at a port", &s)
	}
	s, err = p.guest.start(p.ctx, progSupervisor, nil)
	if err != nil {
		return "", err
	}
	if !s.exception(vectorPageFault) || s.cr2 != stackAt {
		return "", fmt.Errorf("%v in place of a fault at ring 0's memory", &s)
	}
	return "ring 3 reaches neither ports nor ring 0's memory", nil
}

// testInterruption runs a program that never ends.
func (p *prober) testInterruption() (string, error) {
	limit := p.guest.limit
	defer func() { p.guest.limit = limit }()
	p.guest.limit = interruptAfter
	s, err := p.guest.start(p.ctx, progLoop, nil)
	switch {
	case err == nil:
		return "", fmt.Errorf("%v in place of an endless loop", &s)
	case !errors.Is(err, errStuck):
		return "", err
	}
	if regs, err := kvm.GetRegs(uintptr(p.guest.vcpu)); err != nil {
		return "", err
	} else if regs.RIP != codeAt {
		return "", fmt.Errorf("interrupted at %#x", regs.RIP)
	}
	return "a signal ends the guest's stay", nil
}

// testDescriptors makes the call by which the monitor gets what a variant has made, which
// containers forbid.
func (*prober) testDescriptors() (string, error) {
	if err := unix.CanDuplicate(); err != nil {
		return "", fmt.Errorf("pidfd_getfd: %w", err)
	}
	return "pidfd_getfd duplicates descriptors", nil
}

// testHardware only tells what the test of ring 3 has found.
func (p *prober) testHardware() (string, error) {
	if p.report.Kind != Hardware {
		return "", fmt.Errorf("kind %s: ring 0 is emulated, each system call costs tens of microseconds", p.report.Kind)
	}
	return "VMX or SVM runs ring 0", nil
}

// testTimeStamps finds out what makes rdtsc fault.
func (p *prober) testTimeStamps() (string, error) {
	trap := func(special *kvm.Sregs, _ *kvm.Regs) { special.CR4 |= cr4TSD }
	s, err := p.guest.start(p.ctx, progTSC, trap)
	if err != nil {
		return "", err
	}
	if s.exception(vectorProtection) {
		p.report.TSC = TSCByGuest
		return "trapped by CR4.TSD", nil
	}
	// With nothing blocked while the guest runs, signals end its stay although
	// the thread blocks them all; see unix.IoctlWithoutTSC.
	mask := []byte{8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if err := unix.IoctlBytes(p.guest.vcpu, requestSetSignalMask, mask); err != nil {
		return "", fmt.Errorf("set the signal mask: %w", err)
	}
	if err := p.guest.prepare(progTSC, trap); err != nil {
		return "", err
	}
	s, err = p.guest.enter(p.ctx, unix.IoctlWithoutTSC)
	if err != nil {
		return "", err
	}
	if s.exception(vectorProtection) {
		p.report.TSC = TSCByThread
		return "trapped by CR4.TSD together with PR_SET_TSC", nil
	}
	return "", errors.New("ring 3 reads the counter")
}

// testCPUID asks for what setUp has changed.
func (p *prober) testCPUID() (string, error) {
	s, err := p.calls(progCPUID, nil)
	if err != nil {
		return "", err
	}
	if uint32(s.regs.RAX) != brandAnswer {
		return "", errors.New("ring 3 sees the processor's own answers")
	}
	p.report.CPUID = true
	return "ring 3 sees the answers that it is given", nil
}
