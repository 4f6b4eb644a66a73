// Code in place of the vDSO's, for programs that read clocks by themselves. It is put behind the
// vDSO's own, whose functions jump here. Its data are in a page that the task's process and the
// session have together from when the process may read clocks. The session sets it up when the task
// goes on, and looks at it when it has stopped (page.go has the layout):
//
//   mode      1 in the leader while its program may read clocks by itself
//   count     readings made, or taken
//   known     readings of the leader's that a follower has got
//   readings  each: clock, seconds, nanoseconds
//
// Nothing is pushed, so that a task stands in the frame of its caller wherever it stops. A task
// that stops between "follow" and "followed", or "ask" and "asked", goes on at the first of the two:
// what it stood at may have changed by then.

#define MODE     0(%r11)
#define COUNT    8(%r11)
#define KNOWN    16(%r11)
#define READINGS 32

#define MOST     128
#define TOLD     0x8f3    // the clocks that the kernel's vDSO tells (include/vdso/datapage.h)
#define LAST     11       // the highest of them
#define REALTIME 0
#define COARSE   5        // CLOCK_REALTIME_COARSE, which time(2) tells

#define NR_GETTIMEOFDAY  96
#define NR_TIME          201
#define NR_CLOCK_GETTIME 228
#define NR_CLOCK_GETRES  229
#define NR_GETCPU        309
#define ENOSYS           38

	.text
data:	.quad 0           // the address of the page, 0 for none
secret:	.quad 0           // what the leader's filter lets pass in the fourth argument

// r8 says for whom a clock is read: 0 clock_gettime, 1 gettimeofday, 2 time. rsi is where its
// answer goes, edi the clock. The answer is in rax and rdx.

stub_clock_gettime:
	xor %r8d, %r8d
	jmp read

stub_gettimeofday:
	test %rsi, %rsi
	jnz gettimeofday
	test %rdi, %rdi
	jz gettimeofday
	mov $1, %r8d
	mov %rdi, %rsi
	mov $REALTIME, %edi
	jmp read

stub_time:
	mov $2, %r8d
	mov %rdi, %rsi
	mov $COARSE, %edi

read:
	mov data(%rip), %r11
	cmp $LAST, %edi
	ja call
	mov $TOLD, %eax
	bt %edi, %eax
	jnc call
	// A place that cannot be written raises its signal here in all variants, as it does in the
	// kernel's vDSO, before anything has been read.
	test %rsi, %rsi
	jnz 1f
	cmp $2, %r8d
	je 2f
1:	orq $0, (%rsi)
	cmp $2, %r8d
	je 2f
	orq $0, 8(%rsi)
2:	test %r11, %r11
	jz call
	cmpq $1, MODE
	je lead

follow:
	mov COUNT, %rcx
	cmp KNOWN, %rcx
	jae call
	lea (%rcx,%rcx,2), %r10
	cmp %edi, READINGS(%r11,%r10,8)
	jne call
	mov READINGS+8(%r11,%r10,8), %rax
	mov READINGS+16(%r11,%r10,8), %rdx
	inc %rcx
	mov %rcx, COUNT
followed:

	cmp $1, %r8d
	je micro
	ja whole
	mov %rax, (%rsi)
	mov %rdx, 8(%rsi)
	xor %eax, %eax
	ret
micro:
	mov %rax, (%rsi)
	mov %rdx, %rax
	xor %edx, %edx
	mov $1000, %ecx
	div %rcx
	mov %rax, 8(%rsi)
	xor %eax, %eax
	ret
whole:
	test %rsi, %rsi
	jz 1f
	mov %rax, (%rsi)
1:	ret

lead:
	cmpq $MOST, COUNT
	jae call
	mov %rsi, %r9
ask:
	lea -24(%rsp), %rsi
	mov secret(%rip), %r10
	mov $NR_CLOCK_GETTIME, %eax
	syscall
	mov data(%rip), %r11
	test %rax, %rax
	jnz unread
	test %r11, %r11
	jz unread
	cmpq $1, MODE
	jne unread
	mov COUNT, %rcx
	cmp $MOST, %rcx
	jae unread
	lea (%rcx,%rcx,2), %r10
	mov %edi, %eax
	mov %rax, READINGS(%r11,%r10,8)
	mov -24(%rsp), %rax
	mov -16(%rsp), %rdx
	mov %rax, READINGS+8(%r11,%r10,8)
	mov %rdx, READINGS+16(%r11,%r10,8)
	inc %rcx
	mov %rcx, COUNT
asked:
	mov %r9, %rsi
	jmp followed
unread:
	mov %r9, %rsi

// The session answers, or the kernel when the session lets it. The fourth argument must not be the
// secret.
call:
	xor %r10d, %r10d
	cmp $1, %r8d
	je 1f
	ja 2f
	mov $NR_CLOCK_GETTIME, %eax
	syscall
	ret
1:	mov %rsi, %rdi
	xor %esi, %esi
gettimeofday:
	mov $NR_GETTIMEOFDAY, %eax
	syscall
	ret
2:	mov %rsi, %rdi
	mov $NR_TIME, %eax
	syscall
	ret

stub_clock_getres:
	mov $NR_CLOCK_GETRES, %eax
	syscall
	ret

stub_getcpu:
	mov $NR_GETCPU, %eax
	syscall
	ret

// It has none of the state that its caller wants to share with it. That makes the call then.
stub_getrandom:
	mov $-ENOSYS, %rax
	ret
	.section .note.GNU-stack, "", @progbits
