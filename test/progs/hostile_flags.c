/*
 * Other ways into the kernel, and processor flags that a call should not find:
 * trap, alignment check, direction, nested task.
 */
#include "hostile.h"
#include <setjmp.h>

static volatile int traps;
static void count(int n, siginfo_t *si, void *u)
{
	UNUSED(n);
	UNUSED(si);
	UNUSED(u);
	traps++;
}

static long int80(long nr)
{
	long ret = nr;
	__asm__ volatile("int $0x80" : "+a"(ret) : "b"(0), "c"(0), "d"(0), "S"(0), "D"(0) : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

static long flagged(long set, long nr)
{
	long ret = nr;
	__asm__ volatile("pushf\n\torq %[set], (%%rsp)\n\tpopf\n\tsyscall\n\tpushf\n\tandq $~0x44500, (%%rsp)\n\tpopf\n\tcld"
			 : "+a"(ret) : [set] "r"(set), "D"(0L), "S"(0L), "d"(0L) : "rcx", "r11", "memory", "cc");
	return ret;
}

/* One instruction after the other is a trap; calls among them. */
static int stepping(void)
{
	struct sigaction a = {.sa_sigaction = count, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(SIGTRAP, &a, NULL) == 0);
	for (int i = 0; i < 20; i++)
		CHECK(flagged(0x100, SYS_getpid) == getpid());
	/* How many traps there are depends on the processor's ways around a call. */
	CHECK(traps >= 20 && traps < 400);
	return 0;
}

static int direction(void)
{
	CHECK(flagged(0x400, SYS_getppid) == getppid());
	CHECK(flagged(0x4000, SYS_getppid) == getppid());
	CHECK(flagged(0x40000, SYS_getppid) == getppid());
	return 0;
}

static int flags_kept(void)
{
	unsigned long flags;
	long ret = SYS_getpid;
	__asm__ volatile("pushf\n\torq $0x8d5, (%%rsp)\n\tpopf\n\tsyscall\n\tpushf\n\tpop %[f]"
			 : "+a"(ret), [f] "=r"(flags) : "D"(0L) : "rcx", "r11", "memory", "cc");
	CHECK(ret == getpid());
	CHECK((flags & 0x8d5) == 0x8d5);
	return 0;
}

static int registers_kept(void)
{
	unsigned long rcx, r11, rbx = 0x1111, r15;
	long ret = SYS_getpid;
	__asm__ volatile("mov $0x5555, %%r15\n\tsyscall\n1:\n\tlea 1b(%%rip), %%rdx\n\tsub %%rdx, %%rcx\n\tmov %%r15, %[r15]"
			 : "+a"(ret), "=&c"(rcx), "+b"(rbx), [r15] "=&r"(r15) : "D"(1L), "S"(2L) : "rdx", "r11", "r15", "memory", "cc");
	__asm__ volatile("syscall\n\tmov %%r11, %[r]" : [r] "=r"(r11) : "a"((long)SYS_getpid) : "rcx", "r11", "memory");
	CHECK(rcx == 0 && rbx == 0x1111 && r15 == 0x5555 && (r11 & 2) == 2);
	return 0;
}

static int single(const char *what)
{
	if (!strcmp(what, "int3"))
		__asm__ volatile("int3");
	if (!strcmp(what, "icebp"))
		__asm__ volatile(".byte 0xf1");
	if (!strcmp(what, "ud2"))
		__asm__ volatile("ud2");
	if (!strcmp(what, "hlt"))
		__asm__ volatile("hlt");
	if (!strcmp(what, "cli"))
		__asm__ volatile("cli");
	if (!strcmp(what, "int 1"))
		__asm__ volatile(".byte 0xcd, 1");
	if (!strcmp(what, "int 13"))
		__asm__ volatile("int $13");
	if (!strcmp(what, "int 255"))
		__asm__ volatile("int $255");
	if (!strcmp(what, "in"))
		__asm__ volatile("in $0x60, %%al" ::: "rax");
	if (!strcmp(what, "divide"))
		__asm__ volatile("xor %%ecx, %%ecx\n\txor %%edx, %%edx\n\tdiv %%ecx" ::: "rax", "rcx", "rdx");
	if (!strcmp(what, "rdmsr"))
		__asm__ volatile("rdmsr" ::: "rax", "rcx", "rdx");
	if (!strcmp(what, "far jump"))
		__asm__ volatile("push $0x33\n\tpush $0\n\tlretq");
	if (!strcmp(what, "non-canonical jump"))
		__asm__ volatile("jmp *%0" ::"r"(0x8000000000000000));
	if (!strcmp(what, "kernel jump"))
		__asm__ volatile("jmp *%0" ::"r"(0xffffffff81000000));
	if (!strcmp(what, "null jump"))
		__asm__ volatile("jmp *%0" ::"r"(0L));
	if (!strcmp(what, "trap flag"))
		__asm__ volatile("pushf\n\torq $0x100, (%%rsp)\n\tpopf\n\tnop" ::: "cc", "memory");
	if (!strcmp(what, "trap flag at a call"))
		flagged(0x100, SYS_getpid);
	return 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	/* 32-bit calls are not for variants: no result is right, a crash of the rest would be. */
	CHILD("int 0x80", (int80(20), int80(-1), int80(400), 0));
	CHILD("x32", (raw6(0x40000000 + SYS_getpid, 0, 0, 0, 0, 0, 0), raw6(0x40000000 + 512, 0, 0, 0, 0, 0, 0), raw6(0x40000000 + 599, 0, 0, 0, 0, 0, 0), 0));
	CHILD("stepping", stepping());
	CHILD("direction", direction());
	CHILD("flags kept", flags_kept());
	CHILD("registers kept", registers_kept());
	static const char *const singles[] = {"int3", "icebp", "ud2", "hlt", "cli", "int 1", "int 13", "int 255", "in", "divide", "rdmsr",
		"far jump", "non-canonical jump", "kernel jump", "null jump", "trap flag", "trap flag at a call"};
	for (size_t i = 0; i < sizeof singles / sizeof *singles; i++)
		CHILD(singles[i], single(singles[i]));
	return sting();
}
