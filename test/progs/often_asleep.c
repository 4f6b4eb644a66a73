/* Sleeps for a millisecond again and again, as often as the argument says, between calls that do not. */
#include "check.h"

int main(int argc, char **argv)
{
	begin();
	for (int i = argc > 1 ? atoi(argv[1]) : 50; i > 0; i--) {
		for (int k = 0; k < 5; k++)
			getppid();
		CHECK(usleep(1000) == 0);
	}
	ok("slept");
	return 0;
}
