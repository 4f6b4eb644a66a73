/* Copies of memory that may not be there: the handler of signals leads a fault in them to
 * where they return what is left. */
	.text
	.globl vhost_copy, vhost_copy_at, vhost_copy_out
vhost_copy:
	mov %rdx, %rcx
vhost_copy_at:
	rep movsb
vhost_copy_out:
	mov %rcx, %rax
	ret

/* What is compared is read at these four places. */
	.globl vhost_compare, vhost_compare_at, vhost_compare_out
vhost_compare:
	mov %rdx, %rax
1:	cmp $8, %rax
	jb 2f
3:	mov (%rdi), %rcx
4:	cmp (%rsi), %rcx
	jne vhost_compare_out
	add $8, %rdi
	add $8, %rsi
	sub $8, %rax
	jmp 1b
2:	test %rax, %rax
	jz vhost_compare_out
5:	mov (%rdi), %cl
6:	cmp (%rsi), %cl
	jne vhost_compare_out
	inc %rdi
	inc %rsi
	dec %rax
	jmp 2b
vhost_compare_out:
	ret

	.section .rodata
	.balign 8
vhost_compare_at:
	.quad 3b, 4b, 5b, 6b

	.section .note.GNU-stack, "", @progbits
