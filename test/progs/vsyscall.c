/*
 * Calls of the kernel by the page that old programs use (vsyscall), where no instruction
 * of the program's makes a call. Kernels without it raise SIGSEGV.
 */
#include "check.h"
#include <sys/time.h>

#define ENTRY(n) (0xffffffffff600000UL + 0x400UL * (n))

int main(void)
{
	long (*get_time_of_day)(struct timeval *, void *) = (long (*)(struct timeval *, void *))ENTRY(0);
	long (*get_time)(long *) = (long (*)(long *))ENTRY(1);
	long (*get_cpu)(unsigned *, unsigned *, void *) = (long (*)(unsigned *, unsigned *, void *))ENTRY(2);
	struct timeval now = { 0, 0 };
	unsigned cpu = 1 << 20, node = 1 << 20;
	long seconds = get_time(NULL);

	CHECK(get_time_of_day(&now, NULL) == 0);
	CHECK(seconds > 1000000000 && now.tv_sec - seconds >= 0 && now.tv_sec - seconds < 100);
	CHECK(get_cpu(&cpu, &node, NULL) == 0 && cpu < 1 << 20 && node < 1 << 20);
	/* The same in all variants, or they differ here. */
	fprintf(stderr, "%ld %ld\n", (long)now.tv_sec, (long)now.tv_usec);
	puts("ok");
	return 0;
}
