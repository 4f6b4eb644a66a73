//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// A region of the arena is the memory of one virtual machine that is not the
// program's. Offsets in it: descriptor tables, entry code, one page per virtual
// processor, and then page tables. Its guest-physical address is 0, and its guest
// virtual address is where the variant host has it mapped.
const (
	regionSize = 64 << 20
	offGDT     = 0
	offIDT     = 1 * pageSize
	offStubs   = 2 * pageSize
	offVCPUs   = 3 * pageSize
	maxVCPUs   = 1021
	offTables  = offVCPUs + maxVCPUs*pageSize

	tablesAddr = vhost.Tables // in the process
	// ringAddr is where the guest has the region, gateAddr the page that it enters
	// for a system call on kindPVM.
	ringAddr uint64 = 0xffff_8000_0000_0000
	gateAddr        = ringAddr + 1<<30
	// gateGPA is where the guest sees the page that vhost.Gate is.
	gateGPA = 0xe000_0000
)

// Selectors are Linux's (arch/x86/include/asm/segment.h): programs can see them.
const (
	kernelCS = 0x10
	kernelSS = 0x18
	userSS   = vhost.UserSS
	userCS   = vhost.UserCS
	tssSel   = 0x40
	gdtSize  = 0x50
	tssSize  = 0x68
	vectors  = 32
)

// Entry code. Each vector has a stub that tells its number by a port and returns
// by iretq; the stub of system calls returns by sysretq.
const (
	stubSize   = 16
	stubReturn = offStubs + vectors*stubSize
	stubCall   = stubReturn + stubSize
	outSize    = 2 // of the stubs' first instruction

	portVector = vhost.PortVector
	portCall   = vhost.PortCall
)

// Bits of control registers and EFER (AMD64 manual, volume 2, chapter 3).
const (
	cr0       = 0x80050033
	cr4       = 1<<5 | 1<<7 | 1<<9 | 1<<10 | 1<<16 | 1<<18 // PAE PGE OSFXSR OSXMMEXCPT FSGSBASE OSXSAVE
	cr4TSD    = 1 << 2
	cr4SMEP   = 1 << 20 // ring 0 executes nothing of ring 3's
	efer      = 0xd01   // SCE LME LMA NXE
	msrSTAR   = 0xc0000081
	msrLSTAR  = 0xc0000082
	msrSFMASK = 0xc0000084

	msrKernelGSBase = 0xc0000102

	// callFlags are cleared on entry: Linux's own set (arch/x86/kernel/cpu/common.c).
	callFlags = 0x257fd5
)

// layGuest fills a region with what the guest's ring 0 consists of, where agents may be there, too.
func layGuest(mem []byte, agents bool) {
	le := binary.LittleEndian
	clear(mem[:offVCPUs])
	// What is no segment of a program's is ring 0's data, for which ring 3 gets the
	// exceptions of no segment at all. Of an empty descriptor, a machine of kindPVM
	// would say that the segment is not present.
	const ring0Data = 0x00cf93000000ffff
	for sel := 8; sel < gdtSize; sel += 8 {
		le.PutUint64(mem[offGDT+sel:], ring0Data)
	}
	for sel, d := range map[int]uint64{
		kernelCS:   0x00af9b000000ffff,
		userSS - 3: 0x00cff3000000ffff,
		userCS - 3: 0x00affb000000ffff,
	} {
		le.PutUint64(mem[offGDT+sel:], d)
	}
	for v := range vectors {
		at := ringAddr + uint64(offStubs+v*stubSize)
		if agents && v == vectorGeneral {
			at = vhost.Ring0Fault
		}
		const present, interruptGate, interruptStack = 0x80, 0x0e, 1
		kind := uint64(present | interruptGate)
		if v == vectorBreakpoint || v == vectorOverflow {
			kind |= 3 << 5
		}
		le.PutUint64(mem[offIDT+16*v:], at&0xffff|kernelCS<<16|interruptStack<<32|kind<<40|at>>16&0xffff<<48)
		le.PutUint64(mem[offIDT+16*v+8:], at>>32)
		copy(mem[offStubs+v*stubSize:], []byte{0xe6, byte(portVector + v), 0x48, 0xcf}) // out %al, port; iretq
	}
	copy(mem[stubReturn:], []byte{0x48, 0xcf})                   // iretq
	copy(mem[stubCall:], []byte{0xe6, portCall, 0x48, 0x0f, 07}) // out %al, port; sysretq
}

// layVCPU fills the page of virtual processor i: its task state segment, whose I/O
// bitmap lies beyond its limit, and above it the stack for entries from ring 3.
func layVCPU(mem []byte, i int) {
	le := binary.LittleEndian
	page := mem[vcpuPage(i):][:pageSize]
	clear(page[:tssSize])
	// All vectors use the first interrupt stack, so that no stack pointer of the
	// program's is ever written through in ring 0.
	le.PutUint64(page[4:], stackTop(i))
	le.PutUint64(page[0x24:], stackTop(i))
	le.PutUint16(page[0x66:], tssSize)
}

// vcpuPage is the offset of virtual processor i's page, stackTop the guest address
// of its end.
func vcpuPage(i int) int { return offVCPUs + i*pageSize }

func stackTop(i int) uint64 { return ringAddr + uint64(vcpuPage(i)) + pageSize }

// special fills in the registers of virtual processor i that stands in ring 3, with bits of CR4 more than
// cr4.
func special(s kvm.Special, i int, cr3, control, fsBase, gsBase uint64) {
	const data, tss = 3, 11
	userSegments(s)
	for _, seg := range []int{kvm.DS, kvm.ES, kvm.FS, kvm.GS} {
		s.SetSegment(seg, kvm.Segment{Limit: 0xffffffff, Type: data, Present: 1, DPL: 3, S: 1, DB: 1, G: 1})
	}
	s.SetSegmentBase(kvm.FS, fsBase)
	s.SetSegmentBase(kvm.GS, gsBase)
	s.SetSegment(kvm.TR, kvm.Segment{Base: ringAddr + uint64(vcpuPage(i)), Limit: tssSize - 1, Selector: tssSel, Type: tss, Present: 1})
	s.SetSegment(kvm.LDT, kvm.Segment{Unusable: true})
	s.SetTables(ringAddr+offGDT, gdtSize-1, ringAddr+offIDT, vectors*16-1)
	s.SetControl(cr0, cr3, cr4|control, efer)
}

// userSegments lets the processor stand in ring 3.
func userSegments(s kvm.Special) {
	const data, code = 3, 11
	s.SetSegment(kvm.CS, kvm.Segment{Limit: 0xffffffff, Selector: userCS, Type: code, Present: 1, DPL: 3, S: 1, L: 1, G: 1})
	s.SetSegment(kvm.SS, kvm.Segment{Limit: 0xffffffff, Selector: userSS, Type: data, Present: 1, DPL: 3, S: 1, DB: 1, G: 1})
}
