/*
 * Pseudo-random bytes that are executed as code, in children with handlers for
 * everything that the processor may make of them. The code lies at one address,
 * begins with known registers and finds nothing to ask what differs between
 * machines or processors, so that it does the same wherever it runs.
 *
 * hostile_random DIR [FIRST [COUNT]] takes COUNT seeds from FIRST on.
 */
#include "hostile.h"
#include <stddef.h>
#include <sys/time.h>

#define SEEDS 100
#define ROUNDS 24

#define CODE_AT 0x10000000UL
#define CODE_SIZE PAGE
#define DATA_AT 0x20000000UL
#define DATA_SIZE (16 * PAGE)

static unsigned long state;
static unsigned long next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* What the code begins with: r[0..15] as rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15. */
static struct start {
	unsigned long r[16];
	unsigned long at;
} start __attribute__((used));

/* The state of all floating-point and vector registers at reset, for xrstor. */
static unsigned char fresh[4096] __attribute__((aligned(64), used));
static volatile int has_xrstor __attribute__((used));

/* Goes where start says, and never back. Nothing but the bytes matters then. */
void launch(void);
__asm__(".text\n"
	"launch:\n"
	"	cmpl $0, has_xrstor(%rip)\n"
	"	je 1f\n"
	"	mov $0xe7, %eax\n" /* all but tiles and keys */
	"	xor %edx, %edx\n"
	"	xrstor64 fresh(%rip)\n"
	"	jmp 2f\n"
	"1:	fxrstor64 fresh(%rip)\n"
	"2:	lea start(%rip), %r15\n"
	"	mov 128(%r15), %rax\n"
	"	mov 32(%r15), %rsp\n"
	"	pushq $0x202\n" /* no signal frame brings all flags back */
	"	popfq\n"
	"	mov %rax, -128(%rsp)\n"
	"	mov 120(%r15), %rax\n"
	"	mov %rax, -120(%rsp)\n"
	"	mov 0(%r15), %rax\n"
	"	mov 8(%r15), %rcx\n"
	"	mov 16(%r15), %rdx\n"
	"	mov 24(%r15), %rbx\n"
	"	mov 40(%r15), %rbp\n"
	"	mov 48(%r15), %rsi\n"
	"	mov 56(%r15), %rdi\n"
	"	mov 64(%r15), %r8\n"
	"	mov 72(%r15), %r9\n"
	"	mov 80(%r15), %r10\n"
	"	mov 88(%r15), %r11\n"
	"	mov 96(%r15), %r12\n"
	"	mov 104(%r15), %r13\n"
	"	mov 112(%r15), %r14\n"
	"	mov -120(%rsp), %r15\n"
	"	xor $0, %rsp\n"
	"	jmp *-128(%rsp)\n");

/* Registers are numbers, or addresses inside the data. */
static void shuffle(void)
{
	for (int i = 0; i < 16; i++) {
		unsigned long v = next();
		start.r[i] = v & 3 ? DATA_AT + PAGE + v % (DATA_SIZE - 2 * PAGE) : v >> (v >> 58);
	}
	start.r[4] = DATA_AT + DATA_SIZE / 2;
	start.at = CODE_AT + next() % CODE_SIZE;
}

/*
 * Second bytes, behind 0x0f, of what is not to be executed: system calls, and what
 * depends on the machine, the processor, the time or chance (descriptor tables,
 * limits of segments, time stamps, counters, bases of segments and saved state,
 * identification, random numbers, prefetches of registers).
 */
static const unsigned char no_second[] = {
	0x00, 0x01, 0x02, 0x03, 0x05, 0x07, 0x0d, 0x31, 0x33, 0x34, 0x35, 0x37, 0xa2, 0xae, 0xc7,
};

static void randomise(unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(next() >> 23);
}

/*
 * Opcodes that are not to be executed. The nested-task flag is lost whenever a
 * paravirtual KVM enters the guest, so nothing is to see it: pushf and iret. Loops of
 * the counting instructions may end just before the time limit or just behind it.
 */
static const unsigned char no_first[] = {0x9c, 0xcf, 0xe0, 0xe1, 0xe2};

/*
 * Second bytes that are not to be executed behind certain prefixes: no-operations (LOCK),
 * movnti and movntq (operand size, REP). The processor knows no such instructions, but a
 * paravirtual KVM, which emulates whatever is invalid, carries them out without their
 * prefixes and goes on, so that no front-end hears of it. Neither does one of prefetches
 * of registers, which are invalid on some processors only.
 */
static const unsigned char no_prefixed[] = {0x19, 0x1c, 0x1d, 0x1f, 0xc3, 0xe7};

/* Whether the instruction whose opcode is at i has one of those prefixes. */
static int prefixed(const unsigned char *p, size_t i)
{
	while (i-- > 0) {
		switch (p[i]) {
		case 0x66: case 0xf0: case 0xf2: case 0xf3:
			return 1;
		case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x67:
			continue;
		}
		if ((p[i] & 0xf0) != 0x40)
			return 0;
	}
	return 0;
}

static void tame(unsigned char *p)
{
	for (size_t i = 0; i + 1 < CODE_SIZE; i++) {
		/* int n, and transactions, which end as they like. */
		if (p[i] == 0xcd || (p[i] == 0xc7 && p[i + 1] == 0xf8) || (p[i] == 0xc6 && p[i + 1] == 0xf8))
			p[i] = 0x90;
		/* Bases of segments: thread-local storage is not alike. */
		if (p[i] == 0x64 || p[i] == 0x65)
			p[i] = 0x90;
		for (size_t k = 0; k < sizeof no_first; k++)
			if (p[i] == no_first[k])
				p[i] = 0x90;
		for (size_t k = 0; k < sizeof no_second; k++)
			if (p[i] == 0x0f && p[i + 1] == no_second[k])
				p[i + 1] = 0x0b;
		for (size_t k = 0; k < sizeof no_prefixed; k++)
			if (p[i] == 0x0f && p[i + 1] == no_prefixed[k] && prefixed(p, i))
				p[i + 1] = 0x0b;
	}
	/* The processor fetches what there is of XOP's instructions, which it does not know,
	 * behind the page's end; who emulates it does not. */
	for (size_t i = CODE_SIZE - 16; i + 1 < CODE_SIZE; i++)
		if (p[i] == 0x8f)
			p[i] = 0x90;
	p[CODE_SIZE - 1] = 0xcc;
}

static int rounds;
static unsigned long seen;

static void note(unsigned long v)
{
	seen = (seen ^ v) * 0x100000001b3;
}

/*
 * Whether the code has used the segment that Linux has for 32-bit code, or was refused it:
 * virtual machines here have none.
 */
static int narrow(const greg_t *g)
{
	enum { USER32 = 0x20, ANY_RING = 3, PROTECTION = 13 };
	unsigned short ds, es, fs, gs;
	__asm__ volatile("mov %%ds, %0\n\tmov %%es, %1\n\tmov %%fs, %2\n\tmov %%gs, %3" : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
	unsigned short used[] = {(unsigned short)g[REG_CSGSFS], ds, es, fs, gs};
	for (size_t i = 0; i < sizeof used / sizeof *used; i++)
		if ((used[i] & ~ANY_RING) == USER32)
			return 1;
	return g[REG_TRAPNO] == PROTECTION && (g[REG_ERR] & 0xffff) == USER32;
}

static int ours(unsigned long addr)
{
	return (addr >= DATA_AT && addr < DATA_AT + DATA_SIZE) || (addr >= CODE_AT && addr < CODE_AT + CODE_SIZE);
}

/*
 * Whether the instruction is one of strings with two operands in memory, of which neither is
 * there: which of them the fault is of, or of which kind, processors do not agree on, and a
 * paravirtual KVM, which carries out again what has led to a protection fault, has an order of
 * its own.
 */
static int two_faults(const greg_t *g)
{
	unsigned long at = (unsigned long)g[REG_RIP], si = (unsigned long)g[REG_RSI], di = (unsigned long)g[REG_RDI];
	for (int i = 0; i < 15 && at >= CODE_AT && at < CODE_AT + CODE_SIZE; i++, at++) {
		unsigned char byte = *(const unsigned char *)at;
		switch (byte) {
		case 0x67:
			si = (unsigned int)si;
			di = (unsigned int)di;
			continue;
		case 0x66: case 0xf0: case 0xf2: case 0xf3: case 0x26: case 0x2e: case 0x36: case 0x3e:
			continue;
		}
		if ((byte & 0xf0) == 0x40)
			continue;
		return byte >= 0xa4 && byte <= 0xa7 && !ours(si) && !ours(di);
	}
	return 0;
}

/* Without the C library and its thread-local storage, which the code may have lost. */
__attribute__((optimize("no-stack-protector"))) static void on_fault(int sig, siginfo_t *si, void *context)
{
	ucontext_t *u = context;
	greg_t *g = u->uc_mcontext.gregs;
	static const int order[] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
	};
	if (narrow(g)) {
		raw3(SYS_write, 1, &seen, sizeof seen);
		raw3(SYS_exit_group, rounds, 0, 0);
	}
	note((unsigned long)sig);
	if (sig != SIGSEGV || !two_faults(g)) {
		note((unsigned long)si->si_code);
		if (sig == SIGSEGV || sig == SIGBUS)
			note((unsigned long)si->si_addr);
	}
	for (size_t i = 0; i < sizeof order / sizeof *order; i++)
		note((unsigned long)g[order[i]]);
	if (++rounds == ROUNDS) {
		raw3(SYS_write, 1, &seen, sizeof seen);
		raw3(SYS_exit_group, rounds, 0, 0);
	}
	shuffle();
	g[REG_RIP] = (greg_t)launch;
	g[REG_RSP] = (greg_t)start.r[4];
	g[REG_EFL] = 0x202;
}

static void child(unsigned long seed)
{
	state = seed * 0x9e3779b97f4a7c15 + 1;
	unsigned char *code = (unsigned char *)CODE_AT;
	CHECK(mmap(code, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == code);
	randomise(code, CODE_SIZE);
	tame(code);
	CHECK(mprotect(code, CODE_SIZE, PROT_READ | PROT_EXEC) == 0);
	unsigned char *data = (unsigned char *)DATA_AT;
	CHECK(mmap(data, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == data);
	randomise(data, DATA_SIZE);

	static unsigned char alternative[16 * PAGE] __attribute__((aligned(4096)));
	stack_t stack = {.ss_sp = alternative, .ss_size = sizeof alternative};
	CHECK(sigaltstack(&stack, NULL) == 0);
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		CHECK(sigaction(faults[i], &a, NULL) == 0);
	/* Code that goes round in circles is killed. What a machine emulates for it is the
	 * kernel's time. */
	struct itimerval limit = {.it_value = {.tv_usec = 200000}};
	CHECK(setitimer(ITIMER_PROF, &limit, NULL) == 0);
	shuffle();
	launch();
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	has_xrstor = __builtin_cpu_supports("avx") != 0;
	fresh[0] = 0x7f, fresh[1] = 0x03;  /* x87 control word */
	fresh[24] = 0x80, fresh[25] = 0x1f; /* MXCSR */
	unsigned long all = 0;
	unsigned long first = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	unsigned long count = argc > 3 ? strtoul(argv[3], NULL, 0) : SEEDS;
	for (unsigned long seed = first; seed < first + count; seed++) {
		int fds[2];
		unsigned long hash = 0;
		CHECK(pipe(fds) == 0);
		fflush(stdout);
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			CHECK(dup2(fds[1], 1) == 1);
			close(fds[0]);
			close(fds[1]);
			child(seed);
		}
		close(fds[1]);
		CHECK(read(fds[0], &hash, sizeof hash) >= 0);
		close(fds[0]);
		char label[40];
		snprintf(label, sizeof label, "seed %lu", seed);
		show_end(label, pid);
		printf("%016lx\n", hash);
		all |= hash;
	}
	CHECK(all != 0 || count < SEEDS);
	return sting();
}
