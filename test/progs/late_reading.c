/* A build with LATE=1 computes for ever where the other one is about to read a clock, while another
 * thread wants its turn. */
#include "check.h"
#include <pthread.h>

#ifndef LATE
#define LATE 0
#endif

static volatile int late = LATE;

static void *calls(void *arg)
{
	UNUSED(arg);
	for (;;)
		getppid();
	return NULL;
}

static void rounds(int n)
{
	struct timespec t;
	for (int i = 0; i < n; i++)
		CHECK(getppid() > 0 && clock_gettime(CLOCK_MONOTONIC, &t) == 0);
}

int main(void)
{
	pthread_t other;
	struct timespec t;
	rounds(6000);
	CHECK(pthread_create(&other, NULL, calls, NULL) == 0);
	rounds(300);
	CHECK(getppid() > 0);
	while (late)
		;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	for (volatile long i = 0; i < 1000000000; i++)
		;
	CHECK(getppid() > 0);
	_exit(0);
}
