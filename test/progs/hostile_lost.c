/*
 * Instructions at which a thread stands, when it comes back from a signal, whose stack
 * pointer is no address: a machine may have to emulate them until it is one. The handler
 * of what comes of one has the next one executed; where nothing comes of it, that is HLT's
 * exception.
 */
#include "hostile.h"

enum { CODE_SIZE = 4096, CODES = 15, HLT = 0xf4 };

#define LOST 0x0800000020008000UL

static const struct {
	const char *name;
	unsigned char code[CODES];
	int size;
} instructions[] = {
	{"ud2", {0x0f, 0x0b}, 2},
	{"nop", {0x90}, 1},
	{"fwait", {0x9b}, 1},
	{"fwait behind repne", {0xf2, 0x9b}, 2},
	{"int3", {0xcc}, 1},
	{"int3 behind rex", {0x45, 0xcc}, 2},
	{"int1 behind fwait", {0x9b, 0xf1}, 2},
	{"enter", {0xc8, 8, 0, 0}, 4},
	{"enter, nested", {0xc8, 8, 0, 4}, 4},
	{"enter behind ds", {0x3e, 0xc8, 8, 0, 1}, 5},
	{"leave", {0xc9}, 1},
	{"push %rax", {0x50}, 1},
	{"pop %rax", {0x58}, 1},
	{"pop (%rdi)", {0x8f, 0x07}, 2},
	{"push (%rdi)", {0xff, 0x37}, 2},
	{"call *%rdi", {0xff, 0xd7}, 2},
	{"call *(%rdi)", {0xff, 0x17}, 2},
	{"call *(%rsp)", {0xff, 0x14, 0x24}, 3},
	{"call", {0xe8, 0, 0, 0, 0}, 5},
	{"ret", {0xc3}, 1},
	{"mov (%rsp), %rax", {0x48, 0x8b, 0x04, 0x24}, 4},
	{"paddd %mm4, %mm7", {0x0f, 0xfe, 0xfc}, 3},
	{"psubusb %mm4, %mm0", {0x0f, 0xd8, 0xc4}, 3},
	{"addps %xmm4, %xmm4", {0x0f, 0x58, 0xe4}, 3},
	{"addps (%rdi), %xmm4", {0x0f, 0x58, 0x27}, 3},
	{"addps 0(%rsp), %xmm0", {0x0f, 0x58, 0x04, 0x24}, 4},
	{"addps of nothing", {0x0f, 0x58, 0x24, 0x25, 0, 0, 0, 0}, 8},
	{"pshufb %xmm4, %xmm4", {0x66, 0x0f, 0x38, 0x00, 0xe4}, 5},
};

enum { COUNT = sizeof instructions / sizeof *instructions };

static unsigned char *code;
static unsigned long data[8] __attribute__((aligned(64))) = {LOST};
static int at = -1;

static void next(int sig, siginfo_t *si, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	if (at >= 0)
		printf("%s: signal %d, code %d, trap %d, error %ld, %ld bytes on, stack %s\n", instructions[at].name, sig, si->si_code,
		       (int)g[REG_TRAPNO], (long)g[REG_ERR], (long)(g[REG_RIP] - (greg_t)(unsigned long)code),
		       (unsigned long)g[REG_RSP] == LOST ? "lost" : "found");
	if (++at == COUNT)
		_exit(sting());
	memset(code, HLT, CODE_SIZE);
	memcpy(code, instructions[at].code, (size_t)instructions[at].size);
	for (int i = 0; i <= REG_RCX; i++)
		g[i] = (greg_t)(unsigned long)data;
	g[REG_RIP] = (greg_t)(unsigned long)code;
	g[REG_RSP] = (greg_t)LOST;
	g[REG_EFL] = 0x202;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(code != MAP_FAILED);
	static unsigned char alternative[64 << 10] __attribute__((aligned(16)));
	stack_t stack = {.ss_sp = alternative, .ss_size = sizeof alternative};
	CHECK(sigaltstack(&stack, NULL) == 0);
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	struct sigaction a = {.sa_sigaction = next, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		CHECK(sigaction(faults[i], &a, NULL) == 0);
	__asm__ volatile("ud2");
	return 1;
}
