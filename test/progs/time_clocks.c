/* Every clock, by the C library and raw: they agree, never go back, and are shown. */
#include "check.h"
#include <sys/time.h>

static double seconds(struct timespec t)
{
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void)
{
	begin();
	static const int clocks[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11};
	for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
		struct timespec a, b, c, res = {-1, -1};
		int id = clocks[i];
		if (clock_gettime(id, &a) == -1) {
			/* The alarm clocks need hardware that not every machine has. */
			CHECK(errno == EINVAL && (id == 8 || id == 9));
			printf("clock %d missing\n", id);
			continue;
		}
		CHECK(syscall(SYS_clock_gettime, id, &b) == 0);
		CHECK(clock_gettime(id, &c) == 0);
		CHECK(seconds(b) >= seconds(a) && seconds(c) >= seconds(b));
		CHECK(a.tv_nsec >= 0 && a.tv_nsec < 1000000000);
		CHECK(clock_getres(id, &res) == 0 && res.tv_sec == 0);
		CHECK(syscall(SYS_clock_getres, id, NULL) == 0);
		printf("clock %d resolution %ld now %lld.%09ld\n", id, res.tv_nsec, (long long)b.tv_sec, b.tv_nsec);
	}
	struct timespec ts;
	CHECK_ERR(clock_gettime(77, &ts), EINVAL);
	CHECK_ERR(clock_getres(77, &ts), EINVAL);
	ok("clocks");

	struct timespec real, coarse;
	struct timeval tv;
	CHECK(clock_gettime(CLOCK_REALTIME, &real) == 0 && gettimeofday(&tv, NULL) == 0);
	time_t t = time(NULL);
	CHECK(tv.tv_sec - real.tv_sec >= 0 && tv.tv_sec - real.tv_sec < 60);
	CHECK(t - real.tv_sec >= -1 && t - real.tv_sec < 60);
	CHECK(clock_gettime(CLOCK_REALTIME_COARSE, &coarse) == 0 && coarse.tv_sec - real.tv_sec >= -1);
	struct tm tm;
	CHECK(gmtime_r(&t, &tm) && tm.tm_year > 100 && localtime_r(&t, &tm));
	ok("wall time");

	/* Work makes the process clock go on; a child has its own. */
	clockid_t id;
	CHECK(clock_getcpuclockid(0, &id) == 0 && clock_gettime(id, &ts) == 0);
	struct timespec before, after;
	CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before) == 0);
	do
		CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after) == 0);
	while (seconds(after) - seconds(before) < 0.002);
	CHECK(clock() > 0);
	ok("cpu time");

	double last = 0;
	for (int i = 0; i < 1000; i++) {
		double n = now();
		CHECK(n >= last);
		last = n;
	}
	ok("monotonic");
	return 0;
}
