/* How agents change the program's mask of signals. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "ring_test.h"

enum { USR1 = 1 << (SIGUSR1 - 1), USR2 = 1 << (SIGUSR2 - 1), HUP = 1 << (SIGHUP - 1) };

static struct hot_call table[MV_HOT_CALLS];
static u64 pending;
static int asked;

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr != SYS_rt_sigpending)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	asked++;
	*(u64 *)a = pending;
	return 0;
}

static struct agent *prepare(int i)
{
	static const struct hot_arg set = { .kind = MV_HOT_BUFFER, .dir = MV_HOT_IN, .unit = 8 },
				    old = { .kind = MV_HOT_BUFFER, .dir = MV_HOT_OUT, .unit = 8 };
	struct block *b = block(i);
	struct agent *a = agent_of(b);

	memset(a, 0, sizeof(*a));
	table[SYS_rt_sigprocmask] = (struct hot_call){
		.flags = MV_HOT_CALL | MV_HOT_MASK,
		.arg = { { .kind = MV_HOT_HALF, .flags = MV_HOT_UNLESS_NULL, .count = 1 }, set, old, { .kind = MV_HOT_LONG } },
	};
	a->table = (u64)table;
	a->fds = 1000;
	a->masks = 1;
	a->never = USR2;
	b->signalled = 0;
	b->native = 1;
	b->jumped = 0;
	b->open = 0;
	pending = 0;
	asked = 0;
	hook = kernel;
	return a;
}

static int change(struct agent *a, int how, const u64 *set, u64 *old, u64 size, i64 *ret)
{
	return deal_with(a, SYS_rt_sigprocmask, (u64[4]){ (u64)how, (u64)set, (u64)old, size }, ret);
}

/* What the program blocks by each call, and what the kernel blocks for it. */
void test_mask_changes(void)
{
	static const struct {
		int how;
		u64 set, now, size;
		i64 ret;
	} list[] = {
		{ SIG_BLOCK, USR1 | USR2, USR1 | USR2, 8, 0 }, { SIG_BLOCK, HUP, USR1 | USR2 | HUP, 8, 0 },
		{ SIG_UNBLOCK, USR1, USR2 | HUP, 8, 0 },       { 3, USR1, USR2 | HUP, 8, -EINVAL },
		{ -1, USR1, USR2 | HUP, 8, -EINVAL },	       { SIG_SETMASK, USR1, USR2 | HUP, 4, -EINVAL },
		{ SIG_SETMASK, ~0ULL, ~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1)), 8, 0 }, { SIG_SETMASK, 0, 0, 8, 0 },
	};
	struct agent *a = prepare(0);
	u64 before = 0, old;
	u32 i;
	i64 ret;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		old = 77;
		CHECK(change(a, list[i].how, &list[i].set, &old, list[i].size, &ret) && ret == list[i].ret, "%u: %ld", i, ret);
		CHECK(a->blocked == list[i].now && block(0)->open == (list[i].now & ~(u64)USR2), "%u: %lx, %lx", i, a->blocked, block(0)->open);
		CHECK(old == (ret ? 77 : before), "%u: %lx", i, old);
		before = a->blocked;
	}
	/* Without a set nothing changes, and how does not matter. */
	a->blocked = HUP;
	CHECK(change(a, 99, NULL, &old, 8, &ret) && !ret && old == HUP && a->blocked == HUP, "%ld, %lx", ret, old);
	CHECK(change(a, 99, NULL, NULL, 7, &ret) && ret == -EINVAL, "%ld", ret);
}

/* What comes with the call, or before it, is the monitor's, as is all while that has signals for
 * the program. */
void test_mask_waits(void)
{
	const u64 none = 0, usr1 = USR1, hup = HUP;
	struct agent *a = prepare(0);
	u64 old;
	i64 ret;

	a->blocked = USR1;
	pending = USR1;
	CHECK(!change(a, SIG_SETMASK, &none, NULL, 8, NULL) && a->blocked == USR1 && asked == 1, "%lx", a->blocked);
	CHECK(!change(a, SIG_UNBLOCK, &usr1, &old, 8, NULL) && a->blocked == USR1, "%lx", a->blocked);
	/* Nobody is asked about what is not let in. */
	asked = 0;
	CHECK(change(a, SIG_BLOCK, &hup, NULL, 8, &ret) && !ret && !asked, "%d", asked);
	CHECK(change(a, SIG_UNBLOCK, &hup, NULL, 8, &ret) && !ret && asked == 1 && a->blocked == USR1, "%d", asked);
	pending = 0;
	/* One that the variant host has got and could not report. */
	a->late = 1U << (SIGSEGV - 1);
	CHECK(!change(a, SIG_SETMASK, &none, NULL, 8, NULL) && a->blocked == USR1, "%lx", a->blocked);
	a->late = 0;
	a->masks = 0;
	CHECK(!change(a, SIG_SETMASK, &none, NULL, 8, NULL) && a->blocked == USR1, "%lx", a->blocked);
	CHECK(change(a, SIG_BLOCK, NULL, &old, 8, &ret) && !ret && old == USR1, "%lx", old);
	a->masks = 1;
	/* Where the program's mask is the kernel's a signal may come before it is changed. */
	block(0)->jumped = MV_GATE_AGENT;
	block(0)->signalled = 1;
	CHECK(!change(a, SIG_SETMASK, &none, NULL, 8, NULL) && a->blocked == USR1, "%lx", a->blocked);
}

/* Where the program has come by a jump, the kernel has its mask. */
void test_mask_jumped(void)
{
	const u64 set = USR1 | USR2, before = blocked_signals();
	struct agent *a = prepare(0);
	i64 ret;

	CHECK(change(a, SIG_SETMASK, &set, NULL, 8, &ret) && blocked_signals() == before, "%lx", blocked_signals());
	a->blocked = 0;
	block(0)->jumped = MV_GATE_AGENT;
	CHECK(change(a, SIG_SETMASK, &set, NULL, 8, &ret) && !ret, "%ld", ret);
	CHECK(before != USR1 && blocked_signals() == USR1 && block(0)->open == USR1 && a->blocked == set, "%lx, %lx", blocked_signals(), block(0)->open);
}

/* Followers' programs have the masks that they have asked for, as far as the leader has got them. */
void test_mask_follows(void)
{
	u8 *base = make_ring(1 << 16, 16, 1, 1, 0);
	u64 *constant = mmap(NULL, MV_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const u64 usr1 = USR1, hup = HUP;
	struct agent *lead, *follow;
	u64 old[2];
	i64 ret[2];

	CHECK(constant != MAP_FAILED, "%m");
	copies_may_fault();
	follow = prepare(1);
	lead = prepare(0);
	pair_up(base);
	CHECK(change(lead, SIG_BLOCK, &usr1, &old[0], 8, &ret[0]) && change(follow, SIG_BLOCK, &usr1, &old[1], 8, &ret[1]), "differs %u", follow->differs);
	CHECK(!ret[1] && !old[1] && follow->blocked == USR1 && !block(1)->open && !asked, "%lx", follow->blocked);
	/* It has changed when what was before cannot be told. */
	CHECK(change(lead, SIG_SETMASK, &hup, constant, 8, &ret[0]) && change(follow, SIG_SETMASK, &hup, constant, 8, &ret[1]), "differs %u", follow->differs);
	CHECK(ret[0] == -EFAULT && ret[1] == -EFAULT && lead->blocked == HUP && follow->blocked == HUP, "%ld, %lx", ret[1], follow->blocked);
	/* How does not matter without a set. */
	CHECK(change(lead, 5, NULL, &old[0], 8, &ret[0]) && change(follow, 6, NULL, &old[1], 8, &ret[1]) && old[1] == HUP, "differs %u", follow->differs);
	CHECK(change(lead, SIG_BLOCK, &usr1, NULL, 8, &ret[0]) && !change(follow, SIG_UNBLOCK, &usr1, NULL, 8, &ret[1]), "the same");
	CHECK(follow->differs == MV_DIFFERS_CALL && follow->blocked == HUP, "%u, %lx", follow->differs, follow->blocked);
}
