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

	.globl vhost_compare, vhost_compare_first, vhost_compare_last, vhost_compare_out
vhost_compare:
	mov %rdx, %rax
vhost_compare_first:
1:	cmp $8, %rax
	jb 2f
	mov (%rdi), %rcx
	cmp (%rsi), %rcx
	jne vhost_compare_out
	add $8, %rdi
	add $8, %rsi
	sub $8, %rax
	jmp 1b
2:	test %rax, %rax
	jz vhost_compare_out
	mov (%rdi), %cl
	cmp (%rsi), %cl
	jne vhost_compare_out
	inc %rdi
	inc %rsi
	dec %rax
	jmp 2b
vhost_compare_last:
vhost_compare_out:
	ret

	.section .note.GNU-stack, "", @progbits
