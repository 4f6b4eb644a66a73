/* Where rewritten calls of the program come to by a jump, and go back from. Nothing on the
 * program's stack is touched, and nothing of its registers is lost but what a system call
 * instruction loses: rcx and r11. */
#include "zz_layout.h"

#define R8 MV_GATE_CONTEXT + 40
#define R9 MV_GATE_CONTEXT + 48
#define R10 MV_GATE_CONTEXT + 56
#define R11 MV_GATE_CONTEXT + 64
#define RDI MV_GATE_CONTEXT + 104
#define RSI MV_GATE_CONTEXT + 112
#define RDX MV_GATE_CONTEXT + 136
#define RAX MV_GATE_CONTEXT + 144
#define RCX MV_GATE_CONTEXT + 152
#define RSP MV_GATE_CONTEXT + 160
#define RIP MV_GATE_CONTEXT + 168
#define FLAGS MV_GATE_CONTEXT + 176

	.text
/* r11: the stub's system call instruction. Whether the base of GS is a block is found out
 * without a change of the flags: a program that has a base of its own makes the call there. */
	.globl vhost_gate, vhost_gate_known
	.balign 16
vhost_gate:
	rdgsbase %rcx
	bswap %rcx
	lea -MV_GATE_TAG(%rcx), %ecx
	jrcxz 1f
	jmp *%r11
1:
vhost_gate_known:
	rdgsbase %rcx
	mov %rax, RAX(%rcx)
	mov %rdi, RDI(%rcx)
	mov %rsi, RSI(%rcx)
	mov %rdx, RDX(%rcx)
	mov %r10, R10(%rcx)
	mov %r8, R8(%rcx)
	mov %r9, R9(%rcx)
	mov %r11, R11(%rcx)
	mov %rsp, RSP(%rcx)
	lea MV_BLOCK_SIZE(%rcx), %rsp
	pushfq
	pop FLAGS(%rcx)
	cld
	mov %rcx, %rdi
	call vhost_gated
	rdgsbase %rcx
	test %eax, %eax
	jnz leave

/* Between first and last a signal's handler moves the instruction pointer to again. The
 * stack may be the program's already. */
	.globl vhost_gate_first, vhost_gate_last, vhost_gate_again
vhost_gate_first:
	cmpl $0, MV_BLOCK_SIGNALLED(%rcx)
	jne vhost_gate_again
	mov RAX(%rcx), %rax
	mov RDI(%rcx), %rdi
	mov RSI(%rcx), %rsi
	mov RDX(%rcx), %rdx
	mov R10(%rcx), %r10
	mov R8(%rcx), %r8
	mov R9(%rcx), %r9
	mov FLAGS(%rcx), %r11
	push %r11
	popfq
	mov RSP(%rcx), %rsp
	mov RCX(%rcx), %rcx
vhost_gate_last:
	jmp *%gs:RIP

vhost_gate_again:
	cld
	rdgsbase %rdi
	lea MV_BLOCK_SIZE(%rdi), %rsp
	call vhost_gate_late
	rdgsbase %rcx
leave:
	mov RAX(%rcx), %rax
	mov RDI(%rcx), %rdi
	mov RSI(%rcx), %rsi
	mov RDX(%rcx), %rdx
	mov R10(%rcx), %r10
	mov R8(%rcx), %r8
	mov R9(%rcx), %r9
	mov R11(%rcx), %r11
	push FLAGS(%rcx)
	popfq
	mov RSP(%rcx), %rsp
	jmp *%r11

	.section .note.GNU-stack, "", @progbits
