/* timerfd: one shot, interval, absolute time, polling, disarming. */
#include "check.h"
#include <poll.h>
#include <sys/timerfd.h>

int main(void)
{
	begin();
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	CHECK(fd == 3);
	struct itimerspec t = {.it_value = {0, 20000000}}, old;
	uint64_t n;
	double start = now();
	CHECK(timerfd_settime(fd, 0, &t, NULL) == 0);
	CHECK(timerfd_gettime(fd, &old) == 0 && old.it_value.tv_sec == 0 && old.it_interval.tv_nsec == 0);
	CHECK(read(fd, &n, 8) == 8 && n == 1);
	CHECK(now() - start >= 0.019);
	CHECK(timerfd_gettime(fd, &old) == 0 && old.it_value.tv_sec == 0 && old.it_value.tv_nsec == 0);
	ok("one shot");

	t = (struct itimerspec){.it_value = {0, 5000000}, .it_interval = {0, 5000000}};
	CHECK(timerfd_settime(fd, 0, &t, NULL) == 0);
	uint64_t total = 0;
	while (total < 4) {
		CHECK(read(fd, &n, 8) == 8 && n >= 1);
		total += n;
	}
	t = (struct itimerspec){.it_value = {1000, 0}};
	CHECK(timerfd_settime(fd, 0, &t, &old) == 0 && old.it_interval.tv_nsec == 5000000);
	CHECK(timerfd_settime(fd, 0, &(struct itimerspec){0}, &old) == 0);
	CHECK(old.it_value.tv_sec > 900 && old.it_value.tv_sec <= 1000);
	printf("left %lld.%09ld\n", (long long)old.it_value.tv_sec, old.it_value.tv_nsec);
	ok("interval");

	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	CHECK_ERR(read(fd, &n, 8), EAGAIN);
	CHECK_ERR(read(fd, &n, 4), EINVAL);
	struct pollfd pf = {fd, POLLIN, 0};
	CHECK(poll(&pf, 1, 0) == 0);
	struct timespec ts;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	t = (struct itimerspec){.it_value = ts};
	CHECK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL) == 0);
	CHECK(poll(&pf, 1, -1) == 1 && pf.revents == POLLIN);
	CHECK(read(fd, &n, 8) == 8 && n == 1);
	ok("absolute");

	int real = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	t = (struct itimerspec){.it_value = {0, 1000000}};
	CHECK(real >= 0 && timerfd_settime(real, 0, &t, NULL) == 0);
	pf.fd = real;
	CHECK(poll(&pf, 1, -1) == 1);
	t.it_value.tv_nsec = 2000000000;
	CHECK_ERR(timerfd_settime(real, 0, &t, NULL), EINVAL);
	CHECK_ERR(timerfd_gettime(99, &t), EBADF);
	ok("real time");
	return 0;
}
