/* Signals that are waited for bring the program's own values, which may be addresses. */
#include "check.h"
#include <time.h>

static int here;

static void waits(const sigset_t *set, int code, void *value)
{
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	CHECK(sigwaitinfo(set, &info) == SIGRTMIN + 1);
	CHECK(info.si_code == code && info.si_value.sival_ptr == value);
}

int main(void)
{
	sigset_t set;
	void *values[] = {malloc(100), &here, &set, (void *)7, NULL};

	begin();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++) {
		union sigval value = {.sival_ptr = values[i]};
		struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value = value};
		struct itimerspec soon = {{0, 0}, {0, 1000000}};
		timer_t timer;
		CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
		CHECK(timer_settime(timer, 0, &soon, NULL) == 0);
		waits(&set, SI_TIMER, values[i]);
		CHECK(timer_delete(timer) == 0);
		CHECK(sigqueue(getpid(), SIGRTMIN + 1, value) == 0);
		waits(&set, SI_QUEUE, values[i]);
	}
	ok("values");
	return 0;
}
