/* Scheduling parameters of the own process, by id and by 0. */
#include "check.h"
#include <sched.h>
#include <sys/resource.h>

static long getscheduler(pid_t pid)
{
	return syscall(SYS_sched_getscheduler, pid);
}

int main(void)
{
	begin();
	struct sched_param sp = {.sched_priority = -1};
	SHOW("getscheduler(own)", getscheduler(getpid()));
	CHECK(getscheduler(0) == getscheduler(getpid()));
	CHECK(syscall(SYS_sched_getparam, getpid(), &sp) == 0 && sp.sched_priority == 0);
	sp.sched_priority = -1;
	CHECK(syscall(SYS_sched_getparam, 0, &sp) == 0 && sp.sched_priority == 0);
	CHECK_ERR(syscall(SYS_sched_getparam, 0, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_sched_getparam, -1, &sp), EINVAL);
	CHECK_ERR(getscheduler(-1), EINVAL);
	ok("own parameters");

	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(0);
	CHECK(getscheduler(child) >= 0);
	reap_exit(child, 0);
	CHECK_ERR(getscheduler(child), ESRCH);
	ok("a child's");

	SHOW("max other", sched_get_priority_max(SCHED_OTHER));
	SHOW("max fifo", sched_get_priority_max(SCHED_FIFO));
	SHOW("min rr", sched_get_priority_min(SCHED_RR));
	CHECK_ERR(sched_get_priority_max(77), EINVAL);
	CHECK(sched_yield() == 0);
	errno = 0;
	int nice_now = getpriority(PRIO_PROCESS, 0);
	CHECK(errno == 0 && getpriority(PRIO_PROCESS, (id_t)getpid()) == nice_now);
	CHECK(setpriority(PRIO_PROCESS, 0, nice_now + 1) == 0);
	CHECK(getpriority(PRIO_PROCESS, 0) == nice_now + 1);

	cpu_set_t set;
	CPU_ZERO(&set);
	CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
	int all = CPU_COUNT(&set);
	CHECK(all >= 1 && all == (int)sysconf(_SC_NPROCESSORS_ONLN));
	CPU_ZERO(&set);
	CHECK(sched_getaffinity(getpid(), sizeof set, &set) == 0 && CPU_COUNT(&set) == all);
	printf("cpus %d\n", all);
	return 0;
}
