/* Which calls are timed that agents deal with, and as what. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>

#include "agent.h"
#include "ring_test.h"

static struct hot_call table[MV_HOT_CALLS];
static struct tally tally[MV_HOT_CALLS];
static u64 clock_ns, takes;
static int looks;

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_clock_gettime) {
		CHECK(a == CLOCK_MONOTONIC, "clock %lu", a);
		*(struct timespec *)b = (struct timespec){ .tv_sec = (time_t)(clock_ns / 1000000000), .tv_nsec = (long)(clock_ns % 1000000000) };
		looks++;
		return 0;
	}
	if (nr != SYS_getpid)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	clock_ns += takes;
	return -EPERM;
}

/* The longest duration of a class. */
static u64 longest(u32 class)
{
	u32 power = (class >> MV_TALLY_FINE_BITS) + MV_TALLY_FINE_BITS - 1;
	u64 fine = (class & ((1 << MV_TALLY_FINE_BITS) - 1)) + (1 << MV_TALLY_FINE_BITS);

	if (class < 1 << MV_TALLY_FINE_BITS)
		return class;
	return ((fine + 1) << (power - MV_TALLY_FINE_BITS)) - 1;
}

static void take(struct agent *a, u64 ns, u32 class)
{
	u32 i, n = 0;

	takes = ns;
	looks = 0;
	memset(tally, 0, sizeof(tally));
	for (i = 0; i < MV_TALLY_EVERY + 1; i++) {
		CHECK(deal_with(a, SYS_getpid, (u64[4]){ 0 }, NULL), "call %u", i);
		CHECK(looks == (i < MV_TALLY_EVERY ? 2 : 4), "call %u: %d looks at the clock", i, looks);
	}
	CHECK(tally[SYS_getpid].calls == MV_TALLY_EVERY + 1 && tally[SYS_getpid].errors == MV_TALLY_EVERY + 1, "%lu calls",
	      tally[SYS_getpid].calls);
	for (i = 0; i < MV_TALLY_CLASSES; i++)
		n += tally[SYS_getpid].took[i];
	CHECK(n == 2 && tally[SYS_getpid].took[class] == 2, "%lu ns: %u of %u in class %u", ns, tally[SYS_getpid].took[class], n, class);
}

void test_agent_timed(void)
{
	struct agent *a = agent_of(block(0));
	u32 class;

	memset(a, 0, sizeof(*a));
	memset(table, 0, sizeof(table));
	table[SYS_getpid] = (struct hot_call){ .flags = MV_HOT_CALL };
	a->table = (u64)table;
	a->fds = 1000;
	hook = kernel;
	/* Who does not count does not look at the clock. */
	clock_ns = 1;
	looks = 0;
	CHECK(deal_with(a, SYS_getpid, (u64[4]){ 0 }, NULL) && !looks, "%d looks at the clock", looks);
	a->tally = (u64)tally;
	take(a, 0, 0);
	for (class = 0; class < MV_TALLY_CLASSES - 1; class++) {
		take(a, longest(class), class);
		take(a, longest(class) + 1, class + 1);
	}
	take(a, 1UL << 50, MV_TALLY_CLASSES - 1);
}
