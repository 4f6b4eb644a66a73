/*
 * fault.c NAME: raises one exception and shows the signal that comes of it. Without a
 * name it lists all of them.
 *
 * Besides the signal it prints what the processor would have told a kernel: vector,
 * error code, cr2, instruction pointer, whether the address is mapped and whether there
 * is a page.
 */
#include "native.h"

static _Alignas(64) unsigned char alt_stack[1 << 17];
static char *unmapped, *readable, *hidden, *beyond;

/* The instruction that faults, or the one behind it when that is what a trap shows. */
static uint64_t ip;

#define AT(pre, insn) do { \
	__asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %0\n\t" pre "\n1:\t" insn \
		: "=m"(ip) : "b"(addr) : "rax", "rcx", "rdx", "memory", "cc"); \
} while (0)

#define AFTER(pre, insn) do { \
	__asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %0\n\t" pre "\n\t" insn "\n1:\tnop" \
		: "=m"(ip) : "b"(addr) : "rax", "rcx", "rdx", "memory", "cc"); \
} while (0)

#define KERNEL 0xffffffff81000000ull
#define HOLE 0x8000000000000000ull

static uint32_t mxcsr;
static uint16_t fcw;

static void divide(uint64_t addr) { AT("xor %%ecx, %%ecx", "div %%ecx"); }
static void step(uint64_t addr) { AFTER("pushf; orl $0x100, (%%rsp)", "popf; nop"); }
static void int1(uint64_t addr) { AFTER("", ".byte 0xf1"); }
static void int3(uint64_t addr) { AFTER("", "int3"); }
static void int4(uint64_t addr) { AFTER("", "int $4"); }
static void opcode(uint64_t addr) { AT("", "ud2"); }
static void privileged(uint64_t addr) { AT("", "hlt"); }
static void gate(uint64_t addr) { AT("", "int $0x99"); }
static void load(uint64_t addr) { AT("", "mov (%%rbx), %%al"); }
static void store(uint64_t addr) { AT("", "movb $1, (%%rbx)"); }
static void stack(uint64_t addr) { AT("mov %%rbx, %%rsp", "push %%rax"); }
static void align(uint64_t addr) { AT("pushf; orl $0x40000, (%%rsp); popf", "mov 1(%%rbx), %%eax"); }

static void jump(uint64_t addr)
{
	ip = addr;
	__asm__ volatile("jmp *%0" : : "r"(addr));
}

static void x87(uint64_t addr)
{
	(void)addr;
	__asm__ volatile("fninit; fldcw %0; fld1; fldz" : : "m"(fcw));
	AFTER("fdivrp", "");
	__asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %0\n1:\tfwait" : "=m"(ip) : : "rax");
}

static void simd(uint64_t addr)
{
	static const float one = 1, three = 3, big = 3e38f, tiny = 1e-38f, denormal = 1e-40f, zero;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	switch (addr) {
	case 0: __asm__ volatile("movss %0, %%xmm0; movss %1, %%xmm1" : : "m"(one), "m"(zero) : "xmm0", "xmm1"); break;
	case 1: __asm__ volatile("movss %0, %%xmm0; movss %1, %%xmm1" : : "m"(big), "m"(tiny) : "xmm0", "xmm1"); break;
	case 2: __asm__ volatile("movss %0, %%xmm0; movss %1, %%xmm1" : : "m"(tiny), "m"(big) : "xmm0", "xmm1"); break;
	case 3: __asm__ volatile("movss %0, %%xmm0; movss %1, %%xmm1" : : "m"(one), "m"(three) : "xmm0", "xmm1"); break;
	case 4: __asm__ volatile("movss %0, %%xmm0; movss %1, %%xmm1" : : "m"(denormal), "m"(one) : "xmm0", "xmm1"); break;
	case 5: __asm__ volatile("movss %0, %%xmm0; movss %0, %%xmm1" : : "m"(zero) : "xmm0", "xmm1"); break;
	}
	AT("", "divss %%xmm1, %%xmm0");
}

enum { MAPPED = 1, NOPAGE = 2 };

static const struct fault {
	const char *name;
	void (*raise)(uint64_t addr);
	char **where; /* its address, else addr */
	uint64_t addr;
	int vector;
	uint64_t code;
	int page;
	uint32_t mxcsr;
} faults[] = {
	{"divide", divide, 0, 0, 0, 0, 0, 0},
	{"step", step, 0, 0, 1, 0, 0, 0},
	{"int1", int1, 0, 0, 1, 0, 0, 0},
	{"int3", int3, 0, 0, 3, 0, 0, 0},
	{"int4", int4, 0, 0, 4, 0, 0, 0},
	{"opcode", opcode, 0, 0, 6, 0, 0, 0},
	{"privileged", privileged, 0, 0, 13, 0, 0, 0},
	{"gate", gate, 0, 0, 13, 0x99 * 8 + 2, 0, 0},
	{"no address", load, 0, HOLE, 13, 0, 0, 0},
	{"jump to no address", jump, 0, HOLE, 13, 0, 0, 0},
	{"stack at no address", stack, 0, HOLE, 12, 0, 0, 0},
	{"load unmapped", load, &unmapped, 0, 14, 4, 0, 0},
	{"store unmapped", store, &unmapped, 0, 14, 6, 0, 0},
	{"jump unmapped", jump, &unmapped, 0, 14, 0x14, 0, 0},
	{"load null", load, 0, 8, 14, 4, 0, 0},
	{"store read-only", store, &readable, 0, 14, 7, MAPPED, 0},
	{"jump not executable", jump, &readable, 0, 14, 0x15, MAPPED, 0},
	{"load hidden", load, &hidden, 0, 14, 4, MAPPED, 0},
	{"store hidden", store, &hidden, 0, 14, 6, MAPPED, 0},
	{"load beyond end", load, &beyond, 0, 14, 4, MAPPED | NOPAGE, 0},
	{"store beyond end", store, &beyond, 0, 14, 6, MAPPED | NOPAGE, 0},
	{"load kernel", load, 0, KERNEL, 14, 4, 0, 0},
	{"store kernel", store, 0, KERNEL, 14, 6, 0, 0},
	{"jump kernel", jump, 0, KERNEL, 14, 0x14, 0, 0},
	{"load last page", load, 0, 0x7ffffffff008, 14, 4, 0, 0},
	{"alignment", align, &readable, 0, 17, 0, 0, 0},
	{"x87 divide", x87, 0, 0, 16, 0, 0, 0},
	{"simd divide", simd, 0, 0, 19, 0, 0, 0x1d80},
	{"simd overflow", simd, 0, 1, 19, 0, 0, 0x1b80},
	{"simd underflow", simd, 0, 2, 19, 0, 0, 0x1780},
	{"simd inexact", simd, 0, 3, 19, 0, 0, 0x0f80},
	{"simd denormal", simd, 0, 4, 19, 0, 0, 0x1e80},
	{"simd invalid", simd, 0, 5, 19, 0, 0, 0x1f00},
	{"simd all", simd, 0, 5, 19, 0, 0, 0},
};

static void on_signal(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	/* A handler inherits the alignment check. */
	__asm__ volatile("pushf; andl $~0x40000, (%%rsp); popf" ::: "memory", "cc");
	put64("ip", ip);
	put_signal(info, uc);
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	const size_t n = sizeof faults / sizeof *faults;
	const struct fault *f = faults;
	if (argc < 2) {
		for (; f < faults + n; f++)
			puts(f->name);
		return 0;
	}
	while (strcmp(f->name, argv[1]))
		if (++f == faults + n)
			fail(argv[1]);
	setvbuf(stdout, malloc(1 << 18), _IOFBF, 1 << 18);
	FILE *file = tmpfile();
	unmapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	readable = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	hidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	beyond = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
	if (!file || unmapped == MAP_FAILED || readable == MAP_FAILED || hidden == MAP_FAILED || beyond == MAP_FAILED)
		fail("mmap");
	munmap(unmapped, 4096);
	(void)*(volatile char *)readable;

	stack_t st = {.ss_sp = alt_stack, .ss_size = sizeof alt_stack};
	struct kernel_action act = {(uintptr_t)on_signal, SA_SIGINFO | SA_ONSTACK | 0x04000000, (uintptr_t)restorer, 0};
	sigaltstack(&st, NULL);
	static const int signals[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV};
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		set_action(signals[i], &act, NULL);
	mxcsr = f->mxcsr;
	fcw = 0x37b;
	uint64_t addr = f->where ? (uintptr_t)*f->where : f->addr;
	put64("vector", (uint64_t)f->vector);
	put64("code", f->code);
	put64("cr2", addr);
	put64("page", (uint64_t)f->page);
	fflush(stdout);
	f->raise(addr);
	fail("no signal");
}
