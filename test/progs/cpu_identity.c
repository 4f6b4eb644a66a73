/* CPUID answers the same in all variants, wherever they run, and all that does not tell one
 * processor from another as natively: in threads, children and executed programs, beside signals,
 * and where the program has a handler of its own for what its instruction may have become.
 * "look" prints what that is, in the program and in its dynamic loader. */
#include "check.h"

#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* What is written here natively depends on the processor; variants have to agree. */
static int nowhere;

struct answer {
	uint32_t a, b, c, d;
};

/* One place, which the program finds. */
static __attribute__((noinline)) struct answer ask(uint32_t leaf, uint32_t subleaf)
{
	struct answer r;

	__asm__ volatile("mov %4, %%eax\n\tmov %5, %%ecx\n\tcpuid\n\tmov %%eax, %0"
			 : "=&r"(r.a), "=&b"(r.b), "=&c"(r.c), "=&d"(r.d)
			 : "r"(leaf), "r"(subleaf)
			 : "rax", "memory");
	return r;
}

static void tell(uint32_t leaf, uint32_t subleaf)
{
	struct answer r = ask(leaf, subleaf);

	write_all(nowhere, &r, sizeof(r));
}

static void all_leaves(void)
{
	static const uint32_t first[] = {0, 0x40000000, 0x80000000, 0xc0000000};
	/* What no processor has. */
	static const uint32_t none[][2] = {
		{0xffffffff, 0xffffffff}, {0x12345678, 0}, {0xb, 0xffffffff}, {0x1f, 0x80000000}, {1, 0xffffffff},
	};
	struct answer all[4 * 0x28 * 3 + 5];
	uint32_t i, leaf, subleaf;
	size_t n = 0;

	for (i = 0; i < 4; i++)
		for (leaf = 0; leaf < 0x28; leaf++)
			for (subleaf = 0; subleaf < 3; subleaf++)
				all[n++] = ask(first[i] + leaf, subleaf);
	for (i = 0; i < 5; i++)
		all[n++] = ask(none[i][0], none[i][1]);
	write_all(nowhere, all, sizeof(all));
}

/* Moves the caller to the n-th of its processors, if it may, and back to all of them. */
static void elsewhere(unsigned n)
{
	cpu_set_t all, one;
	unsigned i;

	if (sched_getaffinity(0, sizeof(all), &all) || !CPU_COUNT(&all))
		return;
	n %= CPU_COUNT(&all);
	for (i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all) && !n--) {
			CPU_ZERO(&one);
			CPU_SET(i, &one);
			(void)sched_setaffinity(0, sizeof(one), &one);
			sched_yield();
			(void)sched_setaffinity(0, sizeof(all), &all);
			return;
		}
}

static void sensible(void)
{
	struct answer r = ask(0, 0);
	uint32_t low, high, most;

	most = r.a;
	CHECK(most >= 1 && r.b);
	r = ask(1, 0);
	/* SSE2, and that programs may save their registers by XSAVE: XGETBV has to work then. */
	CHECK(r.d & 1 << 26);
	if (r.c & 1 << 27) {
		__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
		CHECK((low & 3) == 3);
		r = ask(0xd, 0);
		CHECK((r.a & 3) == 3 && (r.a & low) == low && r.b >= 576 && r.b <= r.c);
		CHECK(!(low & 4) || r.b >= 832);
	}
	r = ask(0x80000000, 0);
	CHECK(r.a >= 0x80000001);
	r = ask(0x80000001, 0);
	CHECK(r.d & 1 << 29);
}

/* The other registers and the flags stay. */
static void clean(void)
{
	uint64_t before, after, rsi, rax;

	__asm__ volatile("stc\n\tmov $0x5a5a, %%esi\n\tpushf\n\tpop %0\n\tmov $-1, %%rax\n\tmov $0, %%eax\n\tcpuid\n\t"
			 "mov %%rax, %3\n\tpushf\n\tpop %1\n\tmov %%rsi, %2"
			 : "=&r"(before), "=&r"(after), "=&r"(rsi), "=&r"(rax)
			 :
			 : "rax", "rbx", "rcx", "rdx", "rsi", "cc", "memory");
	CHECK(before == after && rsi == 0x5a5a && rax >> 32 == 0);
}

static void *in_thread(void *arg)
{
	unsigned i;

	for (i = 0; i < 4; i++) {
		elsewhere(i);
		all_leaves();
	}
	return arg;
}

static sigjmp_buf back;
static volatile sig_atomic_t raised, ticks;

static void on_ill(int sig, siginfo_t *info, void *context)
{
	UNUSED(context);
	CHECK(sig == SIGILL && info->si_code > 0);
	raised++;
	siglongjmp(back, 1);
}

static void on_tick(int sig)
{
	UNUSED(sig);
	ticks++;
	tell(1, 0);
}

static void invalid(void)
{
	if (!sigsetjmp(back, 1))
		__asm__ volatile("ud2");
}

static void refused(void)
{
	if (!sigsetjmp(back, 1))
		(void)ask(0, 0);
}

/* A program reads of its own code what it wrote there. */
static void own_code(void)
{
	unsigned char text[512];
	int pipes[2];
	size_t i, n = 0;

	CHECK(!pipe(pipes));
	CHECK(write(pipes[1], (const void *)(uintptr_t)ask, sizeof(text)) == sizeof(text));
	CHECK(read(pipes[0], text, sizeof(text)) == sizeof(text));
	for (i = 0; i + 1 < sizeof(text); i++)
		n += text[i] == 0x0f && (text[i + 1] == 0xa2 || text[i + 1] == 0x0b);
	CHECK(n > 0);
	CHECK(!close(pipes[0]) && !close(pipes[1]));
}

/* Code that the program may write to is its own again, also to put an invalid instruction there. */
static void writable(void)
{
	unsigned char *page = (unsigned char *)((uintptr_t)ask & -(uintptr_t)4096);
	unsigned char *at = (unsigned char *)(uintptr_t)ask;
	struct sigaction act = {.sa_sigaction = on_ill, .sa_flags = SA_SIGINFO};
	int before = raised;

	while (at[0] != 0x0f || (at[1] != 0xa2 && at[1] != 0x0b))
		at++;
	CHECK(!sigaction(SIGILL, &act, NULL));
	if (mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC))
		return;
	CHECK(at[1] == 0xa2);
	CHECK(ask(0, 0).b);
	at[1] = 0x0b;
	refused();
	CHECK(raised == before + 1);
	at[1] = 0xa2;
	CHECK(!mprotect(page, 8192, PROT_READ | PROT_EXEC));
	CHECK(ask(0, 0).b);
}

static const char *own(void)
{
	const unsigned char *at = (const unsigned char *)(uintptr_t)ask;

	while (at[0] != 0x0f || (at[1] != 0xa2 && at[1] != 0x0b))
		at++;
	return at[1] == 0xa2 ? "cpuid" : "ud2";
}

/* Code that the kernel is told to forget what was written to is the file's. */
static void dropped(void)
{
	unsigned char *page = (unsigned char *)((uintptr_t)ask & -(uintptr_t)4096);

	CHECK(ask(0, 0).b);
	CHECK(!madvise(page, 8192, MADV_DONTNEED));
	CHECK(!strcmp(own(), "cpuid"));
	CHECK(ask(0, 0).b);
}

/* Loaders of glibc have dozens of CPUID, and few of invalid instructions. */
static const char *loader(void)
{
	const unsigned char *base = (const unsigned char *)getauxval(AT_BASE);
	const ElfW(Ehdr) *head = (const void *)base;
	const ElfW(Phdr) *part;
	size_t i, k, there = 0;

	if (!base)
		return "none";
	part = (const void *)(base + head->e_phoff);
	for (i = 0; i < head->e_phnum; i++) {
		const unsigned char *text = base + part[i].p_vaddr;

		if (part[i].p_type != PT_LOAD || !(part[i].p_flags & PF_X))
			continue;
		for (k = 0; k + 1 < part[i].p_filesz; k++)
			there += text[k] == 0x0f && text[k + 1] == 0xa2;
	}
	return there > 10 ? "cpuid" : "ud2";
}

int main(int argc, char **argv)
{
	struct sigaction ill = {.sa_sigaction = on_ill, .sa_flags = SA_SIGINFO};
	struct sigaction tick = {.sa_handler = on_tick};
	pthread_t threads[3];
	sigset_t set, old;
	pid_t child;
	unsigned i;

	begin();
	if (argc > 1 && !strcmp(argv[1], "look")) {
		printf("%s %s\n", own(), loader());
		return 0;
	}
	nowhere = open("/dev/null", O_WRONLY);
	CHECK(nowhere >= 0);
	all_leaves();
	sensible();
	clean();
	if (argc > 1 && !strcmp(argv[1], "executed")) {
		ok("executed");
		dropped();
		ok("dropped");
		writable();
		ok("writable");
		return 0;
	}
	ok("all leaves");
	for (i = 0; i < 20; i++) {
		elsewhere(i);
		tell(1, 0);
		tell(0xb, 0);
		tell(0x1f, 0);
		tell(0x8000001e, 0);
	}
	ok("elsewhere");
	CHECK(!sigaction(SIGILL, &ill, NULL));
	invalid();
	CHECK(raised == 1);
	all_leaves();
	CHECK(raised == 1);
	/* Neither is its mask of any matter, nor is the signal ignored. */
	CHECK(!sigfillset(&set) && !sigprocmask(SIG_BLOCK, &set, &old));
	tell(0, 0);
	CHECK(!sigprocmask(SIG_SETMASK, NULL, &set) && sigismember(&set, SIGILL));
	CHECK(!sigprocmask(SIG_SETMASK, &old, NULL));
	invalid();
	CHECK(raised == 2);
	CHECK(signal(SIGILL, SIG_IGN) != SIG_ERR);
	tell(0, 0);
	CHECK(signal(SIGILL, SIG_DFL) == SIG_IGN);
	ok("beside invalid instructions");
	CHECK(!sigaction(SIGALRM, &tick, NULL));
	for (i = 0; i < 20; i++) {
		CHECK(!raise(SIGALRM));
		tell(1, 0);
	}
	CHECK(ticks == 20);
	ok("in a handler");
	own_code();
	ok("its own code");
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		elsewhere(1);
		all_leaves();
		_exit(7);
	}
	all_leaves();
	reap_exit(child, 7);
	ok("in a child");
	for (i = 0; i < 3; i++)
		CHECK(!pthread_create(&threads[i], NULL, in_thread, NULL));
	all_leaves();
	for (i = 0; i < 3; i++)
		CHECK(!pthread_join(threads[i], NULL));
	ok("in threads");
	fflush(stdout);
	execl(argv[0], argv[0], "executed", NULL);
	return 1;
}
