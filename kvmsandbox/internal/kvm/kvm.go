// Package kvm lays out what the kernel's virtual machine interface takes and gives
// (include/uapi/linux/kvm.h, arch/x86/include/uapi/asm/kvm.h), for processes that
// make the calls on behalf of somebody else: everything is bytes.
package kvm

import "encoding/binary"

// Requests of ioctl(2).
const (
	CreateVM            = 0xae01
	CheckExtension      = 0xae03
	VCPUMapSize         = 0xae04
	CreateVCPU          = 0xae41
	SetUserMemoryRegion = 0x4020ae46
	Run                 = 0xae80
	SetSpecial          = 0x4138ae84
	SetMSRs             = 0x4008ae89
	SetSignalMask       = 0x4004ae8b
	SetCPUID2           = 0x4008ae90
	GetXSave            = 0x9000aea4
	SetXSave            = 0x5000aea5
	SetXCRs             = 0x4188aea7
	GetXSave2           = 0x9000aecf
	GetSupportedCPUID   = 0xc008ae05
	GetSpecial          = 0x8138ae83
	SetEvents           = 0x4040aea0
	GetDebug            = 0x8080aea1
	SetDebug            = 0x4080aea2
	SetDeviceAttr       = 0x4018aee1
)

// Reasons why a guest stopped.
const (
	ExitIO            = 2
	ExitDebug         = 4
	ExitHalt          = 5
	ExitMMIO          = 6
	ExitShutdown      = 8
	ExitFailEntry     = 9
	ExitInterrupted   = 10
	ExitInternalError = 17
	ExitMemoryFault   = 39
)

var le = binary.LittleEndian

// Registers are the general registers in the order of struct kvm_regs.
type Registers struct {
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11, R12, R13, R14, R15   uint64
	RIP, RFLAGS                            uint64
}

// Offsets in struct kvm_run.
const (
	runImmediateExit = 1
	runExitReason    = 8
	runDetail        = 32
	runPort          = runDetail + 2
	runWrites        = runDetail + 20
	runValid         = 288
	runDirty         = 296
	runGeneral       = 304
	runSpecial       = 448

	// GeneralSize and SpecialSize are the sizes of struct kvm_regs and kvm_sregs.
	GeneralSize = 144
	SpecialSize = 312

	// DebugSize is the size of struct kvm_debugregs, DebugStatus where DR6 is in it.
	DebugSize   = 128
	DebugStatus = 32

	// EventsSize is the size of struct kvm_vcpu_events.
	EventsSize = 64

	syncGeneral = 1
	syncSpecial = 2
)

// State is the struct kvm_run of a virtual processor, shared with the kernel.
type State []byte

// Synchronise asks the kernel to leave both sets of registers in the state each
// time the guest stops.
func (s State) Synchronise() { le.PutUint64(s[runValid:], syncGeneral|syncSpecial) }

// Reason is why the guest stopped, one of the Exit constants.
func (s State) Reason() uint32 { return le.Uint32(s[runExitReason:]) }

// Port is the port of an ExitIO.
func (s State) Port() uint16 { return le.Uint16(s[runPort:]) }

// Writes says whether an ExitMMIO is a write; Detail(0) is where.
func (s State) Writes() bool { return s[runWrites] != 0 }

// ExitAtOnce says whether the kernel comes back before the guest runs, but after it has
// finished what the guest had stopped in the middle of.
func (s State) ExitAtOnce(yes bool) {
	s[runImmediateExit] = 0
	if yes {
		s[runImmediateExit] = 1
	}
}

// Detail returns word i of what the kernel says about the stop.
func (s State) Detail(i int) uint64 { return le.Uint64(s[runDetail+8*i:]) }

// General reads the general registers.
func (s State) General(r *Registers) {
	b := s[runGeneral:]
	for i, p := range r.fields() {
		*p = le.Uint64(b[8*i:])
	}
}

// SetGeneral writes the general registers, for the next entry.
func (s State) SetGeneral(r *Registers) {
	b := s[runGeneral:]
	for i, p := range r.fields() {
		le.PutUint64(b[8*i:], *p)
	}
	le.PutUint64(s[runDirty:], le.Uint64(s[runDirty:])|syncGeneral)
}

func (r *Registers) fields() [18]*uint64 {
	return [18]*uint64{
		&r.RAX, &r.RBX, &r.RCX, &r.RDX, &r.RSI, &r.RDI, &r.RSP, &r.RBP,
		&r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15,
		&r.RIP, &r.RFLAGS,
	}
}

// Special returns the special registers, struct kvm_sregs. Changes count when
// MarkSpecial was called.
func (s State) Special() Special { return Special(s[runSpecial : runSpecial+SpecialSize]) }

// MarkSpecial makes the next entry take over the special registers.
func (s State) MarkSpecial() { le.PutUint64(s[runDirty:], le.Uint64(s[runDirty:])|syncSpecial) }

// Special is a struct kvm_sregs.
type Special []byte

// Segment registers in the order of struct kvm_sregs.
const (
	CS = iota
	DS
	ES
	FS
	GS
	SS
	TR
	LDT
	segmentSize = 24
)

const (
	offGDT  = 8 * segmentSize
	offIDT  = offGDT + 16
	offCR0  = offIDT + 16
	offCR2  = offCR0 + 8
	offCR3  = offCR2 + 8
	offCR4  = offCR3 + 8
	offEFER = offCR4 + 16
	offAPIC = offEFER + 8
)

// Segment is what a segment register holds.
type Segment struct {
	Base     uint64
	Limit    uint32
	Selector uint16
	// Type to G are the parts of the descriptor (AMD64 manual, volume 2, 4.7).
	Type, Present, DPL, DB, S, L, G uint8
	Unusable                        bool
}

// SetSegment sets segment register i.
func (s Special) SetSegment(i int, g Segment) {
	b := s[i*segmentSize:]
	le.PutUint64(b, g.Base)
	le.PutUint32(b[8:], g.Limit)
	le.PutUint16(b[12:], g.Selector)
	b[14], b[15], b[16], b[17], b[18], b[19], b[20], b[21] = g.Type, g.Present, g.DPL, g.DB, g.S, g.L, g.G, 0
	b[22] = 0
	if g.Unusable {
		b[22] = 1
	}
}

// SegmentBase returns the base of segment register i.
func (s Special) SegmentBase(i int) uint64 { return le.Uint64(s[i*segmentSize:]) }

// SetSegmentBase sets the base of segment register i.
func (s Special) SetSegmentBase(i int, v uint64) { le.PutUint64(s[i*segmentSize:], v) }

// Selector returns the selector in segment register i.
func (s Special) Selector(i int) uint16 { return le.Uint16(s[i*segmentSize+12:]) }

// SetTables sets the descriptor table registers.
func (s Special) SetTables(gdt uint64, gdtLimit uint16, idt uint64, idtLimit uint16) {
	le.PutUint64(s[offGDT:], gdt)
	le.PutUint16(s[offGDT+8:], gdtLimit)
	le.PutUint64(s[offIDT:], idt)
	le.PutUint16(s[offIDT+8:], idtLimit)
}

// CR2 is the address of the last page fault.
func (s Special) CR2() uint64 { return le.Uint64(s[offCR2:]) }

// SetControl sets the control registers and EFER.
func (s Special) SetControl(cr0, cr3, cr4, efer uint64) {
	le.PutUint64(s[offCR0:], cr0)
	le.PutUint64(s[offCR3:], cr3)
	le.PutUint64(s[offCR4:], cr4)
	le.PutUint64(s[offEFER:], efer)
}

// SetAPICBase sets the base of the local interrupt controller.
func (s Special) SetAPICBase(v uint64) { le.PutUint64(s[offAPIC:], v) }

// APICBase returns it.
func (s Special) APICBase() uint64 { return le.Uint64(s[offAPIC:]) }

// MemoryRegion returns a struct kvm_userspace_memory_region.
func MemoryRegion(slot, flags uint32, guest, size, host uint64) []byte {
	b := make([]byte, 0, 32)
	b = le.AppendUint32(b, slot)
	b = le.AppendUint32(b, flags)
	b = le.AppendUint64(b, guest)
	b = le.AppendUint64(b, size)
	return le.AppendUint64(b, host)
}

// MSR is a model-specific register and its value.
type MSR struct {
	Index uint32
	Value uint64
}

// MSRs returns a struct kvm_msrs.
func MSRs(list ...MSR) []byte {
	b := le.AppendUint64(nil, uint64(len(list)))
	for _, m := range list {
		b = le.AppendUint64(b, uint64(m.Index))
		b = le.AppendUint64(b, m.Value)
	}
	return b
}

// TSCOffset returns a struct kvm_device_attr that sets how far a virtual processor's time stamp counter
// is from the host's to the number at an address (Documentation/virt/kvm/devices/vcpu.rst).
func TSCOffset(at uint64) []byte {
	const control, offset = 0, 0
	b := le.AppendUint32(make([]byte, 4, 24), control)
	b = le.AppendUint64(b, offset)
	return le.AppendUint64(b, at)
}

// XCR0 returns a struct kvm_xcrs that sets extended control register 0.
func XCR0(v uint64) []byte {
	b := make([]byte, 392)
	le.PutUint32(b, 1)
	le.PutUint64(b[16:], v)
	return b
}

// SignalMask returns a struct kvm_signal_mask.
func SignalMask(blocked uint64) []byte {
	return le.AppendUint64(le.AppendUint32(nil, 8), blocked)
}
