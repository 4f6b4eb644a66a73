/* What agents tell where each call is checked, and when. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "ring_test.h"

enum { THE_CALL = 300, RECORDS = 2, RESULT = 1 };

/* struct pollfd; the kernel writes the last member. */
struct polled {
	int32_t fd;
	int16_t asks, got;
};

static struct hot_call table[MV_HOT_CALLS];
static struct polled polled[RECORDS] = { { 3, 1, 77 }, { -1, 2, 77 } };

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr != THE_CALL)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	((struct polled *)a)[0].got = 5;
	return RESULT;
}

/* Deals with the call in a process of its own. */
static int deal(u32 i, u8 *base, const u64 *arg)
{
	struct agent *a = agent_of(block((int)i));
	int pid = fork();
	i64 ret;

	CHECK(pid >= 0, "%m");
	if (pid)
		return pid;
	a->lease = a->interval = 1;
	a->follows = i;
	a->table = (u64)table;
	a->ring = (u64)base;
	a->fds = 1000;
	if (i)
		ring_attach_reader(&a->r, base, 0);
	else
		ring_attach_writer(&a->r, base);
	CHECK(deal_with(a, THE_CALL, arg, &ret) && ret == RESULT && polled[0].got == 5, "variant %u: %ld, %d", i, ret, polled[0].got);
	_exit(0);
}

/* Waits until an agent has got so far. */
static struct account *told(u32 i, u32 stage)
{
	struct account *s = account_of(agent_of(block((int)i)));

	while (!__atomic_load_n(&s->stage, __ATOMIC_SEQ_CST))
		sched_yield();
	CHECK(s->stage == stage && s->nr == THE_CALL && s->arg[2] == 7, "variant %u: stage %u of call %ld", i, s->stage, s->nr);
	return s;
}

static void go_on(struct account *s)
{
	__atomic_store_n(&s->stage, 0, __ATOMIC_SEQ_CST);
	__real_vhost_call(SYS_futex, (u64)&s->stage, 1, 1, 0, 0, 0);
}

static void leader_tells(void)
{
	struct account *s = told(0, MV_STAGE_ASKED);

	CHECK(!s->waited && s->bytes == sizeof(polled), "%lu bytes", s->bytes);
	CHECK(!account_of(agent_of(block(1)))->stage, "the follower is ahead");
	go_on(s);
	s = told(0, MV_STAGE_DONE);
	CHECK(s->ret == RESULT, "%ld", s->ret);
	CHECK(agent_of(block(0))->out.of[0].size == sizeof(polled), "%lu", agent_of(block(0))->out.of[0].size);
}

static void follower_tells(void)
{
	struct account *s = told(1, MV_STAGE_ASKED);

	CHECK(s->compared[0] == 0 && s->compared[1] == 0xffffffff && s->compared[2] == ~0ULL && !s->compared[3], "%lx %lx %lx %lx",
	      s->compared[0], s->compared[1], s->compared[2], s->compared[3]);
	CHECK(s->probed[0] == sizeof(*polled) && s->noticed[0] == 0x3f, "%lx of %u", s->noticed[0], s->probed[0]);
	CHECK(!s->probed[1], "%u", s->probed[1]);
	go_on(s);
	s = told(1, MV_STAGE_DONE);
	CHECK(s->ret == RESULT, "%ld", s->ret);
	go_on(s);
}

void test_agent_tells(void)
{
	u8 *base = make_ring(1 << 16, 16, 1, 1, 0);
	const u64 arg[4] = { (u64)polled, RECORDS, 7, 9 };
	int pid[2];
	u32 i;

	limit_time(60);
	hook = kernel;
	table[THE_CALL] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_TOLD,
		.arg = {
			{ .kind = MV_HOT_BUFFER, .dir = MV_HOT_IN | MV_HOT_OUT, .length = MV_SIZE_INT, .count = 1, .unit = sizeof(*polled),
			  .flags = MV_HOT_DESCRIPTORS, .piece = { { 0, 6 } } },
			{ .kind = MV_HOT_HALF },
			{ .kind = MV_HOT_LONG },
		},
	};
	for (i = 0; i < 2; i++) {
		memset(agent_of(block((int)i)), 0, sizeof(struct agent));
		account_of(agent_of(block((int)i)))->wanted = 1;
		pid[i] = deal(i, base, arg);
	}
	leader_tells();
	/* Nobody has what the leader has got before the monitor has seen it. */
	usleep(20000);
	CHECK(!account_of(agent_of(block(1)))->stage, "the follower has the result");
	go_on(account_of(agent_of(block(0))));
	follower_tells();
	for (i = 0; i < 2; i++)
		CHECK(!wait_status(pid[i]), "variant %u", i);
}
