/*
 * Signals at any moment of calls that sleep, are restarted or are about to begin: each is
 * handled, none wakes nobody, and one that a process sends to itself is handled before the
 * call returns. More rounds are the second argument.
 */
#include "check.h"
#include <poll.h>
#include <sys/select.h>

enum { ROUNDS = 40 };

static volatile sig_atomic_t hits;
static int acks[2], idle[2];

/* What the other one waits for before it sends the next. */
static void acknowledges(int sig)
{
	int e = errno;
	UNUSED(sig);
	hits++;
	CHECK(write(acks[1], "a", 1) == 1);
	errno = e;
}

static void counts(int sig)
{
	UNUSED(sig);
	hits++;
}

static void handle(int sig, void (*f)(int), int flags)
{
	struct sigaction sa = {.sa_handler = f, .sa_flags = flags};
	CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void itself(int rounds)
{
	sigset_t rt, old;
	int number = SIGRTMIN + 3;
	union sigval v = {.sival_int = 1};
	handle(number, counts, 0);
	handle(SIGUSR2, counts, SA_RESTART);
	sigemptyset(&rt);
	sigaddset(&rt, number);
	hits = 0;
	for (int i = 0; i < rounds; i++) {
		CHECK(sigqueue(getpid(), number, v) == 0 && hits == 4 * i + 1);
		CHECK(raise(SIGUSR2) == 0 && hits == 4 * i + 2);
		CHECK(kill(getpid(), number) == 0 && hits == 4 * i + 3);
		/* Held back, and let through by the call that unblocks it. */
		CHECK(sigprocmask(SIG_BLOCK, &rt, &old) == 0 && kill(getpid(), number) == 0 && hits == 4 * i + 3);
		CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && hits == 4 * i + 4);
	}
}

static sigset_t open_mask;

static void suspends(void) { CHECK_ERR(sigsuspend(&open_mask), EINTR); }
static void polls(void)
{
	struct pollfd p = {idle[0], POLLIN, 0};
	CHECK_ERR(ppoll(&p, 1, NULL, &open_mask), EINTR);
}
static void selects(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(idle[0], &set);
	CHECK_ERR(pselect(idle[0] + 1, &set, NULL, NULL, NULL, &open_mask), EINTR);
}

/* The signal is blocked but in the call, so that each wakes it, whenever it comes. */
static void woken(void (*call)(void), int rounds)
{
	hits = 0;
	handle(SIGUSR1, acknowledges, 0);
	for (int i = 0; i < rounds; i++) {
		call();
		CHECK(hits == i + 1);
	}
}

/* A read that goes on behind each signal, until there is something to read. */
static void restarted(int rounds)
{
	sigset_t none, old;
	char c;
	sigemptyset(&none);
	hits = 0;
	handle(SIGUSR1, acknowledges, SA_RESTART);
	CHECK(sigprocmask(SIG_SETMASK, &none, &old) == 0);
	CHECK(read(idle[0], &c, 1) == 1 && hits == rounds);
	CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

/* Sends rounds signals, each at some moment behind the one before. */
static void sends(pid_t to, int rounds, unsigned *seed)
{
	char c;
	for (int i = 0; i < rounds; i++) {
		*seed = *seed * 1103515245u + 12345u;
		switch (*seed >> 16 & 3) {
		case 0: break;
		case 1: for (volatile unsigned k = *seed >> 18; k > 0; k--) ; break;
		case 2: usleep(*seed >> 20 & 255); break;
		case 3: wait_until_blocked(to); break;
		}
		CHECK(kill(to, SIGUSR1) == 0);
		CHECK(read(acks[0], &c, 1) == 1);
	}
}

int main(int argc, char **argv)
{
	begin();
	int rounds = argc > 2 ? atoi(argv[2]) : ROUNDS;
	itself(rounds);
	ok("to itself");

	static void (*const calls[])(void) = {suspends, polls, selects};
	sigset_t usr1;
	CHECK(pipe(acks) == 0 && pipe(idle) == 0);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &usr1, &open_mask) == 0);
	handle(SIGUSR1, acknowledges, 0);
	pid_t parent = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		unsigned seed = 7;
		for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
			sends(parent, rounds, &seed);
		sends(parent, rounds, &seed);
		CHECK(write(idle[1], "x", 1) == 1);
		_exit(0);
	}
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
		woken(calls[i], rounds);
	ok("woken");
	restarted(rounds);
	ok("restarted");
	reap_exit(child, 0);
	return 0;
}
