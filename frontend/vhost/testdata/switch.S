/* u32 on_block_stack(struct block *b, u32 (*f)(struct block *)) */
#include "zz_layout.h"

	.text
	.globl on_block_stack
on_block_stack:
	push %rbp
	mov %rsp, %rbp
	lea MV_BLOCK_SIZE(%rdi), %rsp
	call *%rsi
	mov %rbp, %rsp
	pop %rbp
	ret

	.section .note.GNU-stack, "", @progbits
