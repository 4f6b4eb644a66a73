//go:build linux

#include "textflag.h"

#define SYS_prctl 157

#define SIGINFO_code 8
#define SI_KERNEL 0x80

// Offsets in struct ucontext (asm-generic/ucontext.h, asm/sigcontext.h).
#define UC_rdx 136
#define UC_rax 144
#define UC_rcx 152
#define UC_rip 168

#define USER_END_SHIFT 47

#define PR_SET_TSC 26
#define PR_TSC_ENABLE 1
#define PR_TSC_SIGSEGV 2

// func tscFault()
// The kernel calls it for SIGSEGV with the signal in DI, struct siginfo in SI and struct
// ucontext in DX; what it returns to restores all registers. A read of the time stamp
// counter that is refused is done here, everything else is for the handler before.
TEXT ·tscFault(SB), NOSPLIT|NOFRAME, $0
	CMPL	SIGINFO_code(SI), $SI_KERNEL
	JNE	other
	MOVQ	UC_rip(DX), R8
	MOVQ	R8, R9
	SHRQ	$USER_END_SHIFT, R9
	JNE	other
	CMPB	0(R8), $0x0f
	JNE	other
	CMPB	1(R8), $0x31
	JEQ	rdtsc
	CMPB	1(R8), $0x01
	JNE	other
	CMPB	2(R8), $0xf9
	JEQ	rdtscp
other:
	MOVQ	·handlerBefore(SB), AX
	JMP	AX

rdtsc:
	MOVQ	DX, R9
	MOVL	$SYS_prctl, AX
	MOVL	$PR_SET_TSC, DI
	MOVL	$PR_TSC_ENABLE, SI
	SYSCALL
	RDTSC
	ADDQ	$2, UC_rip(R9)
	JMP	done

rdtscp:
	MOVQ	DX, R9
	MOVL	$SYS_prctl, AX
	MOVL	$PR_SET_TSC, DI
	MOVL	$PR_TSC_ENABLE, SI
	SYSCALL
	RDTSCP
	MOVL	CX, CX
	MOVQ	CX, UC_rcx(R9)
	ADDQ	$3, UC_rip(R9)

done:
	MOVL	AX, AX
	MOVQ	AX, UC_rax(R9)
	MOVL	DX, DX
	MOVQ	DX, UC_rdx(R9)
	MOVL	$SYS_prctl, AX
	MOVL	$PR_SET_TSC, DI
	MOVL	$PR_TSC_SIGSEGV, SI
	SYSCALL
	RET

// func tscFaultAddress() uintptr
TEXT ·tscFaultAddress(SB), NOSPLIT, $0-8
	LEAQ	·tscFault(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
