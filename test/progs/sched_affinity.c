/*
 * Where tasks may run is the program's business, also while so many calls are made
 * that a monitor may have moved it: before, meanwhile, in children, and what the
 * program asks for itself.
 */
#include "check.h"
#include <sched.h>

static cpu_set_t affinity(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
	return set;
}

static void busy(void)
{
	for (int i = 0; i < 700; i++)
		CHECK(syscall(SYS_getppid) > 0);
}

static void same(const cpu_set_t *want)
{
	cpu_set_t now = affinity();
	CHECK(CPU_EQUAL(&now, want));
}

/* A child has what its parent has, whenever it was made. */
static void child(const cpu_set_t *want)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		same(want);
		busy();
		same(want);
		_exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
	cpu_set_t all = affinity(), one;
	busy();
	same(&all);
	busy();
	child(&all);
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	for (int cpu = 0, left = CPU_COUNT(&one); cpu < CPU_SETSIZE && left > 1; cpu++)
		if (CPU_ISSET(cpu, &one)) {
			CPU_CLR(cpu, &one);
			left--;
		}
	busy();
	CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
	busy();
	same(&one);
	busy();
	child(&one);
	CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
	busy();
	same(&all);
	child(&all);
	puts("ok");
	return 0;
}
