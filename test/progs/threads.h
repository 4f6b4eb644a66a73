/* Threads of which each gets its number, from 0 on. */
#include "check.h"
#include <pthread.h>

enum { MOST_THREADS = 16 };

/* Runs threads of start and waits until all have ended. */
static inline void run_threads(int threads, void *(*start)(void *))
{
	pthread_t thread[MOST_THREADS];
	CHECK(threads <= MOST_THREADS);
	for (long i = 0; i < threads; i++)
		CHECK(pthread_create(&thread[i], NULL, start, (void *)i) == 0);
	for (int i = 0; i < threads; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}
