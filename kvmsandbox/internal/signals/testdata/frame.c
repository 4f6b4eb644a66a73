/*
 * frame.c: takes a signal with known registers and shows the frame, the registers at
 * the handler's first instruction, and what is left after rt_sigreturn.
 *
 * Arguments are NAME=VALUE, numbers in hexadecimal:
 *   flags, mask        of the action
 *   blocked            the mask before
 *   handler            the handler's address, instead of ours
 *   present            XSTATE_BV of the state before
 *   sp                 how far below the stack's usual place the signal comes
 *   rflags             before
 *   suspend            the mask of an rt_sigsuspend, in which the signal comes
 *   alt, altsize       flags and size of an alternate stack
 *   on                 run there, with that many bytes below
 *   trap               raise a page fault before, so that there is one to remember
 *   edit=OFFSET:BYTES  change the frame before the return
 *   float=OFFSET:BYTES change the floating point state in it
 */
#include "native.h"

#include <cpuid.h>
#include <sys/auxv.h>

enum { RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, R8, R9, R10, R11, R12, R13, R14, R15, RIP, RFLAGS, REGS };

#define AREA 16384

uint64_t before[REGS], entry[REGS], after[REGS];
_Alignas(64) unsigned char state_load[AREA], state_before[AREA], state_entry[AREA], state_after[AREA];
uint64_t saved_sp, features;
_Alignas(64) static unsigned char main_stack[1 << 18], alt_stack[1 << 18];

void trigger(void), resumed(void), on_entry(void), recover(void);

/* Registers are saved and loaded by their place in memory, so that none is lost. */
__asm__(
	".macro save to\n"
	"	mov %rax, \\to+0(%rip)\n	mov %rbx, \\to+8(%rip)\n	mov %rcx, \\to+16(%rip)\n"
	"	mov %rdx, \\to+24(%rip)\n	mov %rsi, \\to+32(%rip)\n	mov %rdi, \\to+40(%rip)\n"
	"	mov %rsp, \\to+48(%rip)\n	mov %rbp, \\to+56(%rip)\n	mov %r8, \\to+64(%rip)\n"
	"	mov %r9, \\to+72(%rip)\n	mov %r10, \\to+80(%rip)\n	mov %r11, \\to+88(%rip)\n"
	"	mov %r12, \\to+96(%rip)\n	mov %r13, \\to+104(%rip)\n	mov %r14, \\to+112(%rip)\n"
	"	mov %r15, \\to+120(%rip)\n"
	".endm\n"
	".macro state op area\n"
	"	mov features(%rip), %eax\n	mov features+4(%rip), %edx\n"
	"	lea \\area(%rip), %rdi\n	\\op (%rdi)\n"
	".endm\n"
	".globl trigger, resumed, on_entry\n"
	"trigger:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, saved_sp(%rip)\n"
	"	state xrstor64 state_load\n"
	"	state xsave64 state_before\n"
	"	push before+136(%rip)\n	popf\n"
	"	mov before+0(%rip), %rax\n	mov before+8(%rip), %rbx\n	mov before+16(%rip), %rcx\n"
	"	mov before+24(%rip), %rdx\n	mov before+32(%rip), %rsi\n	mov before+40(%rip), %rdi\n"
	"	mov before+48(%rip), %rsp\n	mov before+56(%rip), %rbp\n	mov before+64(%rip), %r8\n"
	"	mov before+72(%rip), %r9\n	mov before+80(%rip), %r10\n	mov before+88(%rip), %r11\n"
	"	mov before+96(%rip), %r12\n	mov before+104(%rip), %r13\n	mov before+112(%rip), %r14\n"
	"	mov before+120(%rip), %r15\n"
	"	syscall\n"
	"resumed:\n"
	"	save after\n"
	"	mov saved_sp(%rip), %rsp\n"
	"	pushf\n	pop after+136(%rip)\n	push $0x202\n	popf\n"
	"	state xsave64 state_after\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n	ret\n"
	"on_entry:\n"
	"	save entry\n"
	"	pushf\n	pop entry+136(%rip)\n"
	"	state xsave64 state_entry\n"
	"	mov %rsp, %rbx\n	and $-16, %rsp\n	mov %rbx, %rdi\n	call in_handler\n"
	"	mov %rbx, %rsp\n	ret\n");

static int edits;
static char *edit[64];

static void apply(char *e, unsigned char *frame, unsigned char *area)
{
	unsigned char *at = *e == 'e' ? frame : area;
	char *p = strchr(e, '=') + 1;
	at += strtoul(p, &p, 16);
	for (p++; *p; p += 2)
		*at++ = (unsigned char)strtoul((char[]){p[0], p[1], 0}, NULL, 16);
}

static void put_thread(const char *mask_name, const char *stack_name)
{
	uint64_t mask;
	stack_t st;
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	syscall(SYS_sigaltstack, NULL, &st);
	put64(mask_name, mask);
	put(stack_name, &st, sizeof st);
}

__attribute__((used)) void in_handler(unsigned char *frame)
{
	struct { uint64_t restorer; ucontext_t uc; } *f = (void *)frame;
	unsigned char *area = (unsigned char *)f->uc.uc_mcontext.fpregs;
	size_t size = (size_t)(area - frame) + float_size(area);
	put("entry", entry, sizeof entry);
	put("entry.state", state_entry, AREA);
	put("frame", frame, size);
	put_thread("entry.mask", "entry.stack");
	for (int i = 0; i < edits; i++)
		apply(edit[i], frame, area);
	put("edited", frame, size);
}

static void on_segv(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	put("before.state", state_before, AREA);
	put_signal(info, uc);
	fflush(stdout);
	_exit(0);
}

static void on_trap(int sig, siginfo_t *info, void *p)
{
	(void)sig, (void)info;
	ucontext_t *uc = p;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)recover;
}

__asm__(".globl fault_and_recover, recover\nfault_and_recover:\n\tmovb $1, 0x10\nrecover:\n\tret\n");
void fault_and_recover(void);

/* Patterns for the state of every feature where any bits will do. */
static void fill_state(uint64_t present)
{
	static const int any[] = {2, 5, 6, 7};
	for (int i = 32; i < 416; i++)
		state_load[i] = (unsigned char)(i * 7 + 1);
	for (size_t k = 0; k < sizeof any / sizeof *any; k++) {
		unsigned size, offset, c, d;
		if (!(features >> any[k] & 1))
			continue;
		__cpuid_count(0xd, any[k], size, offset, c, d);
		for (unsigned i = 0; i < size; i++)
			state_load[offset + i] = (unsigned char)(i * 5 + (unsigned)any[k]);
	}
	uint16_t fcw = 0x27f;
	uint32_t mxcsr = 0x9fc0;
	memcpy(state_load, &fcw, 2);
	state_load[4] = 0xa5; /* which registers are in use */
	memcpy(state_load + 24, &mxcsr, 4);
	present &= features & 0xe7;
	if (features >> 9 & 1) {
		/* Whatever the test asks for: only key 0 may be used, as is usual. */
		unsigned a, offset, c, d;
		const uint32_t pkru = 0x55555554;
		__cpuid_count(0xd, 9, a, offset, c, d);
		memcpy(state_load + offset, &pkru, 4);
		present |= 1 << 9;
	}
	memcpy(state_load + 512, &present, 8);
}

static void put_processor(void)
{
	unsigned a, b, c, d;
	put64("features", features);
	for (int i = 2; i < 63; i++) {
		if (!(features >> i & 1))
			continue;
		__cpuid_count(0xd, i, a, b, c, d);
		uint32_t v[] = {(uint32_t)i, b, a};
		put("component", v, sizeof v);
	}
	__cpuid_count(0xd, 0, a, b, c, d);
	put64("largest", b);
	put64("minsigstksz", getauxval(AT_MINSIGSTKSZ));
	uint32_t mask;
	_Alignas(16) static unsigned char fx[512];
	__asm__ volatile("fxsave64 %0" : "=m"(fx));
	memcpy(&mask, fx + 28, 4);
	put("mxcsrmask", &mask, 4);
}

int main(int argc, char **argv)
{
	uint64_t flags = 0, mask = 0, blocked = 0, present = ~0ull, sp = 0, rflags = 0x202, suspend = 0;
	uint64_t alt_size = 0, alt_flags = 0, on = 0, handler = (uintptr_t)on_entry;
	int suspended = 0, with_alt = 0, trap = 0;
	for (int i = 1; i < argc; i++) {
		char *v = strchr(argv[i], '=');
		uint64_t n = strtoull(v + 1, NULL, 16);
#define IS(name) (strncmp(argv[i], name "=", sizeof name) == 0)
		if (IS("flags")) flags = n;
		else if (IS("mask")) mask = n;
		else if (IS("blocked")) blocked = n;
		else if (IS("handler")) handler = n;
		else if (IS("present")) present = n;
		else if (IS("sp")) sp = n;
		else if (IS("rflags")) rflags = n;
		else if (IS("suspend")) suspend = n, suspended = 1;
		else if (IS("alt")) alt_flags = n, with_alt = 1;
		else if (IS("altsize")) alt_size = n;
		else if (IS("on")) on = n;
		else if (IS("trap")) trap = 1;
		else if (IS("edit") || IS("float")) edit[edits++] = argv[i];
		else fail(argv[i]);
	}
	setvbuf(stdout, malloc(1 << 20), _IOFBF, 1 << 20);
	uint32_t lo, hi;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	/* The kernel gives AMX only to those who ask (XFEATURE_MASK_USER_DYNAMIC). */
	features = ((uint64_t)hi << 32 | lo) & ~(1ull << 18);
	put_processor();
	fill_state(present);
	/* What the kernel leaves alone can be told by this. */
	memset(main_stack, 0xcc, sizeof main_stack);
	memset(alt_stack, 0xcc, sizeof alt_stack);

	stack_t st = {.ss_sp = alt_stack, .ss_flags = (int)alt_flags, .ss_size = alt_size};
	if (!with_alt)
		st.ss_flags = SS_DISABLE; /* not what the shell left */
	if (syscall(SYS_sigaltstack, &st, NULL))
		fail("sigaltstack");
	struct kernel_action segv = {(uintptr_t)on_segv, SA_SIGINFO | SA_NODEFER | 0x04000000, (uintptr_t)restorer, 0};
	if (trap) {
		segv.handler = (uintptr_t)on_trap;
		set_action(SIGSEGV, &segv, NULL);
		fault_and_recover();
		segv.handler = (uintptr_t)on_segv;
	}
	set_action(SIGSEGV, &segv, NULL);
	struct kernel_action act = {handler, flags, (uintptr_t)restorer, mask};
	if (set_action(SIGUSR1, &act, NULL))
		fail("rt_sigaction");
	if (suspended)
		blocked |= 1 << (SIGUSR1 - 1);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, NULL, 8);

	for (int i = 0; i < RIP; i++)
		before[i] = 0x1111111111111111ull * (uint64_t)(i + 1);
	before[RFLAGS] = rflags;
	before[RSP] = (uintptr_t)main_stack + sizeof main_stack - 4096 - sp;
	if (on)
		before[RSP] = (uintptr_t)alt_stack + on;
	if (suspended) {
		kill(getpid(), SIGUSR1);
		before[RAX] = SYS_rt_sigsuspend;
		before[RDI] = (uintptr_t)&suspend;
		before[RSI] = 8;
	} else {
		before[RAX] = SYS_tgkill;
		before[RDI] = (uint64_t)getpid();
		before[RSI] = (uint64_t)gettid();
		before[RDX] = SIGUSR1;
	}
	before[RIP] = (uintptr_t)resumed;
	put("before", before, sizeof before);
	put64("restorer", (uintptr_t)restorer);
	put64("handler", handler);
	put64("altstack", (uintptr_t)alt_stack);
	put64("trap.address", trap ? 0x10 : 0);
	fflush(stdout);
	trigger();
	put("before.state", state_before, AREA);
	put("after", after, sizeof after);
	put("after.state", state_after, AREA);
	put_thread("after.mask", "after.stack");
	return 0;
}
