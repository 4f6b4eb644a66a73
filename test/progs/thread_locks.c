/*
 * Every kind of lock that threads wait at: recursive, checking and robust mutexes, the
 * last with owners that die, condition variables with limits of time, read-write locks,
 * barriers, semaphores, and threads that are cancelled while they wait.
 */
#include "threads.h"
#include <semaphore.h>
#include <time.h>

enum { THREADS = 4, ROUNDS = 30 };

static pthread_mutex_t mutex;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t items;
static int counter, cleaned;

static struct timespec in_ms(clockid_t clock, long ms)
{
	struct timespec ts;
	CHECK(clock_gettime(clock, &ts) == 0);
	ts.tv_nsec += ms * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

/* The owner sleeps, so that the others come to wait in the kernel. */
static void *hold(void *arg)
{
	CHECK((long)arg < THREADS);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(pthread_mutex_lock(&mutex) == 0);
		counter++;
		if (i % 10 == 0)
			CHECK(usleep(1000) == 0);
		CHECK(pthread_mutex_unlock(&mutex) == 0);
	}
	return NULL;
}

static void kind(const char *name, int type, int robust)
{
	pthread_mutexattr_t a;
	CHECK(pthread_mutexattr_init(&a) == 0);
	CHECK(pthread_mutexattr_settype(&a, type) == 0);
	CHECK(pthread_mutexattr_setrobust(&a, robust) == 0);
	CHECK(pthread_mutex_init(&mutex, &a) == 0);
	counter = 0;
	run_threads(THREADS, hold);
	CHECK(pthread_mutex_destroy(&mutex) == 0);
	printf("%s: %d\n", name, counter);
}

static void *die_with_it(void *arg)
{
	CHECK(pthread_mutex_lock(&mutex) == 0);
	return arg;
}

static void robust(void)
{
	pthread_mutexattr_t a;
	pthread_t thread;
	CHECK(pthread_mutexattr_init(&a) == 0);
	CHECK(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) == 0);
	CHECK(pthread_mutex_init(&mutex, &a) == 0);
	CHECK(pthread_create(&thread, NULL, die_with_it, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(pthread_mutex_lock(&mutex) == EOWNERDEAD);
	CHECK(pthread_mutex_consistent(&mutex) == 0);
	CHECK(pthread_mutex_unlock(&mutex) == 0);
	CHECK(pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0);
	CHECK(pthread_mutex_destroy(&mutex) == 0);
}

static void *own_for_long(void *arg)
{
	CHECK(pthread_mutex_lock(&mutex) == 0);
	CHECK(pthread_barrier_wait(&barrier) <= 0);
	CHECK(pthread_barrier_wait(&barrier) <= 0);
	CHECK(pthread_mutex_unlock(&mutex) == 0);
	return arg;
}

static void limits(void)
{
	pthread_condattr_t a;
	pthread_cond_t steady;
	pthread_t thread;
	CHECK(pthread_condattr_init(&a) == 0 && pthread_condattr_setclock(&a, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_cond_init(&steady, &a) == 0);
	CHECK(pthread_mutex_init(&mutex, NULL) == 0);
	CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
	CHECK(pthread_create(&thread, NULL, own_for_long, NULL) == 0);
	CHECK(pthread_barrier_wait(&barrier) <= 0);
	struct timespec ts = in_ms(CLOCK_REALTIME, 20);
	CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
	CHECK(pthread_mutex_timedlock(&mutex, &ts) == ETIMEDOUT);
	CHECK(pthread_barrier_wait(&barrier) <= 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(pthread_mutex_lock(&mutex) == 0);
	ts = in_ms(CLOCK_REALTIME, 20);
	CHECK(pthread_cond_timedwait(&changed, &mutex, &ts) == ETIMEDOUT);
	ts = in_ms(CLOCK_MONOTONIC, 20);
	CHECK(pthread_cond_timedwait(&steady, &mutex, &ts) == ETIMEDOUT);
	CHECK(pthread_cond_destroy(&steady) == 0);
	CHECK(pthread_mutex_unlock(&mutex) == 0);
	CHECK(sem_init(&items, 0, 0) == 0);
	ts = in_ms(CLOCK_REALTIME, 20);
	CHECK_ERR(sem_timedwait(&items, &ts), ETIMEDOUT);
	CHECK(pthread_barrier_destroy(&barrier) == 0);
	CHECK(pthread_mutex_destroy(&mutex) == 0);
}

static void *read_or_write(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		if ((i + (long)arg) % THREADS == 0) {
			CHECK(pthread_rwlock_wrlock(&rwlock) == 0);
			counter++;
			CHECK(usleep(200) == 0);
			CHECK(pthread_rwlock_unlock(&rwlock) == 0);
		} else {
			CHECK(pthread_rwlock_rdlock(&rwlock) == 0);
			CHECK(counter >= 0);
			CHECK(pthread_rwlock_unlock(&rwlock) == 0);
		}
	return NULL;
}

static void *meet(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		int last = pthread_barrier_wait(&barrier);
		CHECK(last == 0 || last == PTHREAD_BARRIER_SERIAL_THREAD);
		if (last)
			counter++;
	}
	return arg;
}

static void *take(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		CHECK(sem_wait(&items) == 0);
	return arg;
}

static void clean(void *arg) { cleaned += *(int *)arg; }

static void *wait_for_ever(void *arg)
{
	int one = 1;
	pthread_cleanup_push(clean, &one);
	if (arg) {
		CHECK(pthread_mutex_lock(&mutex) == 0);
		for (;;)
			pthread_cond_wait(&changed, &mutex);
	}
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancelled(void)
{
	pthread_t thread;
	void *end;
	CHECK(pthread_mutex_init(&mutex, NULL) == 0);
	for (long i = 0; i < 4; i++) {
		CHECK(pthread_create(&thread, NULL, wait_for_ever, (void *)(i % 2)) == 0);
		CHECK(usleep(2000) == 0);
		CHECK(pthread_cancel(thread) == 0);
		CHECK(pthread_join(thread, &end) == 0 && end == PTHREAD_CANCELED);
		if (i % 2)
			CHECK(pthread_mutex_unlock(&mutex) == 0);
	}
	printf("cancelled: %d\n", cleaned);
}

int main(void)
{
	kind("plain", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
	kind("recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
	kind("checking", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED);
	kind("robust", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
	robust();
	puts("owners die");
	limits();
	puts("limits");
	counter = 0;
	run_threads(THREADS, read_or_write);
	CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
	run_threads(THREADS, meet);
	printf("read, written and met: %d\n", counter);
	CHECK(sem_init(&items, 0, 0) == 0);
	pthread_t taker;
	CHECK(pthread_create(&taker, NULL, take, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++)
		CHECK(sem_post(&items) == 0 && (i % 8 != 0 || usleep(300) == 0));
	CHECK(pthread_join(taker, NULL) == 0);
	puts("taken");
	cancelled();
	return 0;
}
