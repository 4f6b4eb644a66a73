package signals

import "encoding/binary"

// Selectors of a 64-bit program on Linux (arch/x86/include/asm/segment.h).
const (
	UserCS = 0x33
	UserSS = 0x2b
)

// Bits of RFLAGS.
const (
	flagsTF = 1 << 8
	flagsDF = 1 << 10
	flagsRF = 1 << 16

	// flagsRestored are those that a frame can set: AC, RF, OF, DF, TF, SF, ZF, AF,
	// PF, CF (FIX_EFLAGS in arch/x86/include/asm/sighandling.h).
	flagsRestored = 0x50dd5
)

// Registers are a thread's registers that frames hold. Those of the floating point
// unit come as XSAVE data; the bases of FS and GS are not in frames.
type Registers struct {
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11, R12, R13, R14, R15   uint64
	RIP, RFLAGS                            uint64
	CS, SS                                 uint16
}

// Layout of struct rt_sigframe (arch/x86/include/asm/sigframe.h) and of what is in
// it (asm-generic/ucontext.h, uapi/asm/sigcontext.h).
const (
	frameReturn  = 0
	frameContext = 8
	frameInfo    = frameContext + contextSize
	frameSize    = frameInfo + InfoSize

	contextFlags   = 0
	contextLink    = 8
	contextStack   = 16
	contextMachine = 40
	contextMask    = contextMachine + machineSize
	contextSize    = contextMask + SetSize

	machineFlags    = 136
	machineCS       = 144
	machineSS       = 150
	machineError    = 152
	machineTrap     = 160
	machineOldMask  = 168
	machineCR2      = 176
	machineFloat    = 184
	machineReserved = 192
	machineSize     = 256
)

// Flags of a ucontext (uapi/asm/ucontext.h).
const (
	contextXState     = 1
	contextHasSS      = 2
	contextStrictlySS = 4
)

// general returns the registers in the order of struct sigcontext, which begins with
// them.
func (r *Registers) general() [18]*uint64 {
	return [...]*uint64{
		&r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15,
		&r.RDI, &r.RSI, &r.RBP, &r.RBX, &r.RDX, &r.RAX, &r.RCX, &r.RSP,
		&r.RIP, &r.RFLAGS,
	}
}

// putMachine writes a struct sigcontext (__unsafe_setup_sigcontext).
func putMachine(b []byte, r *Registers, trap Trap, mask Set, float uint64) {
	for i, p := range r.general() {
		binary.LittleEndian.PutUint64(b[8*i:], *p)
	}
	binary.LittleEndian.PutUint16(b[machineCS:], r.CS)
	binary.LittleEndian.PutUint16(b[machineSS:], r.SS)
	binary.LittleEndian.PutUint64(b[machineError:], trap.ErrorCode)
	binary.LittleEndian.PutUint64(b[machineTrap:], trap.Number)
	binary.LittleEndian.PutUint64(b[machineOldMask:], uint64(mask))
	binary.LittleEndian.PutUint64(b[machineCR2:], trap.CR2)
	binary.LittleEndian.PutUint64(b[machineFloat:], float)
}

// machine reads a struct sigcontext for a thread whose registers are r
// (restore_sigcontext).
func (r *Registers) machine(b []byte, strictlySS bool) (restored Registers, float uint64) {
	for i, p := range restored.general() {
		*p = binary.LittleEndian.Uint64(b[8*i:])
	}
	restored.RFLAGS = r.RFLAGS&^flagsRestored | restored.RFLAGS&flagsRestored
	restored.CS = binary.LittleEndian.Uint16(b[machineCS:]) | 3
	restored.SS = binary.LittleEndian.Uint16(b[machineSS:]) | 3
	if !strictlySS && restored.CS == UserCS {
		restored.SS = UserSS
	}
	return restored, binary.LittleEndian.Uint64(b[machineFloat:])
}

// isUser reports whether the n bytes at addr are all in the program's half.
func isUser(addr, n uint64) bool { return n <= TaskSizeMax && addr <= TaskSizeMax-n }
