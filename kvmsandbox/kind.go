//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"syscall"
	"time"

	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// kind tells the implementations of KVM apart by what they do.
type kind uint8

const (
	// kindHardware: a system call in ring 3 enters ring 0.
	kindHardware kind = iota
	// kindPVM: a system call in ring 3 is a fetch from the entry's address, and ring
	// 0 is emulated.
	kindPVM
	// kindNative is no machine: programs run in their processes.
	kindNative
)

// trial is a machine of the monitor's own with a program of a few instructions.
type trial struct {
	m       *machine
	vm, cpu int
	state   kvm.State
	// code is the program, cr3 leads to the page tables.
	code []byte
	cr3  uint64
	// mappings are given back in reverse order.
	mappings [][]byte
}

// trialCode makes system calls without end.
var trialCode = []byte{0x0f, 0x05, 0xeb, 0xfc} // 1: syscall; jmp 1b

func (tr *trial) memory(size int) ([]byte, error) {
	mem, err := unix.MapPrivateMemory(size)
	if err == nil {
		tr.mappings = append(tr.mappings, mem)
	}
	return mem, err
}

func (tr *trial) close() {
	if tr.cpu >= 0 {
		_ = unix.Close(tr.cpu)
	}
	for i := len(tr.mappings) - 1; i >= 0; i-- {
		_ = unix.Unmap(tr.mappings[i])
	}
}

// newTrial sets up a program in machine vm, which must be fresh. The caller closes
// it, also after an error.
func (m *machine) newTrial(vm int) (*trial, error) {
	tr := &trial{m: m, vm: vm, cpu: -1}
	region, err := tr.memory(regionSize)
	if err != nil {
		return tr, err
	}
	code, err := tr.memory(pageSize)
	if err != nil {
		return tr, err
	}
	gate, err := tr.memory(pageSize)
	if err != nil {
		return tr, err
	}
	if err := unix.ForbidAccess(gate); err != nil {
		return tr, err
	}
	copy(code, trialCode)
	tr.code = code
	at := unix.AddressOf(code)
	layGuest(region, false)
	layVCPU(region, 0)
	space, err := guestmem.New(guestmem.Config{
		Tables: region, KernelPages: offTables / pageSize, FirstSlot: 2, SlotLimit: uint32(m.slots),
	})
	if err != nil {
		return tr, err
	}
	if err := (&memory{space: space}).mapRing(); err != nil {
		return tr, err
	}
	slots, err := space.Cover(at, at+pageSize)
	if err != nil {
		return tr, err
	}
	if err := space.Fill(at, at+pageSize, guestmem.Read|guestmem.Exec); err != nil {
		return tr, err
	}
	regions := [][]byte{
		kvm.MemoryRegion(0, 0, 0, regionSize, unix.AddressOf(region)),
		kvm.MemoryRegion(1, 0, gateGPA, pageSize, unix.AddressOf(gate)),
	}
	for _, sl := range slots {
		// Only the page itself is the machine's.
		regions = append(regions, kvm.MemoryRegion(sl.Number, 0, sl.GPA+at-sl.HVA, pageSize, at))
	}
	for _, r := range regions {
		if err := unix.IoctlBytes(vm, kvm.SetUserMemoryRegion, r); err != nil {
			return tr, fmt.Errorf("give memory to virtual machine: %w", err)
		}
	}
	if tr.cpu, err = unix.IoctlValue(vm, kvm.CreateVCPU, 0); err != nil {
		tr.cpu = -1
		return tr, fmt.Errorf("make virtual processor: %w", err)
	}
	m.special = make(kvm.Special, kvm.SpecialSize)
	if err := unix.IoctlBytes(tr.cpu, kvm.GetSpecial, m.special); err != nil {
		return tr, fmt.Errorf("registers of virtual processor: %w", err)
	}
	tr.cr3 = space.CR3()
	sp := kvm.Special(append([]byte(nil), m.special...))
	special(sp, 0, tr.cr3, 0, 0, 0)
	if err := tr.set(kvm.SetCPUID2, m.cpuid); err != nil {
		return tr, err
	}
	if err := tr.set(kvm.SetSpecial, sp); err != nil {
		return tr, err
	}
	mem, err := unix.MapShared(tr.cpu, 0, m.runSize)
	if err != nil {
		return tr, err
	}
	tr.mappings = append(tr.mappings, mem)
	tr.state = kvm.State(mem)
	tr.state.Synchronise()
	tr.state.SetGeneral(&kvm.Registers{RIP: at, RFLAGS: flagFixed})
	err = tr.enterAt(ringAddr + stubCall)
	return tr, err
}

func (tr *trial) set(request uintptr, arg []byte) error {
	if err := unix.IoctlBytes(tr.cpu, request, arg); err != nil {
		return fmt.Errorf("set up virtual processor: %w", err)
	}
	return nil
}

// enterAt sets where system calls go.
func (tr *trial) enterAt(entry uint64) error {
	return tr.set(kvm.SetMSRs, kvm.MSRs(callMSRs(entry, 0)...))
}

// trialRounds bounds how often a trial may be interrupted before something happens.
const trialRounds = 1000

// run lets the guest run until it stops; fault is true when it stopped at a page
// without memory.
func (tr *trial) run() (fault bool, err error) {
	for range trialRounds {
		_, err = unix.IoctlValue(tr.cpu, kvm.Run, 0)
		if err != syscall.EINTR && err != syscall.EAGAIN {
			break
		}
	}
	if err == syscall.EFAULT {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("run guest: %w", err)
	}
	return false, nil
}

// findKind makes a system call in ring 3 and sees how it arrives. Nothing that a
// program could do has a say in it.
func (tr *trial) findKind() (kind, error) {
	if _, err := tr.run(); err != nil {
		return 0, err
	}
	if tr.state.Reason() == kvm.ExitIO {
		switch tr.state.Port() {
		case portCall:
			return kindHardware, nil
		case portVector + vectorPageFault:
			if tr.state.Special().CR2() == ringAddr+stubCall {
				return kindPVM, nil
			}
		}
	}
	return 0, fmt.Errorf("a system call of the guest does not arrive: it stops for reason %d", tr.state.Reason())
}

// MeasureExits returns what it takes on this host to leave a virtual machine for a
// system call of its program and to enter it again, without anything in between: the
// mean of n times. The error wraps ErrUnavailable where there are no machines.
func MeasureExits(n int) (time.Duration, error) {
	m, err := openMachine()
	if err != nil {
		return 0, err
	}
	defer m.close()
	vm, err := unix.IoctlAgain(m.fd, kvm.CreateVM, 0)
	if err != nil {
		return 0, fmt.Errorf("make virtual machine: %w", err)
	}
	defer unix.Close(vm)
	tr, err := m.newTrial(vm)
	defer tr.close()
	if err != nil {
		return 0, err
	}
	if m.kind == kindPVM {
		if err := tr.enterAt(gateAddr); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	for range max(n, 1) {
		fault, err := tr.run()
		if err != nil {
			return 0, err
		}
		if fault {
			var r kvm.Registers
			tr.state.General(&r)
			if r.RIP != gateAddr {
				return 0, fmt.Errorf("guest stopped at %#x", r.RIP)
			}
			r.RIP, r.RFLAGS = r.RCX, r.R11
			tr.state.SetGeneral(&r)
		}
	}
	return time.Since(start) / time.Duration(max(n, 1)), nil
}

// callMSRs are the special registers by which a processor makes system calls, and the base of GS that
// ring 0 gets by swapgs.
func callMSRs(entry, base uint64) []kvm.MSR {
	return []kvm.MSR{
		{Index: msrSTAR, Value: (userSS-8-3)<<48 | kernelCS<<32},
		{Index: msrLSTAR, Value: entry},
		{Index: msrSFMASK, Value: callFlags},
		{Index: msrKernelGSBase, Value: base},
	}
}
