/*
 * Synchronous faults with handlers: the place of the fault, leaving by a jump,
 * repairing and returning; and death where there is no handler.
 */
#include "check.h"
#include <setjmp.h>
#include <sys/resource.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile int last_code;
static char *volatile last_addr;
static char *volatile repair_page;
static volatile int skip_bytes, count;

static void jumps(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(ctx);
	last_code = si->si_code;
	last_addr = si->si_addr;
	siglongjmp(back, sig);
}

static void repairs(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(sig);
	UNUSED(ctx);
	count++;
	last_addr = si->si_addr;
	CHECK(mprotect(repair_page, PAGE, PROT_READ | PROT_WRITE) == 0);
}

static void skips(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	UNUSED(sig);
	count++;
	last_code = si->si_code;
	last_addr = si->si_addr;
	CHECK(sig == SIGTRAP || (char *)uc->uc_mcontext.gregs[REG_RIP] == last_addr);
	uc->uc_mcontext.gregs[REG_RIP] += skip_bytes;
}

static void on(int sig, void (*f)(int, siginfo_t *, void *))
{
	struct sigaction sa = {.sa_sigaction = f, .sa_flags = SA_SIGINFO};
	sigemptyset(&sa.sa_mask);
	CHECK(sigaction(sig, &sa, NULL) == 0);
}

#define CAUGHT(want, stmt)                         \
	do {                                       \
		int caught_ = sigsetjmp(back, 1);  \
		if (caught_ == 0) {                \
			stmt;                      \
			CHECK(!"no fault");        \
		}                                  \
		CHECK(caught_ == (want));          \
	} while (0)

/* Runs f in a child that must die by sig. */
static void dies(int sig, void (*f)(void))
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		struct rlimit none = {0, 0};
		CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
		f();
		_exit(0);
	}
	reap_signal(child, sig);
}

static void null_write(void)
{
	signal(SIGSEGV, SIG_DFL);
	*(volatile char *)bad_address = 1;
}

static void ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	*(volatile char *)bad_address = 1;
}

static void blocked(void)
{
	sigset_t s;
	sigfillset(&s);
	sigprocmask(SIG_SETMASK, &s, NULL);
	*(volatile char *)bad_address = 1;
}

static void in_handler(int sig)
{
	UNUSED(sig);
	*(volatile char *)bad_address = 1;
}

static void nested(void)
{
	signal(SIGSEGV, in_handler);
	*(volatile char *)bad_address = 1;
}

static void illegal(void)
{
	signal(SIGILL, SIG_DFL);
	__asm__ volatile("ud2");
}

static void divides(void)
{
	volatile int zero = 0;
	signal(SIGFPE, SIG_DFL);
	zero = 7 / zero;
}

static void traps(void)
{
	signal(SIGTRAP, SIG_DFL);
	__asm__ volatile("int3");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char *volatile p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(mprotect(p + PAGE, PAGE, PROT_READ) == 0 && munmap(p + 2 * PAGE, PAGE) == 0);
	on(SIGSEGV, jumps);
	CAUGHT(SIGSEGV, p[PAGE + 5] = 1);
	printf("write to read-only: at %td, code %d\n", last_addr - p, last_code);
	CAUGHT(SIGSEGV, (void)*(volatile char *)(p + 2 * PAGE + 77));
	printf("read of unmapped: at %td, code %d\n", last_addr - p, last_code);
	CAUGHT(SIGSEGV, *(volatile char *)bad_address = 1);
	CHECK(last_addr == bad_address);
	CAUGHT(SIGSEGV, *(volatile char *)(0x8000000000000000u) = 1);
	printf("non-canonical: at %p, code %d\n", last_addr ? (void *)1 : (void *)0, last_code);
	for (volatile int i = 0; i < 50; i++) {
		CAUGHT(SIGSEGV, p[PAGE + i] = 1);
		CHECK(last_addr == p + PAGE + i);
	}
	ok("SIGSEGV, left by a jump");

	repair_page = p + PAGE;
	on(SIGSEGV, repairs);
	count = 0;
	p[PAGE + 9] = 42;
	CHECK(count == 1 && last_addr == p + PAGE + 9 && p[PAGE + 9] == 42);
	ok("SIGSEGV, repaired");

	on(SIGFPE, jumps);
	volatile int zero = 0, sink = 0;
	CAUGHT(SIGFPE, sink = 7 / zero);
	printf("division: code %d\n", last_code);
	on(SIGFPE, skips);
	count = 0;
	/* divl %ecx is two bytes. */
	skip_bytes = 2;
	__asm__ volatile("xorl %%ecx, %%ecx\n\tmovl $1, %%eax\n\tcltd\n\tdivl %%ecx" ::: "rax", "rcx", "rdx", "cc");
	CHECK(count == 1);
	UNUSED(sink);
	ok("SIGFPE");

	on(SIGILL, skips);
	count = 0;
	__asm__ volatile("ud2\n\tud2" ::: "memory");
	CHECK(count == 2);
	printf("ud2: code %d\n", last_code);
	on(SIGILL, jumps);
	CAUGHT(SIGILL, __asm__ volatile("ud2"));
	ok("SIGILL");

	on(SIGTRAP, skips);
	count = 0;
	skip_bytes = 0;
	__asm__ volatile("int3\n\tint3" ::: "memory");
	CHECK(count == 2);
	printf("int3: code %d\n", last_code);
	ok("SIGTRAP");

	put_file("file", "x", 1, 0644);
	int fd = open("file", O_RDWR);
	CHECK(ftruncate(fd, 2 * (off_t)PAGE) == 0);
	char *volatile f = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(f != MAP_FAILED && f[0] == 'x' && f[PAGE] == 0);
	CHECK(ftruncate(fd, 1) == 0);
	on(SIGBUS, jumps);
	CAUGHT(SIGBUS, (void)*(volatile char *)(f + PAGE + 3));
	printf("truncated: at %td, code %d\n", last_addr - f, last_code);
	CHECK(f[0] == 'x' && f[1] == 0);
	ok("SIGBUS");

	dies(SIGSEGV, null_write);
	dies(SIGSEGV, ignored);
	dies(SIGSEGV, blocked);
	dies(SIGSEGV, nested);
	dies(SIGILL, illegal);
	dies(SIGFPE, divides);
	dies(SIGTRAP, traps);
	ok("death without a handler");
	return 0;
}
