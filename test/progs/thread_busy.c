/*
 * As many threads as the argument says compute for ever, and the first one waits, or
 * computes, too, with a second argument. It says its id.
 */
#include "check.h"
#include <pthread.h>

static void *compute(void *arg)
{
	for (volatile unsigned n = 0;; n++)
		;
	return arg;
}

int main(int argc, char **argv)
{
	CHECK(argc >= 2);
	for (int i = atoi(argv[1]); i > 0; i--) {
		pthread_t thread;
		CHECK(pthread_create(&thread, NULL, compute, NULL) == 0);
	}
	CHECK(printf("ready %d\n", getpid()) > 0 && fflush(stdout) == 0);
	if (argc > 2)
		compute(NULL);
	for (;;)
		pause();
}
