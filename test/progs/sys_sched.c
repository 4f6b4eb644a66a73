/* Scheduling, priorities, processors and what a thread asks of the kernel for itself. */
#include "sys.h"
#include <sched.h>
#include <sys/resource.h>

struct attr { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; };

int main(void)
{
	begin();
	struct sched_param param = {0};
	struct timespec ts;
	VALUE(sched_get_priority_max, SCHED_FIFO);
	VALUE(sched_get_priority_max, 99);
	VALUE(sched_get_priority_min, SCHED_FIFO);
	VALUE(sched_get_priority_min, 99);
	VALUE(sched_getscheduler, 0);
	VALUE(sched_getscheduler, -1);
	VALUE(sched_getparam, 0, &param);
	VALUE(sched_getparam, 0, NULL);
	VALUE(sched_setscheduler, 0, SCHED_BATCH, &param);
	VALUE(sched_setscheduler, 0, 99, &param);
	VALUE(sched_getscheduler, 0);
	VALUE(sched_setscheduler, 0, SCHED_OTHER, &param);
	VALUE(sched_setparam, 0, &param);
	VALUE(sched_setparam, 0, NULL);
	VALUE(sched_rr_get_interval, 0, &ts);
	VALUE(sched_rr_get_interval, -1, &ts);
	struct attr a = {0};
	VALUE(sched_getattr, 0, &a, sizeof a, 0);
	printf("attr %u %u %d %u\n", a.size, a.policy, a.nice, a.priority);
	VALUE(sched_getattr, 0, &a, 1, 0);
	a = (struct attr){.size = sizeof a, .nice = 3};
	VALUE(sched_setattr, 0, &a, 0);
	a.policy = 99;
	VALUE(sched_setattr, 0, &a, 0);
	VALUE(getpriority, PRIO_PROCESS, 0);
	VALUE(getpriority, 99, 0);
	VALUE(setpriority, PRIO_PROCESS, 0, 5);
	VALUE(setpriority, 99, 0, 5);
	VALUE(getpriority, PRIO_PROCESS, 0);
	VALUE(ioprio_get, 1, 0);
	VALUE(ioprio_get, 99, 0);
	VALUE(ioprio_set, 1, 0, 2 << 13 | 6);
	VALUE(ioprio_set, 99, 0, 0);
	VALUE(ioprio_get, 1, 0);
	unsigned long mask[128] = {0};
	CALL(sched_getaffinity, 0, sizeof mask, mask);
	CALL(sched_getaffinity, 0, 1, mask);
	VALUE(sched_setaffinity, 0, sizeof mask, mask[0] == 0 ? NULL : mask);
	VALUE(sched_setaffinity, 0, sizeof mask, NULL);
	unsigned cpu, node;
	VALUE(getcpu, &cpu, &node, NULL);
	VALUE(getcpu, NOWHERE, NULL, NULL);
	/* It cannot fail. */
	VALUE(sched_yield);
	CALL(membarrier, 0, 0, 0);
	VALUE(membarrier, 1 << 30, 0, 0);
	VALUE(membarrier, 1 << 4, 0, 0);
	VALUE(membarrier, 1 << 3, 0, 0);
	void *head;
	size_t len;
	VALUE(get_robust_list, 0, &head, &len);
	printf("length %zu\n", len);
	VALUE(get_robust_list, 0, NOWHERE, &len);
	static struct { void *next; long offset; void *pending; } list = {&list, 0, NULL};
	VALUE(set_robust_list, &list, sizeof list);
	VALUE(set_robust_list, &list, 1);
	struct rusage use;
	VALUE(getrusage, RUSAGE_SELF, &use);
	VALUE(getrusage, 99, &use);
	VALUE(personality, 0xffffffff);
	return 0;
}
