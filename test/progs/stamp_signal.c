/*
 * Signals that come while the program reads the time stamp counter. Where it does nothing else they
 * come in front of the same read in all variants, which how many there have been shows.
 */
#include "check.h"
#include <setjmp.h>
#include <sys/time.h>
#include <x86intrin.h>

enum { TIMES = 30, MOST = 2000000000 };

static volatile sig_atomic_t hits;
static volatile unsigned long long last;
static sigjmp_buf back;
static int null;

static void counts(int sig)
{
	UNUSED(sig);
	unsigned long long now = __rdtsc();
	CHECK(now >= last);
	last = now;
	hits++;
}

static void leaves(int sig)
{
	UNUSED(sig);
	siglongjmp(back, 1);
}

static void action(void (*f)(int))
{
	struct sigaction sa = {.sa_handler = f};
	sigemptyset(&sa.sa_mask);
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
}

/* How many reads there were is compared. */
static void tell(unsigned long n)
{
	CHECK(write(null, &n, sizeof(n)) == sizeof(n));
}

static void timer(long usec, int again)
{
	struct itimerval t = {{0, again ? usec : 0}, {0, usec}};
	CHECK(setitimer(ITIMER_REAL, &t, NULL) == 0);
}

int main(void)
{
	unsigned aux;
	volatile unsigned long n;
	sigset_t set;

	begin();
	null = open("/dev/null", O_WRONLY);
	CHECK(null >= 0);

	action(counts);
	timer(1000, 1);
	for (n = 0; hits < TIMES && n < MOST; n++)
		last = __rdtsc();
	CHECK(hits >= TIMES);
	tell(n);
	for (n = 0; hits < 2 * TIMES && n < MOST; n++)
		last = __rdtscp(&aux);
	tell(n);

	/* Some come where a handler returns to such an instruction. */
	for (n = 0; n < 4000; n++)
		last = __rdtsc();
	tell(hits);

	/* What is blocked waits for the call that lets it in. */
	timer(0, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	hits = 0;
	timer(1000, 0);
	for (n = 0; n < 20000; n++)
		last = __rdtsc();
	CHECK(hits == 0);
	while (sigpending(&set) == 0 && !sigismember(&set, SIGALRM))
		usleep(1000);
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
	CHECK(hits == 1);

	/* One that comes behind the look at what it changes, and in front of a read, ends the wait. */
	for (int i = 0; i < 5; i++) {
		hits = 0;
		timer(2000, 0);
		for (n = 0; n < 20000000; n++)
			;
		if (!hits) {
			last = __rdtsc();
			pause();
		}
		CHECK(hits == 1);
	}

	/* A handler need not come back. */
	action(leaves);
	for (volatile int i = 0; i < 10; i++) {
		n = 0;
		if (!sigsetjmp(back, 1)) {
			timer(1000, 0);
			for (; n < MOST; n++)
				last = __rdtsc();
		}
		tell(n);
	}
	ok("signals");
	return 0;
}
