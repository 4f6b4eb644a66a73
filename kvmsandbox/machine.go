//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// ErrUnavailable is returned (wrapped) by Run when this host has no virtual machines
// that can run programs.
var ErrUnavailable = errors.New("no usable /dev/kvm: kvmsandbox doctor says what is missing")

// machine is what the host offers.
type machine struct {
	fd      int
	kind    kind
	runSize int
	slots   int
	// vcpus is how many virtual processors a memory has at most.
	vcpus int
	cpuid kvm.CPUID
	xcr0  uint64
	// special are the special registers of a fresh virtual processor.
	special kvm.Special
	getFPU  uint64 // the request that reads vector registers
	fpuSize int
	xstate  *signals.XState

	aux     []frontend.Aux
	minAddr uint64
	// image is where the variant host has what native programs need.
	image vhost.Places
	// noExecCheck is true when the kernel does not tell beforehand whether it would
	// execute a file (before Linux 6.14); what it would answer is found out without
	// it, but for ETXTBSY.
	noExecCheck bool
	// separate is true when ring 3 of the guest cannot find out what memory holds that only its ring 0
	// may use; steady when all processors have the same time stamp counter, by which the kernel tells the
	// time.
	separate, steady bool
}

// Extensions (KVM_CHECK_EXTENSION).
const (
	capSlots  = 10
	capVCPUs  = 66
	capXSave2 = 208
)

func openMachine() (*machine, error) {
	fd, err := unix.OpenDevice("/dev/kvm")
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrUnavailable, err)
	}
	m := &machine{fd: fd, getFPU: kvm.GetXSave, fpuSize: 4096}
	if err := m.examine(); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("%w (%w)", ErrUnavailable, err)
	}
	return m, nil
}

func (m *machine) close() {
	if m.fd < 0 {
		return
	}
	_ = unix.Close(m.fd)
}

func (m *machine) examine() error {
	var err error
	if m.runSize, err = unix.IoctlValue(m.fd, kvm.VCPUMapSize, 0); err != nil {
		return fmt.Errorf("size of virtual processors: %w", err)
	}
	if m.slots, err = unix.IoctlValue(m.fd, kvm.CheckExtension, capSlots); err != nil || m.slots < 64 {
		return fmt.Errorf("%d memory slots: %w", m.slots, err)
	}
	if m.vcpus, err = unix.IoctlValue(m.fd, kvm.CheckExtension, capVCPUs); err != nil || m.vcpus < 1 {
		return fmt.Errorf("%d virtual processors: %w", m.vcpus, err)
	}
	m.vcpus = min(m.vcpus, maxVCPUs)
	vm, err := unix.IoctlAgain(m.fd, kvm.CreateVM, 0)
	if err != nil {
		return fmt.Errorf("make virtual machine: %w", err)
	}
	defer unix.Close(vm)
	if size, err := unix.IoctlValue(vm, kvm.CheckExtension, capXSave2); err == nil && size >= 4096 {
		m.getFPU, m.fpuSize = kvm.GetXSave2, size
	}
	cpuid := kvm.NewCPUID()
	if err := unix.IoctlBytes(m.fd, kvm.GetSupportedCPUID, cpuid); err != nil {
		return fmt.Errorf("features of virtual processors: %w", err)
	}
	m.cpuid = maskCPUID(cpuid.Trim())
	if leaf, ok := m.cpuid.Leaf(0xd, 0); ok {
		m.xcr0 = uint64(leaf[3])<<32 | uint64(leaf[0])
	}
	// Tile registers need a permission that nobody asked for, protection keys a
	// register that the guest does not have.
	m.xcr0 &= 0xe7
	if m.xstate, err = signals.NewXState(m.xcr0, func(i int) signals.Component {
		leaf, _ := m.cpuid.Leaf(0xd, uint32(i))
		return signals.Component{Offset: leaf[1], Size: leaf[0]}
	}, 0); err != nil {
		return err
	}
	tr, err := m.newTrial(vm)
	defer tr.close()
	if err == nil {
		m.kind, err = tr.findKind()
	}
	if err != nil {
		return err
	}
	if m.aux, err = ownAux(); err != nil {
		return err
	}
	m.minAddr = minAddr()
	m.separate = fileSays("/sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected")
	m.steady = fileSays("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc")
	return nil
}

// fileSays says whether a file of the kernel's is one line.
func fileSays(path, line string) bool {
	b, err := os.ReadFile(path)
	return err == nil && string(bytes.TrimSpace(b)) == line
}

// maskCPUID takes out what would let variants draw different random numbers or
// leave the monitor's view: RDRAND, RDSEED, transactions, protection keys. What tells processors
// apart is the first one's, which KVM would fill in by the one that it was asked on.
func maskCPUID(c kvm.CPUID) kvm.CPUID {
	const eax, ebx, ecx, edx = 0, 1, 2, 3
	const all, low = 1<<32 - 1, 1<<8 - 1
	c.Mask(1, 0, ebx, 0xff<<24) // the local APIC's number
	for level := range uint32(8) {
		c.Mask(0xb, level, edx, all)
		c.Mask(0x1f, level, edx, all)
		c.Mask(0x8000_0026, level, edx, all)
	}
	c.Mask(0x8000_001e, 0, eax, all)
	c.Mask(0x8000_001e, 0, ebx, low)
	c.Mask(0x8000_001e, 0, ecx, low)
	c.Mask(1, 0, ecx, 1<<30)            // RDRAND
	c.Mask(7, 0, ebx, 1<<18|1<<4|1<<11) // RDSEED, HLE, RTM
	c.Mask(7, 0, ecx, 1<<3|1<<4)        // PKU, OSPKE
	return c
}

// ownAux returns the auxiliary vector of this process.
func ownAux() ([]frontend.Aux, error) {
	words, err := unix.Auxv()
	if err != nil {
		return nil, fmt.Errorf("auxiliary vector: %w", err)
	}
	var aux []frontend.Aux
	for _, w := range words {
		aux = append(aux, frontend.Aux{Type: uint64(w[0]), Value: uint64(w[1])})
	}
	return aux, nil
}

// minAddr returns the lowest address that programs may map.
func minAddr() uint64 {
	b, err := os.ReadFile("/proc/sys/vm/mmap_min_addr")
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// gateAddr is where the guest's processor goes for a system call.
func (s *session) gateAddr() uint64 {
	if s.kvm.kind == kindPVM {
		return gateAddr
	}
	return ringAddr + stubCall
}
