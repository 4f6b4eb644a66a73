/* An alternate signal stack: where handlers run, and a stack overflow survived. */
#include "check.h"
#include <setjmp.h>

enum { SIZE = 128 << 10 };

static char *stack;
static volatile int on_it, flags_inside;
static sigjmp_buf back;

static int inside(const void *p)
{
	return (const char *)p >= stack && (const char *)p < stack + SIZE;
}

static void handler(int sig)
{
	char local;
	stack_t ss;
	UNUSED(sig);
	on_it = inside(&local);
	CHECK(sigaltstack(NULL, &ss) == 0);
	flags_inside = ss.ss_flags;
	if (on_it)
		CHECK_ERR(syscall(SYS_sigaltstack, &ss, NULL), EPERM);
}

static void overflowed(int sig, siginfo_t *si, void *ctx)
{
	char local;
	UNUSED(ctx);
	on_it = inside(&local) && !inside(si->si_addr);
	siglongjmp(back, sig);
}

#pragma GCC diagnostic push
#if __GNUC__ >= 12
#pragma GCC diagnostic ignored "-Winfinite-recursion"
#endif
static int __attribute__((noinline)) overflow(volatile char *above)
{
	volatile char frame[8192];
	frame[0] = above ? above[0] : 0;
	return overflow(frame) + frame[1];
}
#pragma GCC diagnostic pop

int main(void)
{
	begin();
	stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(stack != MAP_FAILED);
	stack_t ss = {.ss_sp = stack, .ss_size = SIZE}, old;
	CHECK(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
	CHECK(sigaltstack(&ss, NULL) == 0);
	CHECK(sigaltstack(NULL, &old) == 0 && old.ss_sp == stack && old.ss_size == SIZE && old.ss_flags == 0);
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(raise(SIGUSR1) == 0 && on_it && flags_inside == SS_ONSTACK);
	sa.sa_flags = 0;
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(raise(SIGUSR1) == 0 && !on_it && flags_inside == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(sigaltstack(NULL, &old) == 0 && old.ss_sp == stack ? 0 : 1);
	reap_exit(child, 0);
	ok("where handlers run");

	struct sigaction seg = {.sa_sigaction = overflowed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	CHECK(sigaction(SIGSEGV, &seg, NULL) == 0);
	for (volatile int i = 0; i < 3; i++) {
		on_it = 0;
		if (sigsetjmp(back, 1) == 0) {
			overflow(NULL);
			CHECK(!"no overflow");
		}
		CHECK(on_it);
	}
	ok("stack overflow");

	ss.ss_size = 10;
	CHECK_ERR(syscall(SYS_sigaltstack, &ss, NULL), ENOMEM);
	ss = (stack_t){.ss_sp = stack, .ss_size = SIZE, .ss_flags = 0x7777};
	CHECK_ERR(syscall(SYS_sigaltstack, &ss, NULL), EINVAL);
	ss = (stack_t){.ss_flags = SS_DISABLE};
	CHECK(sigaltstack(&ss, NULL) == 0 && sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
	ok("errors, switched off");
	return 0;
}
