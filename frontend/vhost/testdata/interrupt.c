/* Interruptible calls: a signal that comes at any time is kept exactly once, and
 * the call has either been made or not begun. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "interrupt.h"

char byte;

bool readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 0) == 1;
}

bool pending(int sig)
{
	sigset_t set;

	CHECK(sigpending(&set) == 0, "%m");
	return sigismember(&set, sig);
}

/* One call that reads a byte of fd while SIGUSR1 may come. */
struct block *reading(int fd)
{
	struct block *b = block(1);

	put_call(b, 0, SYS_read, (u64)fd, (u64)&byte, 1, MV_CALL_INTERRUPTIBLE);
	b->count = 1;
	b->signalled = 0;
	b->mask = ~signal_bit(SIGUSR1);
	memset(b->info, 0, sizeof(b->info));
	return b;
}

void queue(int pid, int sig, int value)
{
	union sigval v = { .sival_int = value };

	while (sigqueue(pid, sig, v) != 0)
		CHECK(errno == EAGAIN, "%m");
}

void check_kept(const struct block *b, int sig, int value)
{
	CHECK(b->signalled == 1, "%u", b->signalled);
	CHECK(info_signal(b) == sig && info_value(b) == value, "%d %d", info_signal(b), info_value(b));
}

/* A traced process has SIGTRAP unblocked by each trap. */
void check_all_blocked(u64 but)
{
	u64 mask = blocked_signals() | signal_bit(SIGKILL) | signal_bit(SIGSTOP) | but;

	CHECK(mask == ~0ULL, "%lx", mask);
}

void test_signal_before(void)
{
	int fd[2];
	struct block *b;

	CHECK(pipe(fd) == 0 && write(fd[1], "x", 1) == 1, "%m");
	b = reading(fd[0]);
	handle_signal(SIGUSR1, 0);
	handle_signal(SIGRTMIN, 0);
	b->mask &= ~signal_bit(SIGRTMIN);
	queue(getpid(), SIGRTMIN, 1);
	queue(getpid(), SIGRTMIN, 2);
	CHECK(on_block_stack(b, vhost_batch) == 0);
	CHECK(calls_of(b)->ret == MV_NOT_EXECUTED && b->done == 1);
	check_kept(b, SIGRTMIN, 1);
	check_all_blocked(0);
	CHECK(readable(fd[0]) && pending(SIGRTMIN));
	/* The second one is next, and then the call is made. */
	b->signalled = 0;
	on_block_stack(b, vhost_batch);
	check_kept(b, SIGRTMIN, 2);
	CHECK(calls_of(b)->ret == MV_NOT_EXECUTED && readable(fd[0]) && !pending(SIGRTMIN));
	b->signalled = 0;
	on_block_stack(b, vhost_batch);
	CHECK(!b->signalled && calls_of(b)->ret == 1 && byte == 'x');
	check_all_blocked(0);
}

/* Waits until a process sleeps, which it does nowhere but in the call. */
static void await_sleep(int pid)
{
	char path[64], text[512], *state;

	sprintf(path, "/proc/%d/stat", pid);
	for (;;) {
		FILE *f = fopen(path, "r");
		size_t n;

		CHECK(f, "%m");
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
		text[n] = 0;
		state = strrchr(text, ')');
		if (state && state[2] == 'S')
			return;
		usleep(1000);
	}
}

static void interrupt_read(u64 flags, i64 want)
{
	int fd[2], pid, parent = getpid();
	struct block *b;

	CHECK(pipe(fd) == 0, "%m");
	b = reading(fd[0]);
	handle_signal(SIGUSR1, flags);
	pid = fork();
	CHECK(pid >= 0, "%m");
	if (pid == 0) {
		await_sleep(parent);
		queue(parent, SIGUSR1, 5);
		_exit(0);
	}
	CHECK(on_block_stack(b, vhost_batch) == 0);
	CHECK(calls_of(b)->ret == want, "%ld", calls_of(b)->ret);
	check_kept(b, SIGUSR1, 5);
	check_all_blocked(0);
	CHECK(wait_status(pid) == 0);
	/* Nothing of what comes later is lost. */
	CHECK(write(fd[1], "y", 1) == 1);
	b->signalled = 0;
	on_block_stack(b, vhost_batch);
	CHECK(calls_of(b)->ret == 1 && byte == 'y' && !b->signalled);
}

void test_signal_during(void) { interrupt_read(0, -EINTR); }

/* With SA_RESTART the kernel puts the instruction pointer back to the call before
 * the handler runs. */
void test_signal_restart(void) { interrupt_read(SA_RESTART, MV_NOT_EXECUTED); }

void test_signal_none(void)
{
	int fd[2];
	struct block *b;

	CHECK(pipe(fd) == 0 && write(fd[1], "x", 1) == 1, "%m");
	b = reading(fd[0]);
	b->mask = ~0ULL;
	handle_signal(SIGUSR1, 0);
	queue(getpid(), SIGUSR1, 1);
	CHECK(on_block_stack(b, vhost_batch) == 0);
	CHECK(!b->signalled && calls_of(b)->ret == 1 && pending(SIGUSR1));
	check_all_blocked(0);
}

/* The handler for each place at which a signal can find the program: only between
 * the look at signalled and the call it changes the instruction pointer. */
static struct {
	u64 ip, want;
} place;

static u32 handle_at_place(struct block *b)
{
	ucontext_t u;
	siginfo_t info;

	memset(&u, 0, sizeof(u));
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGUSR1;
	info.si_value.sival_int = 9;
	u.uc_mcontext.gregs[REG_RIP] = (greg_t)place.ip;
	b->signalled = 0;
	vhost_signal(SIGUSR1, &info, &u);
	check_kept(b, SIGUSR1, 9);
	CHECK(!memcmp(b->info, &info, sizeof(b->info)));
	CHECK((u64)u.uc_mcontext.gregs[REG_RIP] == place.want, "%lx: %llx", place.ip, u.uc_mcontext.gregs[REG_RIP]);
	memcpy(&place.ip, &u.uc_sigmask, 8);
	CHECK(place.ip == ~0ULL, "%lx", place.ip);
	return 0;
}

void test_signal_window(void)
{
	u64 first = (u64)vhost_unless_first, last = (u64)vhost_unless_last, ip;

	CHECK(first < last && last + 3 == (u64)vhost_unless_out);
	/* The last address of the window is that of the call's instruction. */
	CHECK(!memcmp(vhost_unless_last, "\x0f\x05\xc3", 3));
	for (ip = first - 20; ip < last + 20; ip++) {
		place.ip = ip;
		place.want = ip >= first && ip <= last ? (u64)vhost_unless_out : ip;
		on_block_stack(block(2), handle_at_place);
	}
}

/* Many signals and many bytes, from another process at its own speed. */
enum { STORM = 3000 };

static void make_storm(int to, int fd)
{
	struct random r = { 3 };
	int i;

	for (i = 0; i < STORM; i++) {
		u32 wait = next_random(&r, 2000);
		char c = (char)i;

		queue(to, SIGRTMIN, i);
		while (wait--)
			__builtin_ia32_pause();
		CHECK(write(fd, &c, 1) == 1, "%m");
		if (next_random(&r, 8) == 0)
			usleep(next_random(&r, 200));
	}
	_exit(0);
}

void test_signal_storm(void)
{
	int fd[2], pid, parent = getpid(), signals = 0, bytes = 0, interrupted = 0;
	struct block *b;

	CHECK(pipe(fd) == 0, "%m");
	b = reading(fd[0]);
	b->mask = ~signal_bit(SIGRTMIN);
	handle_signal(SIGRTMIN, 0);
	pid = fork();
	CHECK(pid >= 0, "%m");
	if (pid == 0)
		make_storm(parent, fd[1]);
	while (signals < STORM || bytes < STORM) {
		i64 ret;

		b->signalled = 0;
		on_block_stack(b, vhost_batch);
		ret = calls_of(b)->ret;
		if (b->signalled)
			check_kept(b, SIGRTMIN, signals++);
		else
			CHECK(ret == 1, "%ld", ret);
		if (ret == 1) {
			CHECK(byte == (char)bytes, "%d", bytes);
			bytes++;
		} else {
			CHECK(ret == MV_NOT_EXECUTED || ret == -EINTR, "%ld", ret);
			interrupted++;
		}
		check_all_blocked(0);
		/* The last bytes are read without anything that could interrupt. */
		if (signals == STORM && bytes < STORM)
			b->mask = ~0ULL;
	}
	CHECK(wait_status(pid) == 0);
	printf("%d calls were interrupted\n", interrupted);
}
