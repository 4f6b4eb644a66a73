/* kill(0), kill of the own group and of the own id, with and without a signal. */
#include "check.h"

static volatile sig_atomic_t count;

static void handler(int sig)
{
	UNUSED(sig);
	count++;
}

int main(void)
{
	begin();
	CHECK(kill(0, 0) == 0);
	CHECK(kill(getpid(), 0) == 0);
	CHECK(kill(-getpgrp(), 0) == 0);
	ok("null signal");

	/* The rest in a group of its own, so that nobody else is hit. */
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(setpgid(0, 0) == 0);
		CHECK(getpgrp() == getpid() && getpgid(0) == getpid());
		struct sigaction sa = {.sa_handler = handler};
		CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
		CHECK(kill(0, SIGUSR1) == 0);
		CHECK(count == 1);
		CHECK(kill(-getpgrp(), SIGUSR1) == 0);
		CHECK(count == 2);
		CHECK(killpg(getpgrp(), SIGUSR1) == 0);
		CHECK(count == 3);
		CHECK(kill(getpid(), SIGUSR1) == 0);
		CHECK(count == 4);
		_exit(5);
	}
	reap_exit(child, 5);
	ok("own group");

	CHECK_ERR(kill(child, 0), ESRCH);
	CHECK_ERR(kill(-child, 0), ESRCH);
	CHECK_ERR(kill(getpid(), 99), EINVAL);
	ok("errors");
	return 0;
}
