/* native.h: what the programs share that show how this machine's kernel does it. */
#ifndef NATIVE_H
#define NATIVE_H

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* A line "name hex". */
static inline void put(const char *name, const void *p, size_t n)
{
	const unsigned char *b = p;
	printf("%s ", name);
	for (size_t i = 0; i < n; i++)
		printf("%02x", b[i]);
	putchar('\n');
}

static inline void put64(const char *name, uint64_t v) { put(name, &v, sizeof v); }

static inline void fail(const char *what)
{
	printf("fail %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

/* The size of the floating point state in a frame, with its closing mark. */
static inline uint32_t float_size(const void *area)
{
	uint32_t size;
	memcpy(&size, (const char *)area + 464 + 4, sizeof size);
	return size;
}

/* What a handler can see of a signal that ends the program. */
static inline void put_signal(const siginfo_t *info, const ucontext_t *uc)
{
	put("signal.info", info, sizeof *info);
	put("signal.machine", &uc->uc_mcontext, 256);
	put("signal.mask", &uc->uc_sigmask, 8);
	put("signal.float", uc->uc_mcontext.fpregs, float_size(uc->uc_mcontext.fpregs));
}

struct kernel_action {
	uint64_t handler, flags, restorer, mask;
};

static inline long set_action(int sig, const struct kernel_action *new, struct kernel_action *old)
{
	return syscall(SYS_rt_sigaction, sig, new, old, 8);
}

void restorer(void);
__asm__(".globl restorer\nrestorer:\n\tmov $15, %eax\n\tsyscall\n");

#endif
