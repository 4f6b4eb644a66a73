/* MvArmor's gettimeofday: time and gettimeofday through the C library. */
#include "check.h"
#include <sys/time.h>

int main(void)
{
	begin();
	struct timeval tv, raw;
	struct timezone tz = {-1, -1};
	time_t t = time(NULL), stored;
	CHECK(gettimeofday(&tv, &tz) == 0);
	CHECK(tv.tv_usec >= 0 && tv.tv_usec < 1000000);
	/* time() reads the coarse clock, which may lag by a tick. */
	CHECK(tv.tv_sec + 1 >= t && tv.tv_sec - t < 60);
	CHECK(time(&stored) == stored && stored >= t);
	CHECK(syscall(SYS_gettimeofday, &raw, NULL) == 0);
	CHECK(raw.tv_sec > tv.tv_sec || (raw.tv_sec == tv.tv_sec && raw.tv_usec >= tv.tv_usec));
	CHECK(syscall(SYS_gettimeofday, NULL, &tz) == 0);
	CHECK(tz.tz_minuteswest != -1 && tz.tz_dsttime != -1);
	CHECK(syscall(SYS_gettimeofday, NULL, NULL) == 0);
	CHECK(syscall(SYS_time, NULL) + 1 >= t);
	printf("time %lld\ntimeofday %lld.%06ld\n", (long long)t, (long long)tv.tv_sec, (long)tv.tv_usec);
	return 0;
}
