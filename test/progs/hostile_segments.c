/*
 * Far jumps, calls and returns to segments that there are and to others, and their
 * selectors in segment registers. Linux's 32-bit code segment is left out, since virtual
 * machines do not have it.
 */
#include "hostile.h"
#include <setjmp.h>

static sigjmp_buf back;
static volatile long number, trap, code;

static void note(int sig, siginfo_t *si, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	UNUSED(si);
	number = sig;
	trap = g[REG_TRAPNO];
	code = g[REG_ERR];
	siglongjmp(back, 1);
}

/* Where the transfers lead: an exception that says so. */
void arrived(void);
__asm__(".text\narrived: ud2\n");

static struct {
	unsigned offset;
	unsigned short selector;
} __attribute__((packed)) pointer;

static void jump(unsigned long selector)
{
	/* The offset is short: what it leads to is not there, if it leads anywhere. */
	pointer.offset = 0x100;
	pointer.selector = (unsigned short)selector;
	__asm__ volatile("ljmp *%0" : : "m"(pointer));
}

static void call(unsigned long selector)
{
	pointer.offset = 0x100;
	pointer.selector = (unsigned short)selector;
	__asm__ volatile("lcall *%0" : : "m"(pointer));
}

static void far_return(unsigned long selector)
{
	__asm__ volatile("push %0\n\tpush %1\n\tlretq" : : "r"(selector), "r"(arrived));
}

static void interrupt_return(unsigned long selector)
{
	__asm__ volatile("mov %%rsp, %%rcx\n\tmov %%ss, %%eax\n\tpush %%rax\n\tpush %%rcx\n\tpushf\n\tpush %0\n\tpush %1\n\tiretq"
			 : : "r"(selector), "r"(arrived) : "rax", "rcx");
}

static void data(unsigned long selector)
{
	__asm__ volatile("mov %0, %%es\n\tud2" : : "r"(selector));
}

static void stack(unsigned long selector)
{
	__asm__ volatile("mov %0, %%ss\n\tud2" : : "r"(selector));
}

static const struct {
	const char *name;
	void (*f)(unsigned long);
	/*
	 * Selectors that are not tried. A paravirtual KVM carries iret out by itself, and
	 * takes data for code; QEMU 7.2 cuts the stack pointer of a far call to 32 bits.
	 */
	unsigned long not[3];
} ways[] = {
	{"jump", jump, {0}}, {"call", call, {0x30, 0x31, 0x33}}, {"far return", far_return, {0}},
	{"interrupt return", interrupt_return, {0x2b}}, {"data", data, {0}}, {"stack", stack, {0}},
};

static int tried(size_t way, unsigned long selector)
{
	for (size_t i = 0; i < sizeof ways->not / sizeof *ways->not; i++)
		if (ways[way].not[i] && ways[way].not[i] == selector)
			return 0;
	return 1;
}

static const unsigned long selectors[] = {
	0, 3, 7, 8, 0xb, 0xf, 0x10, 0x13, 0x18, 0x1b, 0x28, 0x2b, 0x30, 0x31, 0x33, 0x37,
	0x38, 0x3b, 0x43, 0x4b, 0x53, 0x63, 0x83, 0x100, 0x7fff, 0xfff8, 0xffff,
};

static void transfers(void)
{
	static char alternative[65536];
	stack_t other = {.ss_sp = alternative, .ss_size = sizeof alternative};
	struct sigaction a = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL};

	CHECK(sigaltstack(&other, NULL) == 0);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		CHECK(sigaction(signals[i], &a, NULL) == 0);
	for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
		for (size_t i = 0; i < sizeof selectors / sizeof *selectors; i++) {
			if (!tried(w, selectors[i]))
				continue;
			number = 0;
			if (sigsetjmp(back, 1) == 0)
				ways[w].f(selectors[i]);
			printf("%s %lx: signal %ld, exception %ld, code %lx\n", ways[w].name, selectors[i], number, trap, code);
		}
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		CHECK(signal(signals[i], SIG_DFL) != SIG_ERR);
}

/*
 * A return with the flag of virtual-8086 mode, into which only ring 0 gets. QEMU 7.2
 * lets ring 3 enter it, and then any number is a segment.
 */
static int virtual8086(unsigned selector)
{
	static unsigned frame[5];

	frame[1] = selector;
	frame[2] = 0x20202;
	frame[4] = 0x2b;
	__asm__ volatile("mov %0, %%rsp\n\tiretl" : : "r"(frame) : "memory");
	return 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	transfers();
	CHILD("virtual-8086 mode, no segment", virtual8086(0x1000));
	CHILD("virtual-8086 mode, ring 0", virtual8086(0x10));
	CHILD("virtual-8086 mode, ring 3", virtual8086(0x1003));
	return sting();
}
