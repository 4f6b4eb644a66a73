/* What C cannot say: entry, system calls, the restart window, clone. */
#include "zz_layout.h"

	.text
/* What the monitor names by its place: the handler and the restorer of signals. */
	.globl vhost_handler
vhost_handler:
	jmp vhost_signal
	.balign 16
	.globl vhost_restore
vhost_restore:
	mov $15, %eax
	syscall
	ud2
	.balign 16
/* What the stubs of rewritten calls jump to. */
	.globl vhost_door
vhost_door:
	jmp vhost_gate
	.balign 16
/* What the guest's processor goes to when the agent is in ring 0. */
	.globl vhost_ring0_door_call, vhost_ring0_door_fault
vhost_ring0_door_call:
	jmp vhost_ring0_call
	.balign 16
vhost_ring0_door_fault:
	jmp vhost_ring0_fault
	.balign 16

	.globl _start
_start:
	xor %ebp, %ebp
	mov %rsp, %rdi
	and $-16, %rsp
	call vhost_start
	ud2

/* In ring 0 the variant host makes the call. */
	.globl vhost_call
vhost_call:
	mov %rdi, %rax
	mov %rsi, %rdi
	mov %rdx, %rsi
	mov %rcx, %rdx
	mov %r8, %r10
	mov %r9, %r8
	mov 8(%rsp), %r9
	mov %cs, %r11d
	test $3, %r11b
	jz 1f
	syscall
	ret
1:	out %al, $MV_PORT_KERNEL
	ret

/* Between first and last a signal's handler moves the instruction pointer to out:
 * the call has not begun. */
	.globl vhost_call_unless, vhost_unless_first, vhost_unless_last, vhost_unless_out
vhost_call_unless:
	mov %cs, %r11d
	test $3, %r11b
	jz 1f
	mov %rdi, %r11
	mov MV_CALL_NR(%rsi), %rax
	mov %rdx, %rcx
	mov 0(%rcx), %rdi
	mov 8(%rcx), %rsi
	mov 16(%rcx), %rdx
	mov 24(%rcx), %r10
	mov 32(%rcx), %r8
	mov 40(%rcx), %r9
vhost_unless_first:
	cmpl $0, (%r11)
	jne vhost_unless_out
vhost_unless_last:
	syscall
	ret
vhost_unless_out:
	mov $MV_NOT_EXECUTED, %rax
	ret
1:	out %al, $MV_PORT_UNLESS
	ret

/* rdi flags, rsi parent_tid, rdx child_tid, rcx child's block. The child's stack
 * pointer comes from the call, so nothing is saved on either stack. */
	.globl vhost_clone
vhost_clone:
	mov %rdx, %r10
	mov %rsi, %rdx
	mov %rcx, %r9
	lea MV_BLOCK_SIZE(%rcx), %rsi
	xor %r8d, %r8d
	mov $56, %eax
	syscall
	test %rax, %rax
	jz 1f
	ret
1:	xor %ebp, %ebp
	mov %r9, %rdi
	call vhost_child
	ud2

/* rdi ucontext: what lies below it is the return address that the kernel's frame
 * begins with. */
	.globl vhost_resume
vhost_resume:
	mov %rdi, %rsp
	jmp vhost_restore

/* rdi block: continue on its stack. */
	.globl vhost_switch
vhost_switch:
	lea MV_BLOCK_SIZE(%rdi), %rsp
	xor %ebp, %ebp
	call vhost_begin
	ud2

/* Actions of signals, struct kernel_sigaction, which the monitor finds by the section's
 * name: the handler's (SA_SIGINFO, SA_RESTORER, SA_ONSTACK) and the default one. */
	.section .action, "a", @progbits
	.balign 8
	.globl vhost_action
vhost_action:
	.quad vhost_handler, 0x4c000004, vhost_restore, MV_BLOCKED
	.quad 0, 0, 0, 0

	.section .note.GNU-stack, "", @progbits
