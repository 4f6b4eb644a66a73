/* The agent in the ring 0 of a guest: where calls and exceptions of the program come to. The base of
 * GS is the block's address behind swapgs, and the program's again in front of whatever leaves ring 0. */
#include "zz_layout.h"

#define R8 MV_RING0_CONTEXT + 40
#define R9 MV_RING0_CONTEXT + 48
#define R10 MV_RING0_CONTEXT + 56
#define R11 MV_RING0_CONTEXT + 64
#define RDI MV_RING0_CONTEXT + 104
#define RSI MV_RING0_CONTEXT + 112
#define RDX MV_RING0_CONTEXT + 136
#define RAX MV_RING0_CONTEXT + 144
#define RCX MV_RING0_CONTEXT + 152
#define RSP MV_RING0_CONTEXT + 160
#define FRAME MV_RING0_FRAME
#define AT MV_RING0_AT

.macro save
	swapgs
	mov %rax, %gs:RAX
	mov %rdi, %gs:RDI
	mov %rsi, %gs:RSI
	mov %rdx, %gs:RDX
	mov %r10, %gs:R10
	mov %r8, %gs:R8
	mov %r9, %gs:R9
	mov %rcx, %gs:RCX
	mov %r11, %gs:R11
.endm

.macro restore
	mov %gs:RAX, %rax
	mov %gs:RDI, %rdi
	mov %gs:RSI, %rsi
	mov %gs:RDX, %rdx
	mov %gs:R10, %r10
	mov %gs:R8, %r8
	mov %gs:R9, %r9
	mov %gs:RCX, %rcx
	mov %gs:R11, %r11
.endm

	.text
	.globl vhost_ring0_call, vhost_ring0_call_first, vhost_ring0_call_last
vhost_ring0_call:
	save
	mov %rsp, %gs:RSP
	rdgsbase %rdi
	lea MV_RING0_STACK(%rdi), %rsp
	call vhost_ring0_called
	test %eax, %eax
	jz 1f
vhost_ring0_call_first:
	cmpl $0, %gs:MV_BLOCK_HURRY
	jne 1f
	restore
	mov %gs:RSP, %rsp
	swapgs
vhost_ring0_call_last:
	sysretq
1:	restore
	mov %gs:RSP, %rsp
	swapgs
	out %al, $MV_PORT_OUT
	ud2

/* All exceptions have one stack: what this one has left there is kept elsewhere while the agent's copies
 * may cause others. One that ring 0 has caused is the variant host's to look at. */
	.globl vhost_ring0_fault, vhost_ring0_fault_first, vhost_ring0_fault_last
vhost_ring0_fault:
	testb $3, 16(%rsp)
	jz 2f
	save
	mov %rsp, %gs:AT
	rdgsbase %rdi
	pop %gs:FRAME
	pop %gs:FRAME + 8
	pop %gs:FRAME + 16
	pop %gs:FRAME + 24
	pop %gs:FRAME + 32
	pop %gs:FRAME + 40
	lea MV_RING0_STACK(%rdi), %rsp
	cld
	call vhost_ring0_faulted
	mov %gs:AT, %rsp
	add $48, %rsp
	push %gs:FRAME + 40
	push %gs:FRAME + 32
	push %gs:FRAME + 24
	push %gs:FRAME + 16
	push %gs:FRAME + 8
	test %eax, %eax
	jnz vhost_ring0_fault_first
	push %gs:FRAME
	jmp 1f
vhost_ring0_fault_first:
	cmpl $0, %gs:MV_BLOCK_HURRY
	jne 1f
	restore
	swapgs
vhost_ring0_fault_last:
	iretq
1:	restore
	swapgs
	out %al, $MV_PORT_OUT
	ud2
2:	out %al, $MV_PORT_PROTECTION
	ud2

	.section .note.GNU-stack, "", @progbits
