/*
 * Processes that compute without a call are killed: by a signal from another
 * process and by their own alarm.
 */
#include "check.h"
#include <sys/time.h>

static void computes(int own)
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (own)
			CHECK(setitimer(ITIMER_REAL, &(struct itimerval){ .it_value.tv_usec = 100000 }, NULL) == 0);
		for (volatile unsigned n = 0;; n++)
			;
	}
	if (!own) {
		CHECK(usleep(100000) == 0);
		CHECK(kill(child, SIGTERM) == 0);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == (own ? SIGALRM : SIGTERM));
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	computes(0);
	ok("killed by another");
	computes(1);
	ok("killed by an alarm");
	return 0;
}
