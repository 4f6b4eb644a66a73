/*
 * hostile.h: what the hostile programs share.
 *
 * A hostile program misuses the system in one way after the other, mostly in
 * children, and prints how each ended. It ends with the sting: the one byte in
 * which a build with -DMUT=1 differs, so that a test sees whether a difference
 * is still caught after everything that came before.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "check.h"
#include <ucontext.h>

#ifndef MUT
#define MUT 0
#endif

static const volatile char stinger = MUT ? 'S' : 's';

static inline int sting(void)
{
	char text[] = "sting\n";
	fflush(stdout);
	text[0] = stinger;
	CHECK(write(1, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
	return 0;
}

/* A call without the C library: returns what the kernel says. */
static inline long raw6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret = nr;
	__asm__ volatile("syscall"
			 : "+a"(ret)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define raw3(nr, a, b, c) raw6((nr), (long)(a), (long)(b), (long)(c), 0, 0, 0)

/* A call while the stack pointer is sp. */
static inline long raw_at(unsigned long sp, long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	register unsigned long r9 __asm__("r9") = sp;
	long ret = nr;
	__asm__ volatile("mov %%rsp, %%rbx\n\tmov %%r9, %%rsp\n\txor %%r9d, %%r9d\n\tsyscall\n\tmov %%rbx, %%rsp"
			 : "+a"(ret), "+r"(r9)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rbx", "rcx", "r11", "memory");
	return ret;
}

/* Prints how a child ended; signals by number. */
static inline void show_end(const char *what, pid_t pid)
{
	CHECK(pid > 0);
	int status = reap(pid);
	if (WIFSIGNALED(status))
		printf("%s: signal %d\n", what, WTERMSIG(status));
	else
		printf("%s: status %d\n", what, WEXITSTATUS(status));
}

/* Runs what in a child, which ends with the value of the expression. */
#define CHILD(label, expression)                       \
	do {                                           \
		fflush(stdout);                        \
		pid_t child_pid = fork();              \
		if (child_pid == 0)                    \
			_exit((int)(expression) & 255); \
		show_end((label), child_pid);          \
	} while (0)

/* Runs what in a child; how it ends is not the same under a monitor. */
#define CHILD_ANY(expression)                          \
	do {                                           \
		fflush(stdout);                        \
		pid_t child_pid = fork();              \
		CHECK(child_pid >= 0);                 \
		if (child_pid == 0)                    \
			_exit((int)(expression) & 255); \
		reap(child_pid);                       \
	} while (0)

#define BAD_POINTER_COUNT 8
static const unsigned long bad_pointers[BAD_POINTER_COUNT] __attribute__((unused)) = {
	0, 8, 0x7000000000, 0x7ffffffff000, 0x800000000000,
	0xffff800000000000, 0xffffffffff600000, 0xfffffffffffffff8,
};

#endif
