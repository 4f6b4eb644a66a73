/*
 * A tree of processes that never ends by itself: children and grandchildren
 * that compute, sleep, read, wait, and hold every signal off that can be held.
 * Prints "ready" when all of them are there; only then do those that keep a processor
 * busy begin, lest they take it from those that are still to be made.
 */
#include "check.h"

static int up[2], never[2], go[2];

#define BUSY 3

static void there(void)
{
	CHECK(write(up[1], "t", 1) == 1);
}

static void child(void (*f)(void))
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		f();
		_exit(0);
	}
}

static void waits_for_all(void)
{
	char c;
	there();
	CHECK(read(go[0], &c, 1) == 1);
}

static void computes(void)
{
	waits_for_all();
	for (volatile unsigned long n = 0;; n++)
		;
}

static void masks(void)
{
	sigset_t s;
	sigfillset(&s);
	CHECK(sigprocmask(SIG_BLOCK, &s, NULL) == 0);
	for (int i = 1; i < 32; i++)
		signal(i, SIG_IGN);
	there();
	for (;;)
		pause();
}

static void reads(void)
{
	char c;
	there();
	(void)!read(never[0], &c, 1);
}

static void own_session(void)
{
	CHECK(setsid() == getpid());
	there();
	for (;;)
		pause();
}

static void calls(void)
{
	waits_for_all();
	for (;;)
		(void)getppid();
}

static void parent_of_two(void)
{
	child(computes);
	child(reads);
	there();
	while (wait(NULL) > 0)
		;
}

/* Its child is an orphan from the start. */
static void leaves_orphan(void)
{
	child(own_session);
	there();
}

int main(void)
{
	begin();
	CHECK(pipe(up) == 0 && pipe(never) == 0 && pipe(go) == 0);
	child(computes);
	child(masks);
	child(calls);
	child(own_session);
	child(parent_of_two);
	child(leaves_orphan);
	char c;
	for (int i = 0; i < 9; i++)
		CHECK(read(up[0], &c, 1) == 1);
	CHECK(write(go[1], "goo", BUSY) == BUSY);
	puts("ready");
	reads();
	return 0;
}
