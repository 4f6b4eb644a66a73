/* MvArmor's rdtsc, and rdtscp: both read one clock that never goes back. */
#include "check.h"

static uint64_t rdtsc(void)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static uint64_t rdtscp(uint32_t *aux)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(*aux));
	return (uint64_t)hi << 32 | lo;
}

int main(void)
{
	begin();
	uint32_t aux = 0;
	uint64_t first = rdtsc(), last = first;
	for (int i = 0; i < 200; i++) {
		uint64_t t = i % 2 ? rdtsc() : rdtscp(&aux);
		CHECK(t >= last);
		last = t;
	}
	CHECK(last > first);

	/* The instruction must leave every other register and the flags alone. */
	uint64_t rbx = 0x1122334455667788u, r15 = 0x99aabbccddeeff00u, flags;
	__asm__ volatile("stc\n\trdtsc\n\tpushfq\n\tpop %0"
			 : "=r"(flags), "+b"(rbx), "+r"(r15)
			 :
			 : "rax", "rdx", "cc", "memory");
	CHECK((flags & 1) == 1);
	CHECK(rbx == 0x1122334455667788u && r15 == 0x99aabbccddeeff00u);

	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(rdtsc() > last ? 0 : 1);
	reap_exit(child, 0);
	printf("tsc %llu\naux %u\n", (unsigned long long)last, aux);
	return 0;
}
