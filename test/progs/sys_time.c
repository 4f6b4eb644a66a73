/* Clocks and timers. Nobody sets the clock of the host: of those calls only failures. */
#include "sys.h"
#include <sys/time.h>

int main(void)
{
	begin();
	struct timespec ts;
	struct timeval tv;
	long words[32] = {0};
	int id, fd;
	/* Without modes it only asks; the answer is the state of the clock. */
	CALL(adjtimex, words);
	CALL(adjtimex, NOWHERE);
	memset(words, 0, sizeof words);
	CALL(clock_adjtime, CLOCK_REALTIME, words);
	CALL(clock_adjtime, 99, words);
	VALUE(gettimeofday, &tv, NULL);
	VALUE(gettimeofday, NOWHERE, NULL);
	/* With nothing to set only the right to is asked for. */
	CALL(settimeofday, NULL, NULL);
	tv = (struct timeval){.tv_usec = -1};
	VALUE(settimeofday, &tv, NULL);
	CALL(time, NULL);
	VALUE(time, NOWHERE);
	CALL(times, words);
	VALUE(times, NOWHERE);
	VALUE(clock_gettime, CLOCK_MONOTONIC, &ts);
	VALUE(clock_gettime, 99, &ts);
	VALUE(clock_getres, CLOCK_MONOTONIC, &ts);
	VALUE(clock_getres, 99, &ts);
	ts = (struct timespec){.tv_nsec = -1};
	VALUE(clock_settime, CLOCK_REALTIME, &ts);
	VALUE(nanosleep, &ts, NULL);
	VALUE(clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL);
	ts.tv_nsec = 1;
	VALUE(nanosleep, &ts, NULL);
	VALUE(clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL);
	/* It cannot fail. */
	VALUE(alarm, 0);
	struct itimerval none = {{0, 0}, {0, 0}}, bad = {{0, -1}, {0, 0}};
	VALUE(getitimer, ITIMER_REAL, &none);
	VALUE(getitimer, 99, &none);
	VALUE(setitimer, ITIMER_REAL, &none, NULL);
	VALUE(setitimer, ITIMER_REAL, &bad, NULL);
	VALUE(timer_create, CLOCK_MONOTONIC, NULL, &id);
	VALUE(timer_create, 99, NULL, &id);
	struct itimerspec far = {{0, 0}, {1000, 0}};
	VALUE(timer_settime, id, 0, &far, NULL);
	VALUE(timer_settime, 99, 0, &far, NULL);
	VALUE(timer_gettime, id, &far);
	VALUE(timer_gettime, 99, &far);
	VALUE(timer_getoverrun, id);
	VALUE(timer_getoverrun, 99);
	VALUE(timer_delete, id);
	VALUE(timer_delete, id);
	fd = (int)CALL(timerfd_create, CLOCK_MONOTONIC, 0);
	CALL(timerfd_create, 99, 0);
	far.it_value.tv_sec = 1000;
	VALUE(timerfd_settime, fd, 0, &far, NULL);
	VALUE(timerfd_settime, fd, 99, &far, NULL);
	VALUE(timerfd_gettime, fd, &far);
	VALUE(timerfd_gettime, -1, &far);
	char name[400];
	VALUE(uname, name);
	VALUE(uname, NOWHERE);
	VALUE(sysinfo, name);
	VALUE(sysinfo, NOWHERE);
	return 0;
}
