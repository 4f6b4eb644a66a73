/* Processes that end while a thread of theirs comes to be. */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>

enum { TIMES = 30 };

static void *nothing(void *arg) { return arg; }

static void *ends(void *arg)
{
	long us = *(long *)arg;
	struct timespec t = { 0, us * 1000 };

	nanosleep(&t, NULL);
	_exit(7);
}

static void child(long us)
{
	pthread_attr_t detached;
	pthread_t t;

	CHECK(!pthread_attr_init(&detached) && !pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED));
	CHECK(!pthread_create(&t, &detached, ends, &us));
	/* There may be too many for a moment. */
	for (;;)
		pthread_create(&t, &detached, nothing, NULL);
}

int main(void)
{
	int i, status;

	begin();
	for (i = 0; i < TIMES; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			child(2000 + i * 311 % 7000);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	ok("ends");
	return 0;
}
