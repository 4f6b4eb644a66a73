package signals

import "encoding/binary"

// InfoSize is the size of siginfo_t in bytes.
const InfoSize = 128

// Info is a siginfo_t as the program sees it.
type Info [InfoSize]byte

// infoUsed is the size of what the kernel keeps of a siginfo_t; the rest is zero
// (struct kernel_siginfo).
const infoUsed = 48

// InfoSender is the offset of si_pid: who sent a signal, or which child it is about.
const InfoSender = 16

// Offsets in siginfo_t (uapi/asm-generic/siginfo.h).
const (
	infoSigno = 0
	infoErrno = 4
	infoCode  = 8
	infoPid   = InfoSender
	infoUID   = 20
	infoAddr  = 16
	infoPKey  = 32
)

// Codes in siginfo_t (uapi/asm-generic/siginfo.h).
const (
	CodeUser   = 0    // kill(2)
	CodeKernel = 0x80 // the kernel, for no reason that has a code
	CodeTkill  = -6   // tgkill(2)

	codeOperand = 2 // ILL_ILLOPN
	codeOpcode  = 1 // ILL_ILLOPC

	codeIntDivide = 1 // FPE_INTDIV
	codeDivide    = 3 // FPE_FLTDIV
	codeOverflow  = 4 // FPE_FLTOVF
	codeUnderflow = 5 // FPE_FLTUND
	codeInexact   = 6 // FPE_FLTRES
	codeInvalid   = 7 // FPE_FLTINV

	codeNotMapped = 1  // SEGV_MAPERR
	codeAccess    = 2  // SEGV_ACCERR
	codeKey       = 4  // SEGV_PKUERR
	codeControl   = 10 // SEGV_CPERR

	codeAlignment = 1 // BUS_ADRALN
	codeNoAddress = 2 // BUS_ADRERR

	codeBreakpoint = 1 // TRAP_BRKPT
	codeStep       = 2 // TRAP_TRACE
	codeWatchpoint = 4 // TRAP_HWBKPT
)

// KernelInfo is the siginfo_t of a signal that the kernel forces upon a thread
// without telling more (force_sig in kernel/signal.c).
func KernelInfo(signo int) Info { return newInfo(signo, CodeKernel) }

// AddrInfo is the siginfo_t of a signal that a thread's instruction caused
// at addr (force_sig_fault in kernel/signal.c).
func AddrInfo(signo int, code int32, addr uint64) Info {
	i := newInfo(signo, code)
	binary.LittleEndian.PutUint64(i[infoAddr:], addr)
	return i
}

// SentInfo is the siginfo_t of a signal that process pid of user uid sent; code is
// [CodeUser] or [CodeTkill].
func SentInfo(signo int, code, pid int32, uid uint32) Info {
	i := newInfo(signo, code)
	binary.LittleEndian.PutUint32(i[infoPid:], uint32(pid))
	binary.LittleEndian.PutUint32(i[infoUID:], uid)
	return i
}

func newInfo(signo int, code int32) Info {
	var i Info
	binary.LittleEndian.PutUint32(i[infoSigno:], uint32(signo))
	binary.LittleEndian.PutUint32(i[infoCode:], uint32(code))
	return i
}

// Signo returns si_signo.
func (i *Info) Signo() int { return int(int32(binary.LittleEndian.Uint32(i[infoSigno:]))) }

// Errno returns si_errno.
func (i *Info) Errno() int32 { return int32(binary.LittleEndian.Uint32(i[infoErrno:])) }

// Code returns si_code.
func (i *Info) Code() int32 { return int32(binary.LittleEndian.Uint32(i[infoCode:])) }

// Sender returns si_pid, which signals of processes and about children have.
func (i *Info) Sender() int32 { return int32(binary.LittleEndian.Uint32(i[infoPid:])) }

// Addr returns si_addr, which only signals of faults have.
func (i *Info) Addr() uint64 { return binary.LittleEndian.Uint64(i[infoAddr:]) }
