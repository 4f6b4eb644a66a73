//go:build linux

#include "textflag.h"

#define SYS_rt_sigprocmask 14
#define SYS_ioctl 16
#define SYS_prctl 157

#define SIG_SETMASK 2
#define SIGSET_SIZE 8
#define PR_SET_TSC 26
#define PR_TSC_ENABLE 1
#define PR_TSC_SIGSEGV 2

// func ioctlWithoutTSC(fd, request, arg uintptr) int
// 0(SP) is the set of all signals, 8(SP) the thread's mask. The kernel preserves
// R12.
TEXT ·ioctlWithoutTSC(SB), NOSPLIT, $16-32
	MOVQ	$-1, AX
	MOVQ	AX, 0(SP)
	MOVL	$SYS_rt_sigprocmask, AX
	MOVL	$SIG_SETMASK, DI
	LEAQ	0(SP), SI
	LEAQ	8(SP), DX
	MOVL	$SIGSET_SIZE, R10
	SYSCALL

	MOVL	$SYS_prctl, AX
	MOVL	$PR_SET_TSC, DI
	MOVL	$PR_TSC_SIGSEGV, SI
	SYSCALL
	MOVQ	AX, R12
	TESTQ	AX, AX
	JNE	restore

	MOVL	$SYS_ioctl, AX
	MOVQ	fd+0(FP), DI
	MOVQ	request+8(FP), SI
	MOVQ	arg+16(FP), DX
	SYSCALL
	MOVQ	AX, R12

	MOVL	$SYS_prctl, AX
	MOVL	$PR_SET_TSC, DI
	MOVL	$PR_TSC_ENABLE, SI
	SYSCALL

restore:
	MOVL	$SYS_rt_sigprocmask, AX
	MOVL	$SIG_SETMASK, DI
	LEAQ	8(SP), SI
	XORL	DX, DX
	MOVL	$SIGSET_SIZE, R10
	SYSCALL
	MOVQ	R12, ret+24(FP)
	RET
