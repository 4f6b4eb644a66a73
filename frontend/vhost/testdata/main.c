/* The program of the tests: "tests NAME" runs one, without arguments it names all.
 * "tests block FD", "tests words TEXT", "tests agent SIZE", "tests names" and "tests ring ..." serve tests that are in Go. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "ring_test.h"

void show_block(int fd);
void show_words(const char *text);
int agent_program(u64 table_size);
int names_program(void);

hook_fn *hook;
hook_fn __wrap_vhost_call;

i64 __wrap_vhost_call(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	return (hook ? hook : __real_vhost_call)(nr, a, b, c, d, e, f);
}

struct block *block(int i)
{
	return (struct block *)(MV_BLOCKS + (u64)i * MV_BLOCK_SIZE);
}

struct call *calls_of(struct block *b)
{
	return (struct call *)((u8 *)b + MV_CALLS);
}

static void map(u64 at, size_t size)
{
	void *got = mmap((void *)at, size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	CHECK(got == (void *)at, "%m");
}

/* struct sigaction as the kernel knows it. */
struct kernel_action {
	u64 handler, flags, restorer, mask;
};

extern const char vhost_handler[];

void handle_signal(int sig, u64 flags)
{
	/* Layout.go says where the restorer is. */
	struct kernel_action act = {
		(u64)vhost_handler, SA_SIGINFO | 0x04000000 | flags, (u64)vhost_handler + 16, ~0ULL,
	};

	CHECK(syscall(SYS_rt_sigaction, sig, &act, NULL, 8) == 0, "%m");
}

u64 blocked_signals(void)
{
	u64 mask = 0;

	CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8) == 0, "%m");
	return mask;
}

void block_all_signals(void)
{
	u64 mask = ~0ULL;

	CHECK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8) == 0, "%m");
}

int info_signal(const struct block *b)
{
	siginfo_t info;

	memcpy(&info, b->info, sizeof(info));
	return info.si_signo;
}

int info_value(const struct block *b)
{
	siginfo_t info;

	memcpy(&info, b->info, sizeof(info));
	return info.si_value.sival_int;
}

void put_call(struct block *b, u32 i, i64 nr, u64 arg0, u64 arg1, u64 arg2, u32 flags)
{
	calls_of(b)[i] = (struct call){ .nr = nr, .arg = { arg0, arg1, arg2 }, .flags = flags };
}

static void futex(u32 *word, int op, u32 value)
{
	(void)syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

void post(struct block *b, u32 count, u32 flags)
{
	b->count = count;
	b->flags = flags;
	__atomic_store_n(&b->turn, MV_TURN_HOST, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&b->asleep, __ATOMIC_SEQ_CST))
		futex(&b->turn, 1, 1);
}

void await_report(struct block *b)
{
	for (;;) {
		u32 seen = __atomic_load_n(&the_bell->rung, __ATOMIC_SEQ_CST);

		if (__atomic_load_n(&b->turn, __ATOMIC_SEQ_CST) == MV_TURN_MONITOR)
			return;
		__atomic_store_n(&the_bell->asleep, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&the_bell->rung, __ATOMIC_SEQ_CST) == seen)
			futex(&the_bell->rung, 0, seen);
		__atomic_store_n(&the_bell->asleep, 0, __ATOMIC_SEQ_CST);
	}
}

int wait_status(int pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid, "%m");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

u32 next_random(struct random *r, u32 limit)
{
	r->state = r->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (u32)(r->state >> 33) % limit;
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
#define ENTRY(name) { #name, test_##name },
	TESTS(ENTRY)
};

int main(int argc, char **argv)
{
	size_t i;

	if (argc == 3 && !strcmp(argv[1], "block")) {
		show_block(atoi(argv[2]));
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "words")) {
		show_words(argv[2]);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "agent")) {
		map(MV_BLOCKS, BLOCKS * MV_BLOCK_SIZE);
		return agent_program(strtoull(argv[2], NULL, 10));
	}
	if (argc == 2 && !strcmp(argv[1], "names")) {
		map(MV_BLOCKS, BLOCKS * MV_BLOCK_SIZE);
		return names_program();
	}
	if (argc > 2 && !strcmp(argv[1], "ring"))
		return ring_program(argc - 2, argv + 2);
	if (argc == 1) {
		for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
			puts(tests[i].name);
		return 0;
	}
	map(MV_BELL, MV_PAGE);
	map(MV_BLOCKS, BLOCKS * MV_BLOCK_SIZE);
	block_all_signals();
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (argc == 2 && !strcmp(argv[1], tests[i].name)) {
			tests[i].run();
			return 0;
		}
	}
	fprintf(stderr, "no such test\n");
	return 2;
}
