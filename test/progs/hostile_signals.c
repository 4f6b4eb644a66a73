/*
 * Signal frames, stacks and actions that are garbage.
 */
#include "hostile.h"

static volatile int depth;

static void again(int n)
{
	if (++depth < 200)
		raise(n);
}

static void forever(int n)
{
	depth++;
	raise(n);
}

static int recursion(void)
{
	struct sigaction a = {.sa_handler = again, .sa_flags = SA_NODEFER};
	CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
	raise(SIGUSR1);
	CHECK(depth == 200);
	return 0;
}

static int until_it_bursts(void)
{
	struct sigaction a = {.sa_handler = forever, .sa_flags = SA_NODEFER};
	CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
	char *stack = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	raw_at((unsigned long)stack + 16 * PAGE - 256, SYS_kill, getpid(), SIGUSR1, 0, 0);
	return 1;
}

static void fault(int n)
{
	UNUSED(n);
	*(volatile char *)bad_address = 1;
}

static int faults_in_handler(int flags)
{
	struct sigaction a = {.sa_handler = fault, .sa_flags = flags};
	CHECK(sigaction(SIGSEGV, &a, NULL) == 0);
	*(volatile char *)bad_address = 1;
	return 1;
}

static int garbage_stack(unsigned long sp, size_t size)
{
	stack_t st = {.ss_sp = (void *)sp, .ss_size = size};
	struct sigaction a = {.sa_handler = again, .sa_flags = SA_ONSTACK};
	if (sigaltstack(&st, NULL) == -1)
		return errno;
	CHECK(sigaction(SIGUSR2, &a, NULL) == 0);
	raise(SIGUSR2);
	return 0;
}

static int garbage_actions(void)
{
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		printf("%d:", i);
		printf(" %ld", raw6(SYS_rt_sigaction, SIGUSR1, (long)bad_pointers[i], 0, 8, 0, 0));
		printf(" %ld", raw6(SYS_rt_sigaction, SIGUSR1, 0, (long)bad_pointers[i], 8, 0, 0));
		printf(" %ld", raw6(SYS_rt_sigaction, SIGUSR1, 0, 0, (long)bad_pointers[i], 0, 0));
		printf(" %ld", raw6(SYS_rt_sigaction, (long)bad_pointers[i], 0, 0, 8, 0, 0));
		printf(" %ld", raw6(SYS_rt_sigprocmask, SIG_BLOCK, (long)bad_pointers[i], 0, 8, 0, 0));
		printf(" %ld", raw6(SYS_rt_sigprocmask, (long)bad_pointers[i], 0, (long)bad_pointers[i], 8, 0, 0));
		printf(" %ld", raw3(SYS_sigaltstack, bad_pointers[i], 0, 0));
		printf(" %ld", raw3(SYS_rt_sigpending, bad_pointers[i], 8, 0));
		if (bad_pointers[i] != 0)
			printf(" %ld", raw6(SYS_rt_sigtimedwait, (long)bad_pointers[i], 0, 0, 8, 0, 0));
		printf("\n");
	}
	return 0;
}

/* The handler's address is garbage: it is called all the same. */
static int garbage_handler(unsigned long at, unsigned long restorer, int sig)
{
	struct { unsigned long handler, flags, restorer, mask; } act = {at, 0x04000000, restorer, ~0UL};
	CHECK(raw6(SYS_rt_sigaction, sig, (long)&act, 0, 8, 0, 0) == 0);
	raise(sig);
	return 1;
}

static int no_restorer(void)
{
	struct { unsigned long handler, flags, restorer, mask; } act = {(unsigned long)again, 0, 0, 0};
	CHECK(raw6(SYS_rt_sigaction, SIGUSR1, (long)&act, 0, 8, 0, 0) == 0);
	raise(SIGUSR1);
	return 1;
}

static void damage(int n, siginfo_t *si, void *u)
{
	UNUSED(si);
	ucontext_t *c = u;
	if (n == SIGUSR1)
		memset(&c->uc_mcontext.gregs, 0, sizeof c->uc_mcontext.gregs);
	if (n == SIGUSR2)
		c->uc_mcontext.fpregs = bad_address;
	if (n == SIGHUP)
		c->uc_mcontext.gregs[REG_RIP] = (greg_t)0x8000000000000000;
	if (n == SIGINT)
		c->uc_mcontext.gregs[REG_EFL] = -1;
	if (n == SIGALRM)
		c->uc_mcontext.gregs[REG_CSGSFS] = -1;
	if (n == SIGTERM)
		memset(c, 0xff, sizeof *c);
}

static int damaged(int sig)
{
	struct sigaction a = {.sa_sigaction = damage, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(sig, &a, NULL) == 0);
	raise(sig);
	return 1;
}

/* A frame of zeros: the kernel goes on at address 0. */
static int returns(int fill)
{
	static char frame[4096] __attribute__((aligned(64)));
	memset(frame, fill, sizeof frame);
	raw_at((unsigned long)frame + 1024, SYS_rt_sigreturn, 0, 0, 0, 0);
	return 1;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHILD("recursion", recursion());
	CHILD("until it bursts", until_it_bursts());
	CHILD("fault in handler", faults_in_handler(0));
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		CHILD("garbage stack", garbage_stack(bad_pointers[i], 65536));
		CHILD("huge garbage stack", garbage_stack(bad_pointers[i], ~0UL - 1));
		CHILD("no stack", garbage_stack(bad_pointers[i], 1));
		CHILD("garbage handler", garbage_handler(bad_pointers[i] | 2, 0, SIGUSR1));
		CHILD("garbage handler of faults", garbage_handler(bad_pointers[i] | 2, 0, SIGSEGV));
		CHILD("garbage restorer", garbage_handler((unsigned long)again, bad_pointers[i], SIGUSR1));
	}
	CHILD("garbage actions", garbage_actions());
	CHILD("no restorer", no_restorer());
	static const int sigs[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGINT, SIGALRM, SIGTERM};
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
		CHILD("damaged frame", damaged(sigs[i]));
	CHILD("return from nothing", returns(0));
	CHILD("return from noise", returns(0xa5));
	CHILD("return from main", (raw3(SYS_rt_sigreturn, 0, 0, 0), 1));
	return sting();
}
