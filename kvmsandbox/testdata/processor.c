/*
 * What a program keeps in the processor, and how the processor's exceptions arrive.
 * Each function returns 0, or the line at which it is not as without a monitor.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096UL
#define CHECK(c) do { if (!(c)) { \
	fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #c, errno); exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1); } } while (0)

/* Everything but tiles and keys. */
#define MOST 0xe7

static unsigned mask __attribute__((used));
/* Where the parts of the state are in an XSAVE area. */
static struct {
	unsigned at, size;
} part[8];
static unsigned char want[8192] __attribute__((aligned(64), used));
static unsigned char got[8192] __attribute__((aligned(64), used));
static unsigned char other[8192] __attribute__((aligned(64)));

static void find_parts(void)
{
	unsigned a, b, c, d;

	CHECK(__get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE));
	__asm__ volatile("xgetbv" : "=a"(mask), "=d"(d) : "c"(0));
	mask &= MOST;
	for (int i = 2; i < 8; i++)
		if (mask >> i & 1) {
			__cpuid_count(0xd, i, a, b, c, d);
			part[i].at = b;
			part[i].size = a;
		}
}

/* Values that differ in every register, and from one pattern to another. */
static void fill(unsigned char *area, unsigned seed)
{
	memset(area, 0, sizeof want);
	*(uint16_t *)area = 0x037f;            /* x87 control word */
	area[4] = 0xff;                        /* all x87 registers are valid */
	*(uint32_t *)(area + 24) = 0x1f80 | (seed & 3) << 13; /* MXCSR: rounding */
	for (int i = 0; i < 8; i++) {
		unsigned char *st = area + 32 + 16 * i;

		memset(st, (int)(seed + 17 * i) & 0x7f, 7);
		st[7] = 0x80;                  /* a normal number */
		*(uint16_t *)(st + 8) = 0x3fff;
	}
	for (int i = 0; i < 256; i++)
		area[160 + i] = (unsigned char)(seed * 31 + i * 7);
	for (int i = 2; i < 8; i++)
		for (unsigned k = 0; k < part[i].size; k++)
			area[part[i].at + k] = (unsigned char)(seed * 13 + i * 29 + k * 5);
	*(uint64_t *)(area + 512) = mask;
}

static int same(void)
{
	if (*(uint16_t *)got != *(uint16_t *)want || got[4] != want[4] ||
	    memcmp(got + 24, want + 24, 4) || memcmp(got + 160, want + 160, 256))
		return 0;
	for (int i = 0; i < 8; i++)
		if (memcmp(got + 32 + 16 * i, want + 32 + 16 * i, 10))
			return 0;
	for (int i = 2; i < 8; i++)
		if (memcmp(got + part[i].at, want + part[i].at, part[i].size))
			return 0;
	return 1;
}

/* Loads all registers, makes a call, and stores them. */
static long call(long nr, long a, long b)
{
	long ret;

	memset(got, 0, sizeof got);
	__asm__ volatile(
		"mov mask(%%rip), %%eax\n\txor %%edx, %%edx\n\txrstor64 want(%%rip)\n\t"
		"mov %[nr], %%rax\n\tsyscall\n\tmov %%rax, %[ret]\n\t"
		"mov mask(%%rip), %%eax\n\txor %%edx, %%edx\n\txsave64 got(%%rip)"
		: [ret] "=&r"(ret)
		: [nr] "r"(nr), "D"(a), "S"(b)
		: "rax", "rcx", "rdx", "r10", "r11", "memory");
	return ret;
}

/* The same with one instruction on memory. */
static void touch(volatile char *p)
{
	memset(got, 0, sizeof got);
	__asm__ volatile(
		"mov mask(%%rip), %%eax\n\txor %%edx, %%edx\n\txrstor64 want(%%rip)\n\t"
		"movb $1, (%[p])\n\t"
		"mov mask(%%rip), %%eax\n\txor %%edx, %%edx\n\txsave64 got(%%rip)"
		:
		: [p] "r"(p)
		: "rax", "rdx", "memory");
}

static volatile int handled;

static void lose(void)
{
	unsigned low = mask;

	__asm__ volatile("xrstor64 %[other]" : : [other] "m"(other), "a"(low), "d"(0) : "memory");
}

static void repair(int sig, siginfo_t *si, void *context)
{
	(void)sig;
	(void)context;
	char *page = (char *)((uintptr_t)si->si_addr & ~(PAGE - 1));
	if (mprotect(page, PAGE, PROT_READ | PROT_WRITE))
		_exit(99);
	handled++;
	lose();
}

static void on_signal(int sig)
{
	(void)sig;
	handled++;
	lose();
}

static void on(int sig, void (*f)(int, siginfo_t *, void *))
{
	struct sigaction sa = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	CHECK(sigaction(sig, &sa, NULL) == 0);
}

static int vectors(void)
{
	int status;

	find_parts();
	fill(other, 200);
	for (unsigned seed = 1; seed < 20; seed++) {
		fill(want, seed);
		CHECK(call(SYS_getppid, 0, 0) == getppid());
		CHECK(same());
		struct timespec nap = {0, 1000000};
		CHECK(call(SYS_nanosleep, (long)&nap, 0) == 0 && same());
		char *p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(p != MAP_FAILED);
		touch(p);
		CHECK(same());
		touch(p + (3 << 20));
		CHECK(same());
		CHECK(mprotect(p, PAGE, PROT_NONE) == 0);
		on(SIGSEGV, repair);
		handled = 0;
		touch(p);
		CHECK(handled == 1 && p[0] == 1);
		CHECK(same());
		struct sigaction sa = {.sa_handler = on_signal};
		CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
		CHECK(call(SYS_kill, getpid(), SIGUSR1) == 0 && handled == 2);
		CHECK(same());
		CHECK(munmap(p, 4 << 20) == 0);
		long pid = call(SYS_fork, 0, 0);
		CHECK(pid >= 0 && same());
		if (pid == 0)
			_exit(call(SYS_getppid, 0, 0) > 0 && same() ? 17 : 18);
		CHECK(waitpid((pid_t)pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 17);
	}
	return 0;
}

#define RDBASE(seg) ({ unsigned long v; __asm__ volatile("rd" #seg "base %0" : "=r"(v)); v; })
#define WRBASE(seg, v) __asm__ volatile("wr" #seg "base %0" : : "r"((unsigned long)(v)))

/* Bases of segments, by calls and by instructions. */
static int bases(void)
{
	static unsigned long word = 0x1122334455667788, seen;
	unsigned long gs, fs = RDBASE(fs);
	int status;

	CHECK(syscall(SYS_arch_prctl, 0x1003, &seen) == 0 && seen == fs);
	WRBASE(gs, &word);
	CHECK(syscall(SYS_arch_prctl, 0x1004, &seen) == 0 && seen == (unsigned long)&word);
	CHECK(RDBASE(gs) == (unsigned long)&word);
	__asm__ volatile("mov %%gs:0, %0" : "=r"(gs));
	CHECK(gs == word);
	CHECK(syscall(SYS_arch_prctl, 0x1001, &seen) == 0 && RDBASE(gs) == (unsigned long)&seen);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(RDBASE(gs) == (unsigned long)&seen && RDBASE(fs) == fs ? 17 : 18);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 17);
	/* Without a call in between, and without thread-local storage meanwhile. */
	WRBASE(fs, &word);
	__asm__ volatile("mov %%fs:0, %0" : "=r"(gs));
	WRBASE(fs, fs);
	CHECK(gs == word);
	CHECK(syscall(SYS_arch_prctl, 0x1001, 1UL << 63) == -1 && errno == EPERM);
	WRBASE(gs, 0);
	return 0;
}

static volatile int got_signal, got_code;
static void *volatile got_addr;
static void *volatile resume_at;
static unsigned long saved_sp __attribute__((used));

static void note(int sig, siginfo_t *si, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	got_signal = sig;
	got_code = si->si_code;
	got_addr = si->si_addr;
	g[REG_RIP] = (greg_t)resume_at;
	g[REG_RSP] = (greg_t)saved_sp;
	g[REG_EFL] &= ~0x40100; /* AC and TF */
}

/* Instructions of which the one at NAME_at raises a signal; the handler goes on at
 * NAME_end with the stack pointer as it was. */
#define CODE(name, before, raises) \
	extern const char name##_start[], name##_at[], name##_end[]; \
	__asm__(".text\n" #name "_start: mov %rsp, saved_sp(%rip)\n" before "\n" #name "_at: " raises "\n" #name "_end: ret\n")

static char *area __attribute__((used)); /* two pages, without rights */
static const unsigned short unmasked __attribute__((used)) = 0x0360;
static const unsigned int open_mxcsr __attribute__((used)) = 0;
static const double numbers[2] __attribute__((used)) = {0, 1};

CODE(divide, "xor %ecx, %ecx\n xor %edx, %edx\n mov $1, %eax", "div %ecx");
CODE(breakpoint, "", "int3");
CODE(undefined, "", "ud2");
CODE(halt, "", "hlt");
CODE(vector, "", "int $0x20");
CODE(wild, "mov $1, %eax\n shl $63, %rax", "movb $0, (%rax)");
CODE(wild_stack, "mov $1, %eax\n shl $63, %rax\n mov %rax, %rsp", "pop %rax");
CODE(wild_jump, "mov $1, %eax\n shl $63, %rax", "jmp *%rax");
CODE(reads, "mov area(%rip), %rax", "movb 8(%rax), %al");
CODE(writes, "mov area(%rip), %rax", "movb $1, 8(%rax)");
CODE(jumps, "mov area(%rip), %rax", "jmp *%rax");
CODE(beyond, "mov area(%rip), %rax\n add $4096, %rax", "movb 8(%rax), %al");
CODE(null, "xor %eax, %eax", "movb (%rax), %al");
CODE(x87, "fninit\n fldcw unmasked(%rip)\n fld1\n fldz\n fdivrp", "fwait");
CODE(sse, "ldmxcsr open_mxcsr(%rip)\n movsd 8+numbers(%rip), %xmm0", "divsd numbers(%rip), %xmm0");
CODE(step, "pushf\n orl $0x100, (%rsp)\n popf\n nop", "nop");
CODE(unaligned, "pushf\n orl $0x40000, (%rsp)\n popf", "movl 1(%rsp), %eax");

enum where { NOWHERE, AT, AREA, AREA8, BEYOND8 };

static int exceptions(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	static const struct {
		const char *name, *start, *at, *end;
		int signal, code;
		enum where where;
	} list[] = {
#define ENTRY(name, signal, code, where) {#name, name##_start, name##_at, name##_end, signal, code, where}
		ENTRY(divide, SIGFPE, FPE_INTDIV, AT), ENTRY(breakpoint, SIGTRAP, SI_KERNEL, NOWHERE),
		ENTRY(undefined, SIGILL, ILL_ILLOPN, AT), ENTRY(halt, SIGSEGV, SI_KERNEL, NOWHERE),
		ENTRY(vector, SIGSEGV, SI_KERNEL, NOWHERE), ENTRY(wild, SIGSEGV, SI_KERNEL, NOWHERE),
		ENTRY(wild_stack, SIGBUS, SI_KERNEL, NOWHERE), ENTRY(wild_jump, SIGSEGV, SI_KERNEL, NOWHERE),
		ENTRY(reads, SIGSEGV, SEGV_ACCERR, AREA8), ENTRY(writes, SIGSEGV, SEGV_ACCERR, AREA8),
		ENTRY(jumps, SIGSEGV, SEGV_ACCERR, AREA), ENTRY(beyond, SIGSEGV, SEGV_MAPERR, BEYOND8),
		ENTRY(null, SIGSEGV, SEGV_MAPERR, NOWHERE), ENTRY(x87, SIGFPE, FPE_FLTDIV, AT),
		ENTRY(sse, SIGFPE, FPE_FLTDIV, AT), ENTRY(step, SIGTRAP, TRAP_TRACE, AT),
		ENTRY(unaligned, SIGBUS, BUS_ADRALN, NOWHERE),
	};

	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
		on(signals[i], note);
	area = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED && munmap(area + PAGE, PAGE) == 0);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
			const void *where = list[i].where == AT ? list[i].at : list[i].where == AREA ? area :
				list[i].where == AREA8 ? area + 8 : list[i].where == BEYOND8 ? area + PAGE + 8 : NULL;

			got_signal = 0;
			resume_at = (void *)(uintptr_t)list[i].end;
			((void (*)(void))(uintptr_t)list[i].start)();
			__asm__ volatile("fninit\n\tldmxcsr %0" : : "m"((const unsigned int){0x1f80}));
			if (got_signal != list[i].signal || got_code != list[i].code || got_addr != where) {
				fprintf(stderr, "%s: signal %d, code %d, address %p; not %d, %d, %p\n", list[i].name,
					got_signal, got_code, got_addr, list[i].signal, list[i].code, where);
				CHECK(0);
			}
		}
	return 0;
}

static volatile int steps;
/* Where the traps of stepped are, behind its beginning. */
static volatile long places[16];
extern const char stepped_start[], stepped_end[];

static void count(int sig, siginfo_t *si, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)sig;
	(void)si;
	if (steps < 16)
		places[steps] = g[REG_RIP] - (greg_t)stepped_start;
	else
		g[REG_EFL] &= ~0x100;
	steps++;
}

/* Two calls of a program that steps through itself: the trap that follows a call comes
 * behind the next instruction, since Linux returns from calls by iret then. What it had
 * in the registers that a call destroys is as behind a call when the handler returns. */
long stepped(long nr);
__asm__(".text\n"
	"stepped: mov %rdi, %rax\n"
	"	pushf\n"
	"	orl $0x100, (%rsp)\n"
	"	popf\n"
	"stepped_start: nop\n"         /* 1 byte */
	"	syscall\n"             /* 2 bytes */
	"	nop\n"                 /* 1 byte */
	"	mov %edi, %eax\n"      /* 2 bytes */
	"	syscall\n"             /* 2 bytes */
	"	pushf\n"               /* 1 byte */
	"	andl $~0x100, (%rsp)\n" /* 7 bytes */
	"	popf\n"                /* 1 byte */
	"stepped_end: ret\n");

static int stepping(void)
{
	static const long want[] = {1, 4, 6, 9, 16, 17};

	on(SIGTRAP, count);
	for (int round = 0; round < 3; round++) {
		steps = 0;
		CHECK(stepped(SYS_getppid) == getppid());
		CHECK(steps == sizeof want / sizeof *want);
		for (int i = 0; i < steps; i++)
			CHECK(places[i] == want[i]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*f)(void);
	} tests[] = {{"vectors", vectors}, {"bases", bases}, {"exceptions", exceptions}, {"stepping", stepping}};

	static char alternative[65536];
	stack_t stack = {.ss_sp = alternative, .ss_size = sizeof alternative};

	if (argc != 2 || sigaltstack(&stack, NULL))
		return 255;
	for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++)
		if (!strcmp(argv[1], tests[i].name))
			return tests[i].f();
	return 254;
}
