//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"syscall"

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
)

// kindRounds bounds how often the trial is interrupted.
const kindRounds = 1000

// try makes a system call in ring 3 of a machine of the monitor's own and sees how
// it arrives. Nothing that a program could do has a say in it.
func (m *machine) try(vm int) (kind, error) {
	region, err := unix.MapPrivateMemory(regionSize)
	if err != nil {
		return 0, err
	}
	defer unix.Unmap(region)
	code, err := unix.MapPrivateMemory(pageSize)
	if err != nil {
		return 0, err
	}
	defer unix.Unmap(code)
	copy(code, []byte{0x0f, 0x05, 0x0f, 0x0b}) // syscall; ud2
	at := unix.AddressOf(code)

	layGuest(region)
	layVCPU(region, 0)
	space, err := guestmem.New(guestmem.Config{
		Tables: region, KernelPages: offTables / pageSize, FirstSlot: 1, SlotLimit: uint32(m.slots),
	})
	if err != nil {
		return 0, err
	}
	mm := &memory{space: space}
	if err := mm.mapRing(); err != nil {
		return 0, err
	}
	slots, err := space.Fill(at, at+pageSize, guestmem.Read|guestmem.Exec)
	if err != nil {
		return 0, err
	}
	regions := [][]byte{kvm.MemoryRegion(0, 0, 0, regionSize, unix.AddressOf(region))}
	for _, sl := range slots {
		// Only the page itself is the machine's.
		regions = append(regions, kvm.MemoryRegion(sl.Number, 0, sl.GPA+at-sl.HVA, pageSize, at))
	}
	for _, r := range regions {
		if err := unix.IoctlBytes(vm, kvm.SetUserMemoryRegion, r); err != nil {
			return 0, fmt.Errorf("give memory to virtual machine: %w", err)
		}
	}
	cpu, err := unix.IoctlValue(vm, kvm.CreateVCPU, 0)
	if err != nil {
		return 0, fmt.Errorf("make virtual processor: %w", err)
	}
	defer unix.Close(cpu)
	m.special = make(kvm.Special, kvm.SpecialSize)
	if err := unix.IoctlBytes(cpu, kvm.GetSpecial, m.special); err != nil {
		return 0, fmt.Errorf("registers of virtual processor: %w", err)
	}
	sp := kvm.Special(append([]byte(nil), m.special...))
	special(sp, 0, space.CR3(), false, 0, 0)
	for _, set := range []struct {
		request uintptr
		arg     []byte
	}{
		{kvm.SetCPUID2, m.cpuid},
		{kvm.SetSpecial, sp},
		{kvm.SetMSRs, callMSRs(ringAddr + stubCall)},
	} {
		if err := unix.IoctlBytes(cpu, set.request, set.arg); err != nil {
			return 0, fmt.Errorf("set up virtual processor: %w", err)
		}
	}
	mem, err := unix.MapShared(cpu, 0, m.runSize)
	if err != nil {
		return 0, err
	}
	defer unix.Unmap(mem)
	st := kvm.State(mem)
	st.Synchronise()
	st.SetGeneral(&kvm.Registers{RIP: at, RFLAGS: flagFixed})
	for range kindRounds {
		_, err = unix.IoctlValue(cpu, kvm.Run, 0)
		if err != syscall.EINTR && err != syscall.EAGAIN {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("run guest: %w", err)
	}
	if st.Reason() == kvm.ExitIO {
		switch st.Port() {
		case portCall:
			return kindHardware, nil
		case portVector + vectorPageFault:
			if st.Special().CR2() == ringAddr+stubCall {
				return kindPVM, nil
			}
		}
	}
	return 0, errors.New("a system call of the guest does not arrive")
}

// callMSRs are the special registers by which a processor makes system calls.
func callMSRs(entry uint64) []byte {
	return kvm.MSRs(
		kvm.MSR{Index: msrSTAR, Value: (userSS-8-3)<<48 | kernelCS<<32},
		kvm.MSR{Index: msrLSTAR, Value: entry},
		kvm.MSR{Index: msrSFMASK, Value: callFlags},
	)
}
