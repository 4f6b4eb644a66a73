/* setsid and setpgid: every id a session has is consistent with fork's. */
#include "check.h"

int main(void)
{
	begin();
	pid_t parent = getpid(), session = getsid(0);
	int up[2], down[2];
	char c;
	CHECK(pipe(up) == 0 && pipe(down) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(getsid(0) == session);
		pid_t sid = setsid();
		CHECK(sid == getpid());
		CHECK(getsid(0) == sid && getpgrp() == sid && getpgid(0) == sid);
		CHECK(getsid(parent) == session);
		CHECK_ERR(setsid(), EPERM);
		CHECK_ERR(setpgid(0, 0), EPERM);
		CHECK(write(up[1], "s", 1) == 1);
		CHECK(read(down[0], &c, 1) == 1);
		_exit(0);
	}
	CHECK(read(up[0], &c, 1) == 1);
	CHECK(getsid(child) == child);
	CHECK(getpgid(child) == child);
	CHECK(write(down[1], "q", 1) == 1);
	reap_exit(child, 0);
	ok("setsid");

	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(read(down[0], &c, 1) == 1);
		_exit(getpgrp() == getpid() ? 0 : 1);
	}
	CHECK(setpgid(child, child) == 0);
	CHECK(getpgid(child) == child);
	CHECK(write(down[1], "q", 1) == 1);
	reap_exit(child, 0);
	ok("setpgid of a child");

	CHECK_ERR(getsid(child), ESRCH);
	CHECK_ERR(getpgid(child), ESRCH);
	CHECK_ERR(setpgid(child, child), ESRCH);
	CHECK_ERR(setpgid(0, -1), EINVAL);
	ok("errors");
	return 0;
}
