/*
 * Signals that come while calls copy from and to memory that is touched for the first time, of which
 * whatever makes the calls for the program may not know yet that it is there: each call does what it
 * is to do, and the program has its registers behind it and behind each handler.
 */
#include "check.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

enum { ROUNDS = 60, WINDOW = 2 << 20 };

static volatile sig_atomic_t handled;
static int zero, pipes[2];

static void handler(int sig)
{
	(void)sig;
	handled++;
}

/* A call with all registers that it leaves alone set, of which none may change. */
static long call(long nr, long a, const void *b, long c)
{
	long ret;
	register long r12 __asm__("r12") = 12, r13 __asm__("r13") = 13, r14 __asm__("r14") = 14, r15 __asm__("r15") = 15;
	register long r8 __asm__("r8") = 8, r9 __asm__("r9") = 9, r10 __asm__("r10") = 10;

	__asm__ volatile("syscall"
			 : "=a"(ret), "+r"(r8), "+r"(r9), "+r"(r10), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	CHECK(r8 == 8 && r9 == 9 && r10 == 10 && r12 == 12 && r13 == 13 && r14 == 14 && r15 == 15);
	return ret;
}

static void round_of(int i)
{
	char *p = mmap(NULL, 2 * WINDOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at, got[64];

	CHECK(p != MAP_FAILED);
	/* Across the end of what is found at once. */
	at = (char *)(((unsigned long)p + WINDOW) & -(unsigned long)WINDOW);
	CHECK(call(0, zero, at - 32, 64) == 64);
	CHECK(at[-32] == 0 && at[31] == 0);
	CHECK(munmap(p, 2 * WINDOW) == 0);
	p = mmap(NULL, 2 * WINDOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	at = (char *)(((unsigned long)p + WINDOW) & -(unsigned long)WINDOW);
	memset(got, 1, sizeof got);
	CHECK(call(1, pipes[1], at - 32, 64) == 64);
	CHECK(call(0, pipes[0], got, 64) == 64);
	CHECK(got[0] == 0 && got[63] == 0);
	at[4096] = (char)i;
	CHECK(munmap(p, 2 * WINDOW) == 0);
	/* What is not there is not there for calls either. */
	CHECK(call(0, zero, p, 64) == -EFAULT);
	CHECK(call(1, pipes[1], p, 64) == -EFAULT);
}

int main(int argc, char **argv)
{
	struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};

	begin_in(argc, argv);
	zero = open("/dev/zero", O_RDONLY);
	CHECK(zero >= 0 && pipe(pipes) == 0);
	CHECK(sigaction(SIGALRM, &a, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++)
		round_of(i);
	ok("without signals");
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++)
		round_of(i);
	while (!handled)
		CHECK(getppid() > 0);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	ok("with signals");
	return 0;
}
