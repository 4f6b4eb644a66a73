/* Threads that have spun for each other, which costs them their patience, and then make many
 * calls: each loses its turn in front of a call, never in the middle of what it computes. */
#include "check.h"
#include <pthread.h>

enum { THREADS = 2, WARM = 300, SPINS = 12, CALLS = 20000, EVERY = 1024 };

static volatile int flag;
static volatile long shared;
static int fd;

static void *work(void *arg)
{
	int second = arg != NULL, i;
	char b[64];

	for (i = 0; i < WARM; i++)
		CHECK(pread(fd, b, sizeof(b), 0) > 0);
	for (i = 0; i < SPINS; i++) {
		if (second)
			flag = 2 * i + 1;
		while (flag != 2 * i + 1 + second)
			;
		if (!second)
			flag = 2 * i + 2;
	}
	for (i = 0; i < CALLS; i++) {
		CHECK(pread(fd, b, sizeof(b), 0) > 0);
		/* What is shared shows in which calls are made. */
		shared = shared + 1;
		if (!(shared % EVERY))
			CHECK(write(1, "", 0) == 0);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[THREADS];
	int i;

	UNUSED(argc);
	begin();
	fd = open(argv[0], O_RDONLY);
	CHECK(fd >= 0);
	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&t[i], NULL, work, i ? argv : NULL));
	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_join(t[i], NULL));
	ok("restless");
	return 0;
}
