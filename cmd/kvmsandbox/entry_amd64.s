#include "textflag.h"

#define SYS_fcntl 72
#define F_GETFD 1
#define EBADF 9

// func entry()
// The kernel jumps here. The stack pointer is at argc and must stay there; all
// registers are free.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVL	$0, R12
	MOVL	$0, R13
next:
	MOVL	$SYS_fcntl, AX
	MOVL	R12, DI
	MOVL	$F_GETFD, SI
	SYSCALL
	CMPQ	AX, $-EBADF
	JNE	open
	BTSL	R12, R13
open:
	INCL	R12
	CMPL	R12, $3
	JLT	next
	MOVL	R13, ·atStart(SB)
	JMP	_rt0_amd64_linux(SB)
