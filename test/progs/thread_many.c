/*
 * Five hundred threads at the same time, and very many in turn:
 *
 * thread_many DIR [TURNS]
 */
#include "check.h"
#include <pthread.h>

enum { MANY = 500, AT_ONCE = 4, SMALL = 128 << 10 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int here, released;
static long sum;

static void *stay(void *arg)
{
	CHECK(pthread_mutex_lock(&lock) == 0);
	if (++here == MANY)
		CHECK(pthread_cond_broadcast(&changed) == 0);
	while (!released)
		CHECK(pthread_cond_wait(&changed, &lock) == 0);
	sum += (long)arg;
	CHECK(pthread_mutex_unlock(&lock) == 0);
	return arg;
}

static void *add(void *arg)
{
	CHECK(pthread_mutex_lock(&lock) == 0);
	sum += (long)arg;
	CHECK(pthread_mutex_unlock(&lock) == 0);
	return arg;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	long turns = argc > 2 ? strtol(argv[2], NULL, 10) : 500;
	static pthread_t thread[MANY];
	pthread_attr_t a;
	void *end;

	CHECK(pthread_attr_init(&a) == 0 && pthread_attr_setstacksize(&a, SMALL) == 0);
	for (long i = 0; i < MANY; i++)
		CHECK(pthread_create(&thread[i], &a, stay, (void *)i) == 0);
	CHECK(pthread_mutex_lock(&lock) == 0);
	while (here < MANY)
		CHECK(pthread_cond_wait(&changed, &lock) == 0);
	released = 1;
	CHECK(pthread_cond_broadcast(&changed) == 0);
	CHECK(pthread_mutex_unlock(&lock) == 0);
	for (long i = 0; i < MANY; i++)
		CHECK(pthread_join(thread[i], &end) == 0 && end == (void *)i);
	printf("%d at a time: %ld\n", here, sum);

	sum = 0;
	for (long i = 0; i < turns; i += AT_ONCE) {
		for (long k = 0; k < AT_ONCE; k++)
			CHECK(pthread_create(&thread[k], &a, add, (void *)(i + k)) == 0);
		for (long k = 0; k < AT_ONCE; k++)
			CHECK(pthread_join(thread[k], &end) == 0 && end == (void *)(i + k));
	}
	printf("%ld in turn: %ld\n", turns, sum);
	ok("thread_many");
	return 0;
}
