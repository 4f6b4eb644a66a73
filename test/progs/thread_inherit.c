/* Mutexes that inherit priorities: contention, conditions, time limits, owners that die. */
#include "threads.h"
#include <sched.h>
#include <sys/wait.h>

enum { THREADS = 4, ROUNDS = 200 };

static pthread_mutex_t lock;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long counter, turn;

static void make(pthread_mutex_t *m, int type, int robust, int shared)
{
	pthread_mutexattr_t a;
	CHECK(pthread_mutexattr_init(&a) == 0);
	CHECK(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT) == 0);
	CHECK(pthread_mutexattr_settype(&a, type) == 0);
	CHECK(pthread_mutexattr_setrobust(&a, robust ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED) == 0);
	CHECK(pthread_mutexattr_setpshared(&a, shared ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE) == 0);
	CHECK(pthread_mutex_init(m, &a) == 0);
	CHECK(pthread_mutexattr_destroy(&a) == 0);
}

static void *count(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(pthread_mutex_lock(&lock) == 0);
		long seen = counter;
		if (i % 7 == 0)
			sched_yield();
		if (i % 50 == 0)
			sleep_ms(1);
		counter = seen + 1;
		CHECK(pthread_mutex_unlock(&lock) == 0);
	}
	return arg;
}

static void *in_turn(void *arg)
{
	for (int i = 0; i < 20; i++) {
		CHECK(pthread_mutex_lock(&lock) == 0);
		while (turn % THREADS != (long)arg)
			CHECK(pthread_cond_wait(&cond, &lock) == 0);
		turn++;
		CHECK(pthread_cond_broadcast(&cond) == 0);
		CHECK(pthread_mutex_unlock(&lock) == 0);
	}
	return arg;
}

static struct timespec after_ms(long ms)
{
	struct timespec t;
	CHECK(clock_gettime(CLOCK_REALTIME, &t) == 0);
	t.tv_nsec += ms * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static volatile sig_atomic_t rang, holding;

static void *other(void *arg)
{
	pthread_mutex_t *m = arg;
	struct timespec limit = after_ms(30);
	CHECK(pthread_mutex_trylock(m) == EBUSY);
	CHECK(pthread_mutex_timedlock(m, &limit) == ETIMEDOUT);
	limit = after_ms(100000);
	CHECK(pthread_mutex_timedlock(m, &limit) == 0);
	CHECK(pthread_mutex_unlock(m) == 0);
	return NULL;
}

static void ring(int sig)
{
	UNUSED(sig);
	rang++;
}

static void *interrupted(void *arg)
{
	CHECK(pthread_mutex_lock(arg) == 0);
	CHECK(rang == 1);
	CHECK(pthread_mutex_unlock(arg) == 0);
	return NULL;
}

static void *dies(void *arg)
{
	CHECK(pthread_mutex_lock(arg) == 0);
	holding = 1;
	sleep_ms(50);
	return NULL;
}

int main(void)
{
	begin();
	make(&lock, PTHREAD_MUTEX_NORMAL, 0, 0);
	run_threads(THREADS, count);
	CHECK(counter == THREADS * ROUNDS);
	ok("contention");
	run_threads(THREADS, in_turn);
	CHECK(turn == THREADS * 20);
	ok("conditions");

	pthread_t t;
	CHECK(pthread_mutex_lock(&lock) == 0);
	CHECK(pthread_create(&t, NULL, other, &lock) == 0);
	sleep_ms(80);
	CHECK(pthread_mutex_unlock(&lock) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	ok("time limits");

	struct sigaction sa = {.sa_handler = ring};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(pthread_mutex_lock(&lock) == 0);
	CHECK(pthread_create(&t, NULL, interrupted, &lock) == 0);
	sleep_ms(50);
	CHECK(pthread_kill(t, SIGUSR1) == 0);
	while (!rang)
		sleep_ms(1);
	CHECK(pthread_mutex_unlock(&lock) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	ok("a handler runs while its thread waits");

	pthread_mutex_t check, again;
	make(&check, PTHREAD_MUTEX_ERRORCHECK, 0, 0);
	make(&again, PTHREAD_MUTEX_RECURSIVE, 0, 0);
	CHECK(pthread_mutex_lock(&check) == 0 && pthread_mutex_lock(&check) == EDEADLK);
	CHECK(pthread_mutex_unlock(&check) == 0 && pthread_mutex_unlock(&check) == EPERM);
	CHECK(pthread_mutex_lock(&again) == 0 && pthread_mutex_lock(&again) == 0);
	CHECK(pthread_mutex_unlock(&again) == 0 && pthread_mutex_unlock(&again) == 0);
	ok("types");

	/* An owner that is gone, before others come and while one waits. */
	pthread_mutex_t robust;
	make(&robust, PTHREAD_MUTEX_NORMAL, 1, 0);
	CHECK(pthread_create(&t, NULL, dies, &robust) == 0 && pthread_join(t, NULL) == 0);
	CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
	CHECK(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
	holding = 0;
	CHECK(pthread_create(&t, NULL, dies, &robust) == 0);
	while (!holding)
		sleep_ms(1);
	CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
	CHECK(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(pthread_mutex_lock(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
	ok("owners that die");

	/* Between processes. */
	struct common { pthread_mutex_t m; long n; } *c = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(c != MAP_FAILED);
	make(&c->m, PTHREAD_MUTEX_NORMAL, 0, 1);
	pid_t child[3];
	for (int i = 0; i < 3; i++) {
		child[i] = fork();
		CHECK(child[i] >= 0);
		if (child[i] > 0)
			continue;
		for (int k = 0; k < 50; k++) {
			CHECK(pthread_mutex_lock(&c->m) == 0);
			long seen = c->n;
			if (k % 10 == 0)
				sleep_ms(1);
			c->n = seen + 1;
			CHECK(pthread_mutex_unlock(&c->m) == 0);
		}
		_exit(0);
	}
	for (int i = 0; i < 3; i++)
		reap_exit(child[i], 0);
	CHECK(c->n == 150);
	ok("processes");
	return 0;
}
