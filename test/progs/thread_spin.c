/*
 * Threads that wait for one another without a call: flags in memory, a spin lock
 * whose owner sleeps, a barrier of atomics. Natively they run beside each other; where
 * one runs at a time, the one that looks has to let the others run.
 */
#include "threads.h"
#include <stdatomic.h>

enum { THREADS = 3, ROUNDS = 1 };

static atomic_int turn, arrived, ready, written;
static pthread_spinlock_t lock;

static void await(atomic_int *what, int value)
{
	while (atomic_load(what) != value)
		;
}

/* Each waits until it is its turn, the last one's next is the first. */
static void *in_turn(void *arg)
{
	int self = (int)(long)arg;
	for (int i = 0; i < ROUNDS; i++) {
		await(&turn, i * THREADS + self);
		CHECK(printf("round %d: %d\n", i, self) > 0 && fflush(stdout) == 0);
		atomic_fetch_add(&turn, 1);
	}
	return NULL;
}

static void *lock_it(void *arg)
{
	CHECK(arg == NULL);
	await(&ready, 1);
	CHECK(pthread_spin_lock(&lock) == 0);
	CHECK(atomic_load(&written) == 1);
	CHECK(pthread_spin_unlock(&lock) == 0);
	return NULL;
}

static void *meet(void *arg)
{
	CHECK(arg == NULL);
	atomic_fetch_add(&arrived, 1);
	await(&arrived, THREADS);
	return NULL;
}

int main(void)
{
	pthread_t thread;
	run_threads(THREADS, in_turn);
	puts("turns");
	CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
	CHECK(pthread_create(&thread, NULL, lock_it, NULL) == 0);
	CHECK(pthread_spin_lock(&lock) == 0);
	atomic_store(&ready, 1);
	CHECK(usleep(300000) == 0);
	atomic_store(&written, 1);
	CHECK(pthread_spin_unlock(&lock) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	puts("spin lock");
	pthread_t others[THREADS - 1];
	for (int i = 0; i < THREADS - 1; i++)
		CHECK(pthread_create(&others[i], NULL, meet, NULL) == 0);
	meet(NULL);
	for (int i = 0; i < THREADS - 1; i++)
		CHECK(pthread_join(others[i], NULL) == 0);
	puts("barrier");
	return 0;
}
