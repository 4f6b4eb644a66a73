package signals

import "encoding/binary"

// Exceptions of the processor that become signals (AMD64 manual, volume 2,
// chapter 8).
const (
	VectorDivide         = 0
	VectorDebug          = 1
	VectorBreakpoint     = 3
	VectorOverflow       = 4
	VectorBound          = 5
	VectorOpcode         = 6
	VectorNotAvailable   = 7
	VectorOverrun        = 9
	VectorTaskState      = 10
	VectorNotPresent     = 11
	VectorStack          = 12
	VectorProtection     = 13
	VectorPageFault      = 14
	VectorFloat          = 16
	VectorAlignment      = 17
	VectorSIMD           = 19
	VectorVirtualization = 20
	VectorControl        = 21
)

// Bits of a page fault's error code.
const (
	faultPresent = 1 << 0
	faultUser    = 1 << 2
	faultKey     = 1 << 5
)

// TaskSizeMax is the end of the addresses that a program can have: with four levels
// of page tables the lower half less a page (arch/x86/include/asm/page_64_types.h).
const TaskSizeMax = 1<<47 - 4096

// Exception is an exception that an instruction of a program raised.
type Exception struct {
	Vector uint8
	// ErrorCode is the processor's, 0 for exceptions without.
	ErrorCode uint64
	// IP is the program's instruction pointer as the processor pushed it.
	IP uint64
	// CR2 is the address of a page fault.
	CR2 uint64
	// Mapped is true for a page fault at an address that the program has mapped.
	Mapped bool
	// NoPage is true for a page fault in a mapping that has nothing to show there,
	// beyond the end of its file. It makes the signal SIGBUS.
	NoPage bool
	// PKey is the protection key of the mapping at CR2.
	PKey uint32
	// DR6 is the register, for VectorDebug.
	DR6 uint64
	// FCW and FSW are the control and status words, for VectorFloat.
	FCW, FSW uint16
	// MXCSR is the register, for VectorSIMD.
	MXCSR uint32
}

// Fault is the signal that an exception stands for. It is to be delivered by
// [Force].
type Fault struct {
	Signal int
	Info   Info
}

// FaultInfo returns the signal of an exception in a program (arch/x86/kernel/traps.c,
// arch/x86/mm/fault.c), and notes the exception in t where the kernel does. It
// returns false when there is none: exceptions that no program can cause, or which
// have no cause any more when they are looked at.
//
// A program sees the error code of a page fault. Bit 0 says whether the page tables
// had an entry, so a monitor that fills its tables at other times than Linux would
// has to correct it.
func FaultInfo(t *Thread, x Exception) (Fault, bool) {
	var f Fault
	code := x.ErrorCode
	switch x.Vector {
	case VectorPageFault:
		f = pageFault(t, x)
		return f, true
	case VectorNotAvailable:
		// Only state that is given on request and was not asked for gets here
		// (handle_xfd_event), and it leaves no note.
		return fault(SIGILL, codeOpcode, x.IP), true
	case VectorDivide:
		f, code = fault(SIGFPE, codeIntDivide, x.IP), 0
	case VectorDebug:
		why, ok := debugCode(x.DR6)
		if !ok {
			return Fault{}, false
		}
		f, code = fault(SIGTRAP, why, x.IP), 0
	case VectorBreakpoint:
		f, code = kernelFault(SIGTRAP), 0
	case VectorOverflow, VectorBound:
		f, code = kernelFault(SIGSEGV), 0
	case VectorOpcode:
		f, code = fault(SIGILL, codeOperand, x.IP), 0
	case VectorOverrun:
		f, code = kernelFault(SIGFPE), 0
	case VectorTaskState, VectorProtection, VectorVirtualization:
		f = kernelFault(SIGSEGV)
	case VectorNotPresent, VectorStack:
		f = kernelFault(SIGBUS)
	case VectorAlignment:
		f = fault(SIGBUS, codeAlignment, 0)
	case VectorControl:
		f = fault(SIGSEGV, codeControl, 0)
	case VectorFloat:
		f, code = fault(SIGFPE, floatCode(x.FSW&^x.FCW), x.IP), 0
	case VectorSIMD:
		f, code = fault(SIGFPE, floatCode(uint16(x.MXCSR&^(x.MXCSR>>7))), x.IP), 0
	default:
		return Fault{}, false
	}
	t.Trap.Number, t.Trap.ErrorCode = uint64(x.Vector), code
	// math_error: the exception is noted, but spurious.
	return f, f.Info.Code() != 0
}

// pageFault is __bad_area_nosemaphore and do_sigbus.
func pageFault(t *Thread, x Exception) Fault {
	code := x.ErrorCode | faultUser
	if x.CR2 >= TaskSizeMax {
		// Nobody learns what is mapped there (sanitize_error_code).
		code |= faultPresent
	}
	t.Trap = Trap{Number: VectorPageFault, ErrorCode: code, CR2: x.CR2}
	switch {
	case x.CR2 >= TaskSizeMax:
		return fault(SIGSEGV, codeNotMapped, x.CR2)
	case x.NoPage:
		return fault(SIGBUS, codeNoAddress, x.CR2)
	case !x.Mapped:
		return fault(SIGSEGV, codeNotMapped, x.CR2)
	case x.ErrorCode&faultKey != 0:
		f := fault(SIGSEGV, codeKey, x.CR2)
		binary.LittleEndian.PutUint32(f.Info[infoPKey:], x.PKey)
		return f
	}
	return fault(SIGSEGV, codeAccess, x.CR2)
}

// debugCode returns si_code of a debug exception (exc_debug_user, get_si_code).
func debugCode(dr6 uint64) (int32, bool) {
	const (
		reserved    = 0xffff_0ff0 // active low
		watchpoints = 0xf
		step        = 1 << 14
	)
	switch dr6 ^= reserved; {
	case dr6&step != 0:
		return codeStep, true
	case dr6&watchpoints != 0:
		return codeWatchpoint, true
	case dr6 == 0: // the instruction int1
		return codeBreakpoint, true
	}
	return 0, false
}

// floatCode returns si_code of floating point exceptions of which those in raised
// are not masked, 0 when none is (fpu__exception_code in arch/x86/kernel/fpu/core.c).
func floatCode(raised uint16) int32 {
	const (
		invalid, divide, overflow = 0x01, 0x04, 0x08
		denormalOrUnderflow       = 0x12
		inexact                   = 0x20
	)
	switch {
	case raised&invalid != 0:
		return codeInvalid
	case raised&divide != 0:
		return codeDivide
	case raised&overflow != 0:
		return codeOverflow
	case raised&denormalOrUnderflow != 0:
		return codeUnderflow
	case raised&inexact != 0:
		return codeInexact
	}
	return 0
}

func fault(signo int, code int32, addr uint64) Fault {
	return Fault{Signal: signo, Info: AddrInfo(signo, code, addr)}
}

func kernelFault(signo int) Fault { return Fault{Signal: signo, Info: KernelInfo(signo)} }

// Canonical reports whether a processor with four levels of page tables takes addr
// for an address.
func Canonical(addr uint64) bool { return uint64(int64(addr<<16)>>16) == addr }

// ReturnFault returns the exception of the instruction that enters the program with
// these registers, and notes it in t. Linux finds out only then that a program
// asked for them, as the program made its frame or its handler's address: the fault
// comes with the new registers. It returns false when all is well.
//
// Linux lets a program enter 32-bit code this way; here that faults like any other
// selector that is not [UserCS].
func ReturnFault(t *Thread, r *Registers) (Fault, bool) {
	var code uint64
	switch {
	case r.CS != UserCS:
		code = uint64(r.CS &^ 3)
	case r.SS != UserSS:
		code = uint64(r.SS &^ 3)
	case Canonical(r.RIP):
		return Fault{}, false
	}
	return FaultInfo(t, Exception{Vector: VectorProtection, ErrorCode: code, IP: r.RIP})
}
