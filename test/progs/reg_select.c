/* select writes the time that is left, and all three sets, back. */
#include "check.h"
#include <sys/select.h>

/* The raw call: musl's wrapper hides what the kernel writes back. */
static int raw_select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *tv)
{
	return (int)syscall(SYS_select, n, r, w, e, tv);
}

int main(void)
{
	begin();
	int p[2];
	CHECK(pipe(p) == 0);
	fd_set r, w, e;
	struct timeval tv = {5, 0};

	FD_ZERO(&r);
	FD_SET(p[0], &r);
	FD_ZERO(&w);
	FD_SET(p[1], &w);
	FD_ZERO(&e);
	FD_SET(p[0], &e);
	CHECK(raw_select(p[1] + 1, &r, &w, &e, &tv) == 1);
	CHECK(!FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && !FD_ISSET(p[0], &e));
	CHECK(tv.tv_sec <= 5 && tv.tv_sec >= 0);
	ok("ready at once");

	tv = (struct timeval){0, 30000};
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	double t = now();
	CHECK(raw_select(p[0] + 1, &r, NULL, NULL, &tv) == 0);
	CHECK(now() - t >= 0.029);
	CHECK(tv.tv_sec == 0 && tv.tv_usec == 0);
	CHECK(!FD_ISSET(p[0], &r));
	ok("time out leaves nothing");

	/* The child writes once this process sleeps: some of the time is left, not all. */
	pid_t self = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		wait_until_blocked(self);
		CHECK(write(p[1], "x", 1) == 1);
		_exit(0);
	}
	tv = (struct timeval){1000, 0};
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	CHECK(raw_select(p[0] + 1, &r, NULL, NULL, &tv) == 1);
	CHECK(FD_ISSET(p[0], &r));
	CHECK(tv.tv_sec < 1000 && tv.tv_sec > 500);
	printf("left %ld.%06ld\n", (long)tv.tv_sec, (long)tv.tv_usec);
	reap_exit(child, 0);

	struct timespec ts = {1000, 0};
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	CHECK(pselect(p[0] + 1, &r, NULL, NULL, &ts, NULL) == 1);
	CHECK(ts.tv_sec == 1000 && ts.tv_nsec == 0);
	ok("pselect leaves its time alone");

	tv = (struct timeval){0, 0};
	CHECK(raw_select(0, NULL, NULL, NULL, &tv) == 0);
	CHECK_ERR(raw_select(-1, NULL, NULL, NULL, &tv), EINVAL);
	tv = (struct timeval){-1, 0};
	CHECK_ERR(raw_select(0, NULL, NULL, NULL, &tv), EINVAL);
	tv = (struct timeval){0, 0};
	FD_ZERO(&r);
	FD_SET(50, &r);
	CHECK_ERR(raw_select(51, &r, NULL, NULL, &tv), EBADF);
	ok("errors");

	/* A set reaches as far as nfds, in words; what lies behind stays. */
	fd_set big[2];
	memset(big, 0xff, sizeof big);
	FD_ZERO(&big[0]);
	FD_SET(p[0], &big[0]);
	tv = (struct timeval){0, 0};
	CHECK(raw_select(p[0] + 1, &big[0], NULL, NULL, &tv) == 1);
	unsigned char *after = (unsigned char *)&big[1];
	for (size_t i = 0; i < sizeof big[1]; i++)
		CHECK(after[i] == 0xff);
	ok("size of a set");
	return 0;
}
