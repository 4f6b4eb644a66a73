/* Handlers that do not return the usual way: jumps, other contexts, changed frames. */
#include "check.h"
#include <setjmp.h>
#ifdef __GLIBC__
#include <ucontext.h>
#endif

enum { SIZE = 64 << 10 };

static sigjmp_buf back;
static volatile sig_atomic_t hits, mode;
static volatile long carried;

static int blocked(int sig)
{
	sigset_t s;
	CHECK(sigprocmask(SIG_BLOCK, NULL, &s) == 0);
	return sigismember(&s, sig);
}

static void jumps(int sig)
{
	CHECK(blocked(sig));
	siglongjmp(back, ++hits);
}

/* The instruction that faults, and where a handler may lead in its place. */
__attribute__((noinline)) static long loads(const volatile long *p)
{
	long v;
	__asm__ volatile("mov (%1), %0" : "=a"(v) : "D"(p) : "memory");
	return v;
}

static volatile long good = 4711;

static void edits(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(si);
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	hits++;
	switch (mode) {
	case 0: /* Over the instruction, with another result. */
		g[REG_RAX] = 99;
		g[REG_RIP] += 3;
		break;
	case 1: /* Again, with a good address. */
		g[REG_RDI] = (greg_t)(uintptr_t)&good;
		break;
	case 2: /* The mask, and the result of the call behind which it runs. */
		sigaddset(&((ucontext_t *)ctx)->uc_sigmask, SIGUSR2);
		g[REG_RAX] = carried;
		break;
	case 3: /* What cannot be blocked is not. */
		memset(&((ucontext_t *)ctx)->uc_sigmask, 0xff, 8);
		break;
	case 4: /* Flags that are the program's, and some that are not. */
		g[REG_EFL] |= 0x400 | 0x3000 | 0x20000;
		break;
	case 5: /* Where nothing is. */
		g[REG_RIP] = 8;
		break;
	}
	UNUSED(sig);
}

static void gone(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(sig);
	UNUSED(ctx);
	CHECK(si->si_addr == bad_address && si->si_code == SEGV_MAPERR);
	siglongjmp(back, 5);
}

static void handle(int sig, void (*f)(int, siginfo_t *, void *))
{
	struct sigaction sa = {.sa_sigaction = f, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(sig, &sa, NULL) == 0);
	hits = 0;
}

static long raw(long nr, long a, long b)
{
	long ret;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return ret;
}

#ifdef __GLIBC__
static ucontext_t first, second, third;
static int steps[8], at;

static void swaps(int sig)
{
	steps[at++] = sig == SIGUSR1 ? 1 : 2;
	CHECK(swapcontext(&second, &first) == 0);
	steps[at++] = 4;
}

static void body(void)
{
	raise(SIGUSR1);
	steps[at++] = 5;
}

static void contexts(void)
{
	static char stack[SIZE];
	CHECK(signal(SIGUSR1, swaps) != SIG_ERR && getcontext(&third) == 0);
	third.uc_stack.ss_sp = stack;
	third.uc_stack.ss_size = SIZE;
	third.uc_link = &first;
	makecontext(&third, body, 0);
	/* Out of the handler, and back into it. */
	CHECK(swapcontext(&first, &third) == 0);
	steps[at++] = 3;
	CHECK(swapcontext(&first, &second) == 0);
	steps[at++] = 6;
	const int want[] = {1, 3, 4, 5, 6};
	CHECK(at == 5 && memcmp(steps, want, sizeof want) == 0 && !blocked(SIGUSR1));
}
#else
static void contexts(void) {}
#endif

int main(void)
{
	begin();
	CHECK(signal(SIGUSR1, jumps) == SIG_DFL);
	for (volatile int i = 1; i <= 3; i++) {
		int got = sigsetjmp(back, 1);
		if (got == 0) {
			raise(SIGUSR1);
			CHECK(!"no jump");
		}
		CHECK(got == i && !blocked(SIGUSR1));
	}
	/* Without the mask the signal stays blocked. */
	if (sigsetjmp(back, 0) == 0)
		raise(SIGUSR1);
	CHECK(blocked(SIGUSR1));
	sigset_t none;
	sigemptyset(&none);
	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
	/* Out of a call that sleeps. */
	if (sigsetjmp(back, 1) == 0) {
		CHECK(signal(SIGALRM, jumps) == SIG_DFL);
		alarm(1);
		for (;;)
			pause();
	}
	CHECK(!blocked(SIGALRM));
	ok("siglongjmp");

	contexts();
	ok("swapcontext");

	handle(SIGSEGV, edits);
	mode = 0;
	CHECK(loads(bad_address) == 99 && hits == 1);
	mode = 1;
	CHECK(loads(bad_address) == 4711 && hits == 2);
	ok("over an instruction, again");

	handle(SIGUSR1, edits);
	mode = 2;
	carried = -123456;
	CHECK(raw(SYS_kill, getpid(), SIGUSR1) == -123456 && blocked(SIGUSR2) && !blocked(SIGUSR1));
	mode = 3;
	CHECK(raise(SIGUSR1) == 0 && blocked(SIGTERM) && blocked(SIGUSR1) && !blocked(SIGKILL) && !blocked(SIGSTOP));
	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
	mode = 4;
	unsigned long flags;
	raw(SYS_kill, getpid(), SIGUSR1);
	__asm__ volatile("pushf; pop %0; cld" : "=r"(flags));
	printf("flags %lx\n", flags & 0x23400);
	ok("result, mask, flags");

	mode = 5;
	handle(SIGSEGV, gone);
	if (sigsetjmp(back, 1) == 0) {
		raise(SIGUSR1);
		CHECK(!"went on");
	}
	ok("to nowhere");
	return 0;
}
