/*
 * Calls that do not sleep are not interrupted, however many signals come whose handler
 * asks for EINTR.
 */
#include "check.h"
#include <sys/socket.h>
#include <sys/time.h>

static volatile sig_atomic_t came;

static void count(int sig)
{
	(void)sig;
	came++;
}

/* A millisecond, or more where handlers take so long that the program would do nothing else. */
static long interval_us(void)
{
	enum { TIMES = 10 };
	struct timespec from, to;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &from) == 0);
	for (int i = 0; i < TIMES; i++)
		CHECK(raise(SIGALRM) == 0);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &to) == 0);
	long took = (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
	return took * 10 / TIMES > 1000 ? took * 10 / TIMES : 1000;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	struct sigaction act = { .sa_handler = count };
	CHECK(sigaction(SIGALRM, &act, NULL) == 0);
	long us = interval_us();
	struct timeval t = { us / 1000000, us % 1000000 };
	struct itimerval often = { t, t };

	came = 0;
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (int i = 0; i < 60 || came < 3; i++) {
		int fd = open("file", O_RDWR | O_CREAT, 0644);
		CHECK(fd >= 0);
		CHECK(fcntl(fd, F_SETLKW, &(struct flock){ .l_type = F_WRLCK }) == 0);
		CHECK(close(fd) == 0);
		int s[2];
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
		struct msghdr none = { .msg_iov = &(struct iovec){ "x", 1 }, .msg_iovlen = 1 };
		CHECK(sendmsg(s[0], &none, 0) == 1);
		CHECK(close(s[0]) == 0 && close(s[1]) == 0);
	}
	memset(&often, 0, sizeof often);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	puts("ok");
	return 0;
}
