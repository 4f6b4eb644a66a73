//go:build linux && amd64

package probe

import "encoding/binary"

// The guest's memory is one slot, and its virtual addresses are the physical ones.
const (
	pageSize = 4096
	base     = 0x10000000

	rootAt   = base // four levels of tables
	gdtAt    = base + 4*pageSize
	tssAt    = gdtAt + pageSize/2
	idtAt    = base + 5*pageSize
	stubsAt  = base + 6*pageSize
	callAt   = base + 7*pageSize // LSTAR
	stackAt  = base + 8*pageSize
	codeAt   = base + 9*pageSize  // ring 3 executes
	dataAt   = base + 10*pageSize // ring 3 writes
	pages    = 11
	stackTop = stackAt + pageSize
)

// Linux's selectors: pvm knows no others.
const (
	kernelCS = 0x10
	kernelSS = 0x18
	userSS   = 0x2b
	userCS   = 0x33
	tssSel   = 0x40
	gdtSize  = 0x50
	tssSize  = 0x68
)

// Ports by which ring 0 tells the host what happened.
const (
	portCall   = 0x10
	portVector = 0x20 // plus the vector
	// portUser is what ring 3 tries to write to.
	portUser = 0x11
)

// Exceptions.
const (
	vectors          = 32
	stubSize         = 16
	vectorProtection = 13
	vectorPageFault  = 14
	// Bits of a page fault's error code.
	faultUser  = 1 << 2
	faultFetch = 1 << 4
)

const (
	// flagsFixed is the bit of RFLAGS that is always set.
	flagsFixed = 1 << 1
	// magic and its complement are values that nothing else has.
	magic uint64 = 0x6d756c7469766172
	// brandLeaf begins the processor's name; brandAnswer is what it shall say.
	brandLeaf   = 0x80000002
	brandAnswer = 0x6d766172
)

// Instructions of ring 3. Every program ends in a system call with a number of its
// own in eax.
var (
	// mov $1,%eax; syscall; mov $2,%eax; syscall
	progCalls = []byte{0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0xb8, 2, 0, 0, 0, 0x0f, 0x05}
	// out %al,$portUser; syscall
	progPort = []byte{0xe6, portUser, 0x0f, 0x05}
	// mov stackAt,%rax; syscall
	progSupervisor = append(binary.LittleEndian.AppendUint32([]byte{0x48, 0x8b, 0x04, 0x25}, stackAt), 0x0f, 0x05)
	// mov %fs:0,%rax; syscall
	progThread = []byte{0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x0f, 0x05}
	// movq %rax,%xmm7; syscall; movq %xmm7,%rax; syscall
	progVector = []byte{0x66, 0x48, 0x0f, 0x6e, 0xf8, 0x0f, 0x05, 0x66, 0x48, 0x0f, 0x7e, 0xf8, 0x0f, 0x05}
	// rdtsc; syscall
	progTSC = []byte{0x0f, 0x31, 0x0f, 0x05}
	// mov $brandLeaf,%eax; cpuid; syscall
	progCPUID = append(binary.LittleEndian.AppendUint32([]byte{0xb8}, brandLeaf), 0x0f, 0xa2, 0x0f, 0x05)
	// jmp .
	progLoop = []byte{0xeb, 0xfe}
)

// Instructions of ring 0.
var (
	// out %al,$portCall; sysretq
	stubCall = []byte{0xe6, portCall, 0x48, 0x0f, 0x07}
	// out %al,$portVector+n; iretq
	stubVector = []byte{0xe6, portVector, 0x48, 0xcf}
)

// lay fills the guest's memory.
func lay(mem []byte) {
	le := binary.LittleEndian
	at := func(addr uint64) []byte { return mem[addr-base:] }
	const present, write, user, noExec = 1, 2, 4, 1 << 63
	// All of base lies below one entry of each table.
	for level := range uint64(3) {
		table := rootAt + level*pageSize
		index := uint64(base) >> (39 - 9*level) & 511
		le.PutUint64(at(table+8*index), table+pageSize|present|write|user)
	}
	leaves := map[uint64]uint64{codeAt: user, dataAt: write | user | noExec}
	for page := range uint64(pages) {
		addr := base + page*pageSize
		flags, ok := leaves[addr]
		if !ok {
			flags = write
		}
		le.PutUint64(at(rootAt+3*pageSize+8*page), addr|present|flags)
	}

	// Descriptors as in arch/x86/kernel/cpu/common.c, with the accessed bit.
	for sel, d := range map[uint64]uint64{
		kernelCS:   0x00af9b000000ffff,
		kernelSS:   0x00cf93000000ffff,
		userSS - 3: 0x00cff3000000ffff,
		userCS - 3: 0x00affb000000ffff,
		tssSel:     tssSize - 1 | tssAt&0xffffff<<16 | 0x8b<<40 | tssAt>>24&0xff<<56,
		tssSel + 8: tssAt >> 32,
	} {
		le.PutUint64(at(gdtAt+sel), d)
	}
	le.PutUint64(at(tssAt+4), stackTop)
	// The I/O bitmap lies beyond the limit: ring 3 has no ports.
	le.PutUint16(at(tssAt+0x66), tssSize)
	for v := range uint64(vectors) {
		stub := stubsAt + v*stubSize
		copy(at(stub), stubVector)
		at(stub)[1] += byte(v)
		const interruptGate = 0x8e
		le.PutUint64(at(idtAt+16*v), stub&0xffff|kernelCS<<16|interruptGate<<40|stub>>16&0xffff<<48)
		le.PutUint64(at(idtAt+16*v+8), stub>>32)
	}
	copy(at(callAt), stubCall)
}
