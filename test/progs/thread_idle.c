/*
 * A thread that looks for work for a while before it sleeps on a mutex, as those of
 * servers do, and a main thread that lets it when it may be looking, about to sleep, or
 * asleep: which of these it is decides about calls of both.
 */
#include "threads.h"
#include <stdatomic.h>

enum { ROUNDS = 20, LOOKS = 2000000 };

static pthread_mutex_t idle = PTHREAD_MUTEX_INITIALIZER;
static atomic_int looks, work, over;

static int look(void)
{
	for (int i = atomic_load(&looks); i > 0; i--)
		if (atomic_load(&work) != 0)
			return 1;
	return 0;
}

static void *serve(void *arg)
{
	CHECK(arg == NULL);
	while (atomic_load(&over) == 0) {
		if (look()) {
			atomic_store(&work, 0);
			continue;
		}
		CHECK(pthread_mutex_lock(&idle) == 0);
		CHECK(pthread_mutex_unlock(&idle) == 0);
	}
	return NULL;
}

int main(void)
{
	pthread_t thread;
	CHECK(pthread_mutex_lock(&idle) == 0);
	CHECK(pthread_create(&thread, NULL, serve, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		atomic_store(&looks, (i % 10 + 1) * LOOKS);
		CHECK(usleep((useconds_t)(i % 7) * 500) == 0);
		CHECK(pthread_mutex_unlock(&idle) == 0);
		/* One that is found looking often enough has to let others run ever sooner. */
		for (int k = 0; k < (i == 0 ? 6 : 2); k++)
			CHECK(usleep(1000) == 0);
		atomic_store(&work, i % 2);
		CHECK(pthread_mutex_lock(&idle) == 0);
	}
	atomic_store(&over, 1);
	CHECK(pthread_mutex_unlock(&idle) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	puts("done");
	return 0;
}
