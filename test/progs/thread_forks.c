/*
 * Threads that make processes while others are under way: what a child finds in its copy of memory,
 * and does for it, is the same in all variants.
 */
#include "check.h"
#include <pthread.h>

enum { THREADS = 3, FORKS = 15 };

static volatile unsigned long counter;
static int null;

static void counts(int n)
{
	while (n--)
		counter++;
}

static void *forks(void *arg)
{
	int status;

	for (int i = 0; i < FORKS; i++) {
		counts(3000);
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			unsigned long n = counter;
			free(malloc(1000 + i));
			/* What is written is compared. */
			CHECK(write(null, &n, sizeof(n)) == sizeof(n));
			_exit(i);
		}
		counts(1000);
		CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == i);
		free(malloc(50000));
	}
	return arg;
}

int main(void)
{
	pthread_t threads[THREADS];

	begin();
	null = open("/dev/null", O_WRONLY);
	CHECK(null >= 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, forks, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	ok("forks");
	return 0;
}
