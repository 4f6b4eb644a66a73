/*
 * Instructions of ring 0, instructions that there are not, and instructions that
 * fail, each with addresses that are not canonical, not aligned, the kernel's, or
 * where a monitor could be: what Linux makes of each is printed.
 *
 * Left out are those whose outcome is the machine's: SGDT, SIDT, SLDT, STR and SMSW
 * (which UMIP may forbid and which give the processor's own values where it does
 * not), VMMCALL (-1 on a paravirtual KVM, SIGILL elsewhere), CPUID, RDPID, RDRAND,
 * RDSEED and RDPMC, FXSAVE and FXRSTOR at odd addresses (which a paravirtual KVM
 * carries out), error codes that are selectors read from memory, operands of which a
 * part is canonical, and the vsyscall page, which not every front-end has.
 */
#include "hostile.h"
#include <setjmp.h>

static sigjmp_buf back;
static volatile int sig, code;
static volatile unsigned long error, trapno, where, at;
static unsigned char *text, *mapped;
static char data[2 * PAGE] __attribute__((aligned(4096)));

static void on_fault(int n, siginfo_t *si, void *context)
{
	ucontext_t *u = context;
	sig = n;
	code = si->si_code;
	where = (unsigned long)si->si_addr;
	error = (unsigned long)u->uc_mcontext.gregs[REG_ERR];
	trapno = (unsigned long)u->uc_mcontext.gregs[REG_TRAPNO];
	at = (unsigned long)u->uc_mcontext.gregs[REG_RIP];
	siglongjmp(back, 1);
}

#define I(...) {#__VA_ARGS__, {__VA_ARGS__}, sizeof((unsigned char[]){__VA_ARGS__})}
static const struct {
	const char *name;
	unsigned char bytes[15];
	size_t size;
} list[] = {
	/* Ring 0's. */
	I(0xf4), I(0xfa), I(0xfb), I(0x0f, 0x06), I(0x0f, 0x08), I(0x0f, 0x09), I(0xf3, 0x0f, 0x09), I(0x0f, 0x30), I(0x0f, 0x32),
	I(0x0f, 0x01, 0x10), I(0x0f, 0x01, 0x18), I(0x0f, 0x01, 0xf0), I(0x0f, 0x01, 0x38), I(0x0f, 0x00, 0xd0),
	I(0x0f, 0x00, 0xd8), I(0x0f, 0x01, 0xd1), I(0x0f, 0x01, 0xf8), I(0x0f, 0x07), I(0x48, 0x0f, 0x07), I(0x0f, 0x35),
	I(0x0f, 0x20, 0xc0), I(0x0f, 0x20, 0xc8), I(0x0f, 0x20, 0xd8), I(0x44, 0x0f, 0x20, 0xc0), I(0x0f, 0x22, 0xc0),
	I(0x0f, 0x22, 0xd8), I(0x0f, 0x22, 0xe0), I(0x0f, 0x21, 0xc0), I(0x0f, 0x21, 0xf8), I(0x0f, 0x23, 0xf8),
	I(0x0f, 0x01, 0xc8), I(0x0f, 0x01, 0xc9), I(0x0f, 0x01, 0xca), I(0x0f, 0x01, 0xcb), I(0x0f, 0xaa), I(0x0f, 0x37),
	I(0x66, 0x0f, 0x38, 0x82, 0x00), I(0x0f, 0xc7, 0x28), I(0x0f, 0xc7, 0x18),
	/* Of virtual machines. */
	I(0x0f, 0x01, 0xc2), I(0x0f, 0x01, 0xc3), I(0x0f, 0x01, 0xc4), I(0x0f, 0x78, 0xc0), I(0x0f, 0x79, 0xc0),
	I(0x0f, 0x01, 0xd8), I(0x0f, 0x01, 0xda), I(0x0f, 0x01, 0xdb), I(0x0f, 0x01, 0xdc), I(0x0f, 0x01, 0xdd),
	I(0x0f, 0x01, 0xde), I(0x0f, 0x01, 0xdf), I(0x66, 0x0f, 0xc7, 0x30), I(0xf3, 0x0f, 0xc7, 0x30),
	/* Ports. */
	I(0xe4, 0x60), I(0xe5, 0x60), I(0x66, 0xe5, 0x60), I(0xe6, 0x20), I(0xe6, 0x10), I(0xe7, 0x10), I(0xec), I(0xed),
	I(0x66, 0xed), I(0xee), I(0xef), I(0x66, 0xef), I(0x6c), I(0x6d), I(0x6e), I(0x6f), I(0xf3, 0x6c), I(0xf3, 0x6e),
	/* Software interrupts and traps. */
	I(0xcd, 0), I(0xcd, 1), I(0xcd, 2), I(0xcd, 3), I(0xcd, 4), I(0xcd, 6), I(0xcd, 8), I(0xcd, 13), I(0xcd, 14), I(0xcd, 18),
	I(0xcd, 31), I(0xcd, 32), I(0xcd, 33), I(0xcd, 0x81), I(0xcd, 255), I(0xf3, 0xcd, 5), I(0xcc), I(0xce), I(0xf1),
	/* None. */
	I(0x0f, 0xff, 0x00), I(0x0f, 0xb9, 0x00), I(0x0f, 0x0b), I(0x06), I(0x27), I(0x60), I(0x82, 0xc0, 1), I(0x9a), I(0xd4, 10),
	I(0xd6), I(0xea), I(0x8e, 0xc8), I(0x8e, 0x08), I(0x8e, 0x30), I(0x8e, 0x38), I(0x8c, 0x30), I(0xf0, 0x90), I(0xf0, 0x8b, 0x00),
	I(0xf0, 0x01, 0xc0), I(0x8f, 0x08), I(0xc6, 0x08), I(0x0f, 0x04), I(0x0f, 0x0a), I(0x0f, 0x24, 0xc0), I(0x0f, 0xc7, 0xc8),
	I(0xd9, 0x08), I(0xdb, 0x20), I(0x0f, 0xae, 0xc0),
	/* Accesses to what rax, rbp, rsi and rdi point to, with and without segments. */
	I(0x8b, 0x00), I(0x89, 0x00), I(0x8b, 0x45, 0), I(0x36, 0x8b, 0x00), I(0x36, 0x8b, 0x45, 0), I(0x3e, 0x8b, 0x45, 0),
	I(0x2e, 0x8b, 0x00), I(0xa4), I(0x36, 0xa4), I(0xd7), I(0xf0, 0x01, 0x00), I(0x8f, 0x00), I(0xff, 0x30), I(0xff, 0x10), I(0xff, 0x20),
	I(0xa0, 0, 0, 0, 0, 0, 0, 0, 0x80), I(0x36, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0x80), I(0xdb, 0x28), I(0xdf, 0x38), I(0xdb, 0x6d, 0),
	I(0xd9, 0x30), I(0xdd, 0x30), I(0xdb, 0x08), I(0x0f, 0x28, 0x00), I(0x0f, 0x54, 0x00), I(0x0f, 0x54, 0x45, 0),
	I(0x36, 0x0f, 0x54, 0x00), I(0x66, 0x0f, 0x38, 0x2a, 0x00), I(0x66, 0x0f, 0x38, 0x00, 0x00), I(0x0f, 0x10, 0x00),
	I(0x0f, 0xae, 0x10), I(0x0f, 0xf7, 0xc0), I(0x0f, 0xae, 0x38), I(0x0f, 0x18, 0x08), I(0x48, 0x0f, 0xc7, 0x08),
	/* Far, to where it does not go. */
	I(0x6a, 0x33, 0x50, 0x48, 0xcb), I(0xff, 0x18), I(0xff, 0x28), I(0x0f, 0xb2, 0x00), I(0x8e, 0x00),
	/* There. */
	I(0xff, 0xe0), I(0xff, 0xd0), I(0x50, 0xc3),
};

/* Behind AVX, which not every processor has. */
static const struct {
	const char *name;
	unsigned char bytes[15];
	size_t size;
} avx[] = {
	I(0xc5, 0xf8, 0x28, 0x00), I(0xc5, 0xf8, 0x28, 0x45, 0), I(0xc5, 0xf8, 0x10, 0x00), I(0xc5, 0xfc, 0x11, 0x00), I(0xc5, 0xfa, 0x58, 0x00),
};

static const struct {
	const char *name;
	unsigned long value;
} places[] = {
	{"odd", (unsigned long)-1}, {"nothing", 8}, {"not canonical", 0x8000000000000000}, {"end", 0x7ffffffffe00},
	{"half", 0xffff800000000000}, {"entry", 0xffff800000002000}, {"entry of faults", 0xffff8000000020e0}, {"return", 0xffff800000002200},
	{"call", 0xffff800000002210}, {"stack", 0xffff800000003ff0}, {"tables", 0xffff800000400000}, {"gate", 0xffff800040000000},
	{"in the gate", 0xffff800040000010}, {"kernel", 0xffffffff81000000},
	{"host", 0x520000000000}, {"handler", 0x520000001000}, {"bell", 0x520010000000}, {"its gate", 0x520010010000},
	{"its tables", 0x522000000000}, {"blocks", 0x524000000000}, {"end of host", 0x52fffffffff8},
};

static unsigned long from(unsigned long base, unsigned long v, size_t size)
{
	return v >= base && v < base + size ? v - base : v;
}

/* Executes what is at code; all registers but rcx, rsp and those above r7 are value. */
_Noreturn void go(const void *code, unsigned long value);
__asm__(".text\n"
	"go:	mov %rdi, %r12\n"
	"	mov %rsi, %rax\n"
	"	mov %rsi, %rbx\n"
	"	mov %rsi, %rdx\n"
	"	mov %rsi, %rbp\n"
	"	mov %rsi, %rdi\n"
	"	mov $1, %ecx\n"
	"	jmp *%r12\n");

static void try(const char *name, const unsigned char *bytes, size_t size, const char *place, unsigned long value)
{
	memset(text, 0xcc, PAGE);
	memcpy(text, bytes, size);
	memset(data, 0, sizeof data);
	if (sigsetjmp(back, 1) == 0)
		go(text, value == (unsigned long)-1 ? (unsigned long)data + 1 : value);
	unsigned long shown = from((unsigned long)text, where, PAGE);
	shown = from((unsigned long)data, shown, sizeof data);
	shown = from((unsigned long)mapped, shown, 4 * PAGE);
	printf("%s; %s: signal %d code %d addr %lx error %lx trap %lx at %lx\n", name, place, sig, code, shown, error, trapno,
	       from((unsigned long)text, from((unsigned long)data, at, sizeof data), PAGE));
}

/* What is emulated because it fails reads memory that is not there. */
static int beyond_the_end(void)
{
	put_file("short", "short", 5, 0600);
	int fd = open("short", O_RDWR);
	char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && *p == 's');
	mapped = (unsigned char *)p;
	static const unsigned char load[] = {0x8b, 0x00}, invalid[] = {0x8e, 0x30}, wide[] = {0x0f, 0x54, 0x00};
	for (int i = 0; i < 3; i++) {
		try("load", load, sizeof load, "beyond the end", (unsigned long)p + 3 * PAGE);
		try("invalid", invalid, sizeof invalid, "beyond the end", (unsigned long)p + 2 * PAGE);
		try("wide", wide, sizeof wide, "beyond the end", (unsigned long)p + PAGE);
	}
	return 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	text = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(text != MAP_FAILED);
	static char alternative[16 * PAGE];
	stack_t stack = {.ss_sp = alternative, .ss_size = sizeof alternative};
	CHECK(sigaltstack(&stack, NULL) == 0);
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		CHECK(sigaction(faults[i], &a, NULL) == 0);
	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		for (size_t k = 0; k < sizeof places / sizeof *places; k++)
			try(list[i].name, list[i].bytes, list[i].size, places[k].name, places[k].value);
	if (__builtin_cpu_supports("avx"))
		for (size_t i = 0; i < sizeof avx / sizeof *avx; i++)
			for (size_t k = 0; k < sizeof places / sizeof *places; k++)
				try(avx[i].name, avx[i].bytes, avx[i].size, places[k].name, places[k].value);
	CHILD("beyond the end", beyond_the_end());
	return sting();
}
