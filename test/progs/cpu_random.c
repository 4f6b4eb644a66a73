/* Random numbers of the processor's: the same in all variants, in every register and size, in
 * children and threads, and an invalid instruction beside them stays one. */
#include "check.h"

#include <pthread.h>
#include <setjmp.h>

/* What is written here natively is not the same twice; variants have to agree. */
static int nowhere;

static void tell(uint64_t v) { write_all(nowhere, &v, sizeof(v)); }

/* An instruction that gives a number to a register, which had v before, until it does. */
#define RANDOM(instruction, reg, v)                                                        \
	({                                                                                 \
		uint64_t got;                                                              \
		__asm__ volatile("1: mov %1, %%" reg "\n\t" instruction "\n\tjnc 1b\n\t"   \
				 "mov %%" reg ", %0"                                       \
				 : "=m"(got)                                               \
				 : "r"((uint64_t)(v))                                      \
				 : reg, "cc", "memory");                                   \
		got;                                                                       \
	})

#define PATTERN 0xa5a5a5a5a5a5a5a5

static void all_sizes(void)
{
	uint64_t v, flags;

	v = RANDOM("rdrand %%rax", "rax", 0);
	CHECK(v != 0);
	tell(v);
	v = RANDOM("rdrand %%r8", "r8", PATTERN);
	CHECK(v != PATTERN);
	tell(v);
	v = RANDOM("rdrand %%r15", "r15", 0);
	tell(v);
	v = RANDOM("rdrand %%edi", "rdi", PATTERN);
	CHECK(v >> 32 == 0);
	tell(v);
	v = RANDOM("rdrand %%r14d", "r14", PATTERN);
	CHECK(v >> 32 == 0);
	tell(v);
	v = RANDOM("rdrand %%bx", "rbx", PATTERN);
	CHECK(v >> 16 == PATTERN >> 16);
	tell(v);
	v = RANDOM("rdrand %%r9w", "r9", PATTERN);
	CHECK(v >> 16 == PATTERN >> 16);
	tell(v);
	v = RANDOM("rdseed %%rsi", "rsi", 0);
	CHECK(v != 0);
	tell(v);
	v = RANDOM("rdseed %%ecx", "rcx", PATTERN);
	CHECK(v >> 32 == 0);
	tell(v);
	v = RANDOM("rdseed %%r12w", "r12", PATTERN);
	CHECK(v >> 16 == PATTERN >> 16);
	tell(v);
	/* All arithmetic flags are clear behind it but for that which says that there is a number. */
	__asm__ volatile("1: mov $-1, %%eax\n\tadd $1, %%eax\n\trdrand %%rdx\n\tjnc 1b\n\tpushf\n\tpop %0"
			 : "=r"(flags) : : "rax", "rdx", "cc", "memory");
	CHECK((flags & 0x8d5) == 1);
}

static void *in_thread(void *arg)
{
	all_sizes();
	return arg;
}

static sigjmp_buf back;
static volatile int raised;

static void on_ill(int sig, siginfo_t *info, void *context)
{
	UNUSED(context);
	CHECK(sig == SIGILL && info->si_code > 0);
	raised++;
	siglongjmp(back, 1);
}

/* As what the instructions may have been changed to. */
static void invalid(void)
{
	if (!sigsetjmp(back, 1))
		__asm__ volatile("ud2\n\t.byte 0xf0");
	if (!sigsetjmp(back, 1))
		__asm__ volatile(".byte 0x48, 0x0f, 0x0b, 0xf8");
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_sigaction = on_ill, .sa_flags = SA_SIGINFO};
	pthread_t thread;
	pid_t child;
	int i;

	begin();
	if (argc > 1 && !strcmp(argv[1], "executed")) {
		ok("executed");
		return 0;
	}
	nowhere = open("/dev/null", O_WRONLY);
	CHECK(nowhere >= 0);
	all_sizes();
	ok("all sizes");
	CHECK(!sigaction(SIGILL, &act, NULL));
	invalid();
	CHECK(raised == 2);
	all_sizes();
	ok("beside invalid instructions");
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		all_sizes();
		_exit(7);
	}
	reap_exit(child, 7);
	ok("in a child");
	CHECK(!pthread_create(&thread, NULL, in_thread, NULL));
	all_sizes();
	CHECK(!pthread_join(thread, NULL));
	ok("in a thread");
	for (i = 0; i < 2000; i++)
		tell(RANDOM("rdrand %%rax", "rax", 0));
	ok("two thousand");
	/* Followers may be far behind. */
	fflush(stdout);
	execl(argv[0], argv[0], "executed", NULL);
	return 1;
}
