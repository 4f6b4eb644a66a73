/*
 * Does frequent calls, after which the build with -DDIFFERS=1 does something else than the
 * other one, which goes on with calls that monitors need not see, or sleeps. Code and layout
 * are the same in both builds.
 *
 * usage: leaves DIRECTORY fault|end|read|compute goes-on|sleeps
 */
#include "check.h"
#include <poll.h>

#ifndef DIFFERS
#define DIFFERS 0
#endif

static const volatile int differs = DIFFERS;

enum { ROUNDS = 200 };

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(argc == 4);
	int i, ends[2];
	char c;
	CHECK(pipe(ends) == 0);
	struct pollfd p = {ends[0], POLLIN, 0};
	volatile int *nowhere = NULL;

	for (i = 0; i < ROUNDS; i++)
		CHECK(getppid() > 0);
	if (differs && strcmp(argv[2], "fault") == 0)
		*(volatile int *)((uintptr_t)nowhere + 8) = 1;
	if (differs && strcmp(argv[2], "end") == 0)
		_exit(3);
	if (differs && strcmp(argv[2], "read") == 0)
		CHECK(read(ends[0], &c, 1) == 1);
	if (differs && strcmp(argv[2], "compute") == 0)
		for (;;)
			;
	if (strcmp(argv[3], "sleeps") == 0)
		poll(&p, 1, -1);
	for (i = 0; i < ROUNDS; i++) {
		CHECK(poll(&p, 1, 100) == 0);
		CHECK(write(1, "on\n", 3) == 3);
	}
	return 0;
}
