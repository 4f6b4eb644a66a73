/*
 * Threads that sleep for one another: mutexes, condition variables, joins. What
 * each of them does in its turn shows in the calls that it makes, so variants
 * that take turns differently diverge.
 */
#include "check.h"
#include <pthread.h>

enum { THREADS = 4, ROUNDS = 5, TURNS = 100 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int counter, turn;

static void *count(void *arg)
{
	long self = (long)arg;
	for (int i = 0; i < TURNS; i++) {
		CHECK(pthread_mutex_lock(&lock) == 0);
		counter++;
		if (counter % 7 == self)
			CHECK(getppid() > 0);
		CHECK(pthread_mutex_unlock(&lock) == 0);
	}
	return arg;
}

static void *in_turn(void *arg)
{
	long self = (long)arg;
	for (int i = 0; i < TURNS; i++) {
		CHECK(pthread_mutex_lock(&lock) == 0);
		while (turn % THREADS != self)
			CHECK(pthread_cond_wait(&changed, &lock) == 0);
		turn++;
		CHECK(pthread_cond_broadcast(&changed) == 0);
		CHECK(pthread_mutex_unlock(&lock) == 0);
	}
	return arg;
}

static void run_all(void *(*f)(void *))
{
	pthread_t t[THREADS];
	for (long i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, f, (void *)i) == 0);
	for (long i = 0; i < THREADS; i++) {
		void *got;
		CHECK(pthread_join(t[i], &got) == 0 && got == (void *)i);
	}
}

int main(void)
{
	begin();
	for (int r = 0; r < ROUNDS; r++)
		run_all(count);
	CHECK(counter == THREADS * ROUNDS * TURNS);
	ok("counted");
	run_all(in_turn);
	CHECK(turn == THREADS * TURNS);
	ok("took turns");
	return 0;
}
