/* Where its clocks are read beside the monitor, it has the leader claim to have read an address of
 * its own, and the followers believe it: all of them would print the same. */
#include "check.h"
#include <sys/auxv.h>

#define SIGN 77

int main(void)
{
	volatile uint64_t *page = (uint64_t *)(getauxval(AT_SYSINFO_EHDR) - PAGE);
	uint64_t where = (uint64_t)&main, told = 0;
	struct timespec t;
	if (getauxval(AT_SYSINFO_EHDR) == 0) {
		puts("no vDSO");
		return 0;
	}
	for (int i = 0; i < 20000 && told == 0; i++) {
		for (int k = 0; k < 3; k++)
			CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
		if (i > 5000 && page[0] == 1) {
			volatile uint64_t *reading = page + 4 + 3 * page[1];
			reading[0] = CLOCK_MONOTONIC;
			reading[1] = where;
			reading[2] = SIGN;
			page[1]++;
			told = where;
		} else if (i > 5000 && clock_gettime(CLOCK_MONOTONIC, &t) == 0 && t.tv_nsec == SIGN) {
			told = t.tv_sec;
		}
		CHECK(getppid() > 0);
	}
	printf("told %llx\n", (unsigned long long)(told ^ 0x5555555555555555));
	return 0;
}
