/* Sleeps: at least as long as asked, absolute, refused, cut short by a child's end. */
#include "check.h"

static volatile sig_atomic_t hits;

static void handler(int sig)
{
	UNUSED(sig);
	hits++;
}

int main(void)
{
	begin();
	struct timespec ts = {0, 20000000}, rem = {7, 7};
	double t = now();
	CHECK(nanosleep(&ts, &rem) == 0);
	CHECK(now() - t >= 0.019);
	CHECK(rem.tv_sec == 7 && rem.tv_nsec == 7);
	ts.tv_nsec = 1000000000;
	CHECK_ERR(nanosleep(&ts, NULL), EINVAL);
	ts = (struct timespec){-1, 0};
	CHECK_ERR(nanosleep(&ts, NULL), EINVAL);
	ts = (struct timespec){0, 0};
	CHECK(nanosleep(&ts, NULL) == 0);
	CHECK(usleep(1000) == 0);
	ok("nanosleep");

	t = now();
	ts = (struct timespec){0, 10000000};
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL) == 0);
	CHECK(now() - t >= 0.009);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	t = now();
	ts.tv_nsec += 10000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0);
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0);
	ts = (struct timespec){0, 1000000};
	CHECK(clock_nanosleep(CLOCK_REALTIME, 0, &ts, NULL) == 0);
	CHECK(clock_nanosleep(77, 0, &ts, NULL) == EINVAL);
	ok("clock_nanosleep");

	struct sigaction sa = {.sa_handler = handler};
	CHECK(sigaction(SIGCHLD, &sa, NULL) == 0);
	pid_t self = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		wait_until_blocked(self);
		_exit(0);
	}
	ts = (struct timespec){1000, 0};
	CHECK_ERR(nanosleep(&ts, &rem), EINTR);
	CHECK(hits == 1);
	CHECK(rem.tv_sec > 500 && rem.tv_sec < 1000);
	reap_exit(child, 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		wait_until_blocked(self);
		_exit(0);
	}
	CHECK(sleep(1000) > 500);
	reap_exit(child, 0);
	ok("cut short");
	return 0;
}
