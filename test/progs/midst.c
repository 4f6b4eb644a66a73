/*
 * What a computation has come to when others look at it in its midst, which is not the same in
 * all variants:
 *
 * midst thread|signal
 */
#include "threads.h"
#include <stdatomic.h>

/* It ends by itself when nobody looks. */
static const long most = 20000000000;

static atomic_int looked;
static volatile long counter;

/* Variants compare the argument of this call. */
static void look(void)
{
	lseek(-1, counter, SEEK_SET);
	looked = 1;
}

static void *other(void *arg)
{
	sleep_ms(50);
	look();
	return arg;
}

static void handler(int sig)
{
	UNUSED(sig);
	look();
}

int main(int argc, char **argv)
{
	pthread_t t = {0};
	begin();
	CHECK(argc > 1);
	int thread = strcmp(argv[1], "thread") == 0;
	if (thread) {
		CHECK(pthread_create(&t, NULL, other, NULL) == 0);
	} else {
		CHECK(signal(SIGALRM, handler) == SIG_DFL);
		alarm(1);
	}
	while (!looked && counter < most)
		counter = counter + 1;
	if (thread)
		CHECK(pthread_join(t, NULL) == 0);
	ok("midst");
	return 0;
}
