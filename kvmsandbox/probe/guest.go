//go:build linux && amd64

package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/bobuhiro11/gokvm/kvm"

	"github.com/multivar/multivar/internal/unix"
)

// enterLimit bounds one stay in the guest, which takes microseconds, or some
// milliseconds under emulation.
const (
	enterLimit = 5 * time.Second
	// interruptAfter is when a guest that hangs on purpose is called back.
	interruptAfter = 2 * time.Millisecond
)

// guest is a virtual machine with one virtual processor. All methods are called on
// one thread. gokvm takes addresses as numbers, so what it is given lies on the
// heap, as this structure does.
type guest struct {
	vm, vcpu int
	mem      []byte
	state    []byte // struct kvm_run

	special kvm.Sregs // of a processor in ring 3
	flags   uint64    // RFLAGS of ring 3
	set     kvm.Sregs
	regs    kvm.Regs
	offered uint64 // the extended state that there is
	region  kvm.UserspaceMemoryRegion
	xcrs    kvm.XCRS
	xsave   []byte
	// limit bounds an entry.
	limit time.Duration
}

// Requests that gokvm does not have (include/uapi/linux/kvm.h).
const (
	requestCreateVM      = 0xae01
	requestRun           = 0xae80
	requestSetSignalMask = 0x4004ae8b
	requestGetXSave      = 0x9000aea4
	requestSetXSave      = 0x5000aea5
	requestGetXSave2     = 0x9000aecf
)

// Offsets in struct kvm_run.
const (
	stateImmediateExit = 1
	stateReason        = 8
	statePort          = 34
	stateValid         = 288
	stateDirty         = 296
	stateGeneral       = 304
	stateSpecial       = 448
	stateEnd           = 2352 // sizeof(struct kvm_run), of all kernels since 4.17

	syncGeneral = 1
	syncSpecial = 2
	syncEvents  = 4

	reasonIO = uint32(kvm.EXITIO)
)

// Bits of control registers (AMD64 manual, volume 2, chapter 3).
const (
	cr0      = 0x80050033                                 // PE MP ET NE WP AM PG
	cr4      = 1<<5 | 1<<7 | 1<<9 | 1<<10 | 1<<16 | 1<<18 // PAE PGE OSFXSR OSXMMEXCPT FSGSBASE OSXSAVE
	cr4TSD   = 1 << 2
	efer     = 0xd01    // SCE LME LMA NXE
	callMask = 0x257fd5 // Linux's (arch/x86/kernel/cpu/common.c)
	// xcr0 is the state that tests use: x87, SSE and AVX.
	xcr0 = 7
)

// newGuest makes the virtual machine; device stays the caller's.
func newGuest(device int) (_ *guest, err error) {
	g := &guest{vm: -1, vcpu: -1, flags: flagsFixed, limit: enterLimit}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if g.mem, err = syscall.Mmap(-1, 0, pages*pageSize, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS); err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	lay(g.mem)
	if g.vm, err = unix.IoctlAgain(device, requestCreateVM, 0); err != nil {
		g.vm = -1
		return nil, fmt.Errorf("create virtual machine: %w", err)
	}
	vm := uintptr(g.vm)
	// Older processors of Intel need three pages for real mode; others ignore it.
	_ = kvm.SetTSSAddr(vm, 0xfffbd000)
	if err := g.setMemory(0, base, g.mem); err != nil {
		return nil, fmt.Errorf("give memory: %w", err)
	}
	vcpu, err := kvm.CreateVCPU(vm, 0)
	if err != nil {
		return nil, fmt.Errorf("create virtual processor: %w", err)
	}
	g.vcpu = int(vcpu)
	size, err := kvm.GetVCPUMMmapSize(uintptr(device))
	if err != nil {
		return nil, fmt.Errorf("size of the virtual processor's state: %w", err)
	}
	if size < stateEnd {
		return nil, fmt.Errorf("the virtual processor's state has %d bytes", size)
	}
	if g.state, err = syscall.Mmap(g.vcpu, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the virtual processor's state: %w", err)
	}
	if err := g.setUp(uintptr(device)); err != nil {
		return nil, err
	}
	return g, nil
}

// setUp tells the virtual processor its features, and works out what its registers
// are to be in long mode, where ring 3 is about to run.
func (g *guest) setUp(device uintptr) error {
	const most = 256 // KVM_MAX_CPUID_ENTRIES
	cpuid := &kvm.CPUID{Nent: most, Entries: make([]kvm.CPUIDEntry2, most)}
	if err := kvm.GetSupportedCPUID(device, cpuid); err != nil {
		return fmt.Errorf("ask for CPUID: %w", err)
	}
	for i := range cpuid.Entries {
		switch e := &cpuid.Entries[i]; {
		case e.Function == brandLeaf:
			e.Eax = brandAnswer
		case e.Function == 0xd && e.Index == 0:
			g.offered = uint64(e.Eax)
		}
	}
	if err := kvm.SetCPUID2(uintptr(g.vcpu), cpuid); err != nil {
		return fmt.Errorf("set CPUID: %w", err)
	}

	special, err := kvm.GetSregs(uintptr(g.vcpu))
	if err != nil {
		return fmt.Errorf("read special registers: %w", err)
	}
	const code, data, busyTSS, limit = 11, 3, 11, 0xffffffff
	g.special = *special
	s := &g.special
	s.CS = kvm.Segment{Limit: limit, Selector: userCS, Typ: code, Present: 1, DPL: 3, S: 1, L: 1, G: 1}
	s.SS = kvm.Segment{Limit: limit, Selector: userSS, Typ: data, Present: 1, DPL: 3, S: 1, DB: 1, G: 1}
	s.DS, s.ES, s.FS, s.GS = s.SS, s.SS, s.SS, s.SS
	s.TR = kvm.Segment{Base: tssAt, Limit: tssSize - 1, Selector: tssSel, Typ: busyTSS, Present: 1}
	s.LDT = kvm.Segment{Unusable: 1}
	s.GDT = kvm.Descriptor{Base: gdtAt, Limit: gdtSize - 1}
	s.IDT = kvm.Descriptor{Base: idtAt, Limit: 16*vectors - 1}
	s.CR0, s.CR2, s.CR3, s.CR4, s.CR8, s.EFER = cr0, 0, rootAt, cr4, 0, efer
	return nil
}

// enterLongMode brings the virtual processor there.
func (g *guest) enterLongMode() error {
	g.set = g.special
	if err := kvm.SetSregs(uintptr(g.vcpu), &g.set); err != nil {
		return fmt.Errorf("set special registers: %w", err)
	}
	g.xcrs = kvm.XCRS{NrXRCS: 1}
	g.xcrs.Registers[0].Value = g.offered & xcr0
	if err := kvm.SetXCRS(uintptr(g.vcpu), &g.xcrs); err != nil {
		return fmt.Errorf("enable vector registers: %w", err)
	}
	return g.setCallRegisters()
}

// sysretBase is what SYSRET makes the selectors of ring 3 from: itself plus 8 and
// plus 16.
const sysretBase = userSS - 8

// setCallRegisters says where a SYSCALL goes. The kernel may take over some of the
// registers only, and gokvm does not tell; so they are read back.
func (g *guest) setCallRegisters() error {
	want := []kvm.MSREntry{
		{Index: uint32(kvm.MSRSTAR), Data: sysretBase<<48 | kernelCS<<32},
		{Index: uint32(kvm.MSRLSTAR), Data: callAt},
		{Index: uint32(kvm.MSRFMASK), Data: callMask},
	}
	list := func(entries []kvm.MSREntry) *kvm.MSRS {
		return &kvm.MSRS{NMSRs: uint32(len(entries)), Entries: append([]kvm.MSREntry(nil), entries...)}
	}
	if err := kvm.SetMSRs(uintptr(g.vcpu), list(want)); err != nil {
		return fmt.Errorf("set the system call's registers: %w", err)
	}
	got := list(want)
	for i := range got.Entries {
		got.Entries[i].Data = 0
	}
	if err := kvm.GetMSRs(uintptr(g.vcpu), got); err != nil {
		return fmt.Errorf("read the system call's registers: %w", err)
	}
	for i, w := range want {
		if len(got.Entries) <= i || got.Entries[i] != w {
			return fmt.Errorf("register %#x does not keep its value", w.Index)
		}
	}
	return nil
}

// setMemory makes mem the guest's memory at addr; without mem there is none.
func (g *guest) setMemory(slot uint32, addr uint64, mem []byte) error {
	g.region = kvm.UserspaceMemoryRegion{Slot: slot, GuestPhysAddr: addr, MemorySize: uint64(len(mem))}
	if len(mem) > 0 {
		g.region.UserspaceAddr = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	}
	return kvm.SetUserMemoryRegion(uintptr(g.vm), &g.region)
}

func (g *guest) close() {
	if g.state != nil {
		_ = syscall.Munmap(g.state)
	}
	for _, fd := range []int{g.vcpu, g.vm} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	if g.mem != nil {
		_ = syscall.Munmap(g.mem)
	}
}

// stop is how the guest came back: a port of ring 0, and the registers.
type stop struct {
	port uint16
	regs kvm.Regs
	cs   uint16
	cr2  uint64
	// errorCode and rip are those of the exception when port is one's.
	errorCode, rip uint64
}

// call reports whether ring 3 has made a system call, in the way of this kind.
func (s *stop) call(k Kind) bool {
	switch k {
	case Hardware:
		return s.port == portCall && s.cs&3 == 0
	case PVM:
		const userFetch = faultUser | faultFetch
		return s.port == portVector+vectorPageFault && s.errorCode&userFetch == userFetch &&
			s.rip == callAt && s.cr2 == callAt
	}
	return false
}

// exception reports whether ring 3 caused this exception at the beginning of its
// program.
func (s *stop) exception(vector uint16) bool {
	return s.port == portVector+vector && s.rip == codeAt
}

func (s *stop) String() string {
	if s.port == portCall {
		return "a system call"
	}
	return fmt.Sprintf("exception %d (error code %#x, rip %#x, cr2 %#x)", s.port-portVector, s.errorCode, s.rip, s.cr2)
}

// start runs a program in ring 3 until it comes to the host. change may be nil.
func (g *guest) start(ctx context.Context, program []byte, change func(*kvm.Sregs, *kvm.Regs)) (stop, error) {
	if err := g.prepare(program, change); err != nil {
		return stop{}, err
	}
	return g.enter(ctx, unix.IoctlValue)
}

// prepare lets the next entry begin with a program in ring 3.
func (g *guest) prepare(program []byte, change func(*kvm.Sregs, *kvm.Regs)) error {
	copy(g.mem[codeAt-base:], program)
	g.set = g.special
	g.regs = kvm.Regs{RIP: codeAt, RSP: dataAt + pageSize, RFLAGS: g.flags}
	if change != nil {
		change(&g.set, &g.regs)
	}
	if err := kvm.SetSregs(uintptr(g.vcpu), &g.set); err != nil {
		return fmt.Errorf("set special registers: %w", err)
	}
	if err := kvm.SetRegs(uintptr(g.vcpu), &g.regs); err != nil {
		return fmt.Errorf("set registers: %w", err)
	}
	return nil
}

// resume lets a guest that has made a system call go on behind it.
func (g *guest) resume(ctx context.Context, k Kind, s *stop) (stop, error) {
	g.regs = s.regs
	if k == PVM {
		// The handler's iretq takes over what ring 3 shall go on with.
		frame := g.mem[s.regs.RSP-base:]
		binary.LittleEndian.PutUint64(frame[8:], s.regs.RCX)
		binary.LittleEndian.PutUint64(frame[24:], s.regs.R11)
		g.regs.RSP += 8
	}
	if err := kvm.SetRegs(uintptr(g.vcpu), &g.regs); err != nil {
		return stop{}, fmt.Errorf("set registers: %w", err)
	}
	return g.enter(ctx, unix.IoctlValue)
}

// enter runs the guest until it comes to the host.
func (g *guest) enter(ctx context.Context, ioctl func(fd int, request, arg uintptr) (int, error)) (stop, error) {
	pid, tid := unix.Getpid(), unix.Gettid()
	ctx, cancel := context.WithTimeoutCause(ctx, g.limit, errStuck)
	// The flag is for an entry that is still to come, the signal for one that has
	// begun. Go's runtime takes this signal at any time.
	kicked := make(chan struct{})
	unregister := context.AfterFunc(ctx, func() {
		defer close(kicked)
		g.state[stateImmediateExit] = 1
		_ = unix.Tgkill(pid, tid, syscall.SIGURG)
	})
	defer func() {
		if !unregister() {
			<-kicked
			g.state[stateImmediateExit] = 0
		}
		cancel()
	}()
	for {
		_, err := ioctl(g.vcpu, requestRun, 0)
		switch {
		case err == nil:
			return g.stopped()
		case ctx.Err() != nil:
			return stop{}, context.Cause(ctx)
		case !errors.Is(err, syscall.EINTR) && !errors.Is(err, syscall.EAGAIN):
			return stop{}, fmt.Errorf("run the virtual machine: %w", err)
		}
		runtime.Gosched()
	}
}

// exitError is an exit that ring 0 of the guest did not ask for.
type exitError kvm.ExitType

func (e exitError) Error() string {
	return fmt.Sprintf("the virtual machine ended with exit %v", kvm.ExitType(e))
}

// stopped reads how the guest came back.
func (g *guest) stopped() (stop, error) {
	le := binary.LittleEndian
	if reason := le.Uint32(g.state[stateReason:]); reason != reasonIO {
		return stop{}, exitError(reason)
	}
	regs, err := kvm.GetRegs(uintptr(g.vcpu))
	if err != nil {
		return stop{}, fmt.Errorf("read registers: %w", err)
	}
	special, err := kvm.GetSregs(uintptr(g.vcpu))
	if err != nil {
		return stop{}, fmt.Errorf("read special registers: %w", err)
	}
	s := stop{port: le.Uint16(g.state[statePort:]), regs: *regs, cs: special.CS.Selector, cr2: special.CR2}
	switch {
	case s.port == portUser:
		return stop{}, errPorts
	case s.cs&3 != 0:
		return stop{}, fmt.Errorf("ring 3 wrote to port %#x", s.port)
	case s.port == portCall:
	case s.port < portVector || s.port >= portVector+vectors:
		return stop{}, fmt.Errorf("unknown port %#x", s.port)
	default:
		if s.regs.RSP < stackAt || s.regs.RSP > stackTop-48 {
			return stop{}, fmt.Errorf("exception %d on a stack at %#x", s.port-portVector, s.regs.RSP)
		}
		frame := g.mem[s.regs.RSP-base:]
		if hasErrorCode(s.port - portVector) {
			s.errorCode, frame = le.Uint64(frame), frame[8:]
		}
		s.rip = le.Uint64(frame)
	}
	return s, nil
}

// hasErrorCode reports whether an exception pushes one (AMD64 manual, volume 2,
// 8.2).
func hasErrorCode(vector uint16) bool {
	return vector == 8 || vector >= 10 && vector <= 14 || vector == 17 || vector == 21
}
