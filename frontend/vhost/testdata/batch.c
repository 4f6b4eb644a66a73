/* What a batch does. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

/* FAKE_CALL returns its first argument plus its last and is counted. */
static int fakes;
static u64 last[6];

static i64 fake(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr != FAKE_CALL)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	fakes++;
	memcpy(last, (u64[]){ a, b, c, d, e, f }, sizeof(last));
	return (i64)(a + f);
}

void test_batch_refs(void)
{
	struct block *b = block(1);
	struct call *c = calls_of(b);
	u32 k;

	hook = fake;
	put_call(b, 0, FAKE_CALL, 7, 0, 0, 0);
	put_call(b, 1, SYS_getpid, 0, 0, 0, 0);
	/* Both arguments are results of earlier calls. */
	put_call(b, 2, FAKE_CALL, 1000, 0, 0, 0);
	c[2].ref[0] = 1;
	c[2].ref[5] = 2;
	/* Its own result, a later one and one that does not exist are none. */
	put_call(b, 3, FAKE_CALL, 11, 0, 0, 0);
	c[3].ref[0] = 4;
	c[3].arg[5] = 22;
	c[3].ref[5] = 255;
	put_call(b, 4, FAKE_CALL, 33, 0, 0, 0);
	c[4].ref[0] = 6;
	/* A result of a result. */
	put_call(b, 5, FAKE_CALL, 0, 0, 0, 0);
	c[5].ref[0] = 3;
	b->count = 6;
	CHECK(vhost_batch(b) == 0);
	CHECK(b->done == 6, "%u", b->done);
	CHECK(c[0].ret == 7);
	CHECK(c[1].ret == getpid());
	CHECK(c[2].ret == 7 + getpid(), "%ld", c[2].ret);
	CHECK(c[3].ret == 33, "%ld", c[3].ret);
	CHECK(c[4].ret == 33, "%ld", c[4].ret);
	CHECK(c[5].ret == c[2].ret, "%ld", c[5].ret);
	/* The arguments stay as they were given. */
	CHECK(c[2].arg[0] == 1000);
	/* Every argument can be one. */
	for (k = 0; k < 6; k++) {
		u64 want[6] = { 1, 2, 3, 4, 5, 6 };

		c[1] = (struct call){ .nr = FAKE_CALL, .arg = { 1, 2, 3, 4, 5, 6 } };
		c[1].ref[k] = 1;
		want[k] = 7;
		b->count = 2;
		vhost_batch(b);
		CHECK(!memcmp(last, want, sizeof(want)), "%u", k);
	}
}

static u32 run(struct block *b, u32 count, u32 flags)
{
	fakes = 0;
	b->count = count;
	b->flags = flags;
	b->done = 99;
	return vhost_batch(b);
}

void test_batch_must(void)
{
	static const struct {
		i64 ret;
		bool ends;
	} cases[] = {
		{ 0, false }, { 1, false }, { -1, true }, { -EINVAL, true }, { -4095, true }, { -4096, false },
		{ INT64_MIN, false }, { INT64_MAX, false },
	};
	struct block *b = block(1);
	size_t i;

	hook = fake;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		u64 ret = (u64)cases[i].ret;

		put_call(b, 0, FAKE_CALL, 0, 0, 0, MV_CALL_MUST);
		put_call(b, 1, FAKE_CALL, ret, 0, 0, MV_CALL_MUST);
		put_call(b, 2, FAKE_CALL, 5, 0, 0, 0);
		CHECK(run(b, 3, MV_FLAG_RUN) == (cases[i].ends ? 0 : MV_FLAG_RUN), "%ld", cases[i].ret);
		CHECK(b->done == (cases[i].ends ? 2 : 3), "%ld: %u", cases[i].ret, b->done);
		CHECK(fakes == (int)b->done);
		CHECK(calls_of(b)[1].ret == cases[i].ret);
		/* Without the flag no result ends a batch. */
		put_call(b, 1, FAKE_CALL, ret, 0, 0, 0);
		CHECK(run(b, 3, MV_FLAG_RUN) == MV_FLAG_RUN && b->done == 3, "%ld", cases[i].ret);
	}
	/* At the end of a batch, too. */
	put_call(b, 0, FAKE_CALL, (u64)-EPERM, 0, 0, MV_CALL_MUST);
	CHECK(run(b, 1, MV_FLAG_RUN) == 0 && b->done == 1);
}

void test_batch_count(void)
{
	static const u32 counts[] = { 0, 1, 31, 32, 33, 1000, 0x7fffffff, 0x80000000, 0xffffffff };
	struct block *b = block(1);
	size_t i;
	u32 k;

	hook = fake;
	memset((u8 *)b + MV_CALLS, 0, MV_RUN - MV_CALLS);
	for (k = 0; k < MV_MAX_CALLS + 2; k++)
		put_call(b, k, FAKE_CALL, k, 0, 0, 0);
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		u32 want = counts[i] < MV_MAX_CALLS ? counts[i] : MV_MAX_CALLS;

		CHECK(run(b, counts[i], MV_FLAG_RUN) == MV_FLAG_RUN);
		CHECK(fakes == (int)want, "%u: %d", counts[i], fakes);
		CHECK(counts[i] == 0 || b->done == want, "%u: %u", counts[i], b->done);
		CHECK(run(b, counts[i], 0) == 0);
	}
	/* What is behind the calls is not touched. */
	CHECK(calls_of(b)[MV_MAX_CALLS].ret == 0);
}

void test_batch_store(void)
{
	struct block *b = block(1);
	u8 *state = (u8 *)b + MV_RUN, want[0x400];
	i64 ret;
	u64 dirty;
	u32 i;

	hook = fake;
	/* The second result goes to the register, nothing else in kvm_run changes. */
	memset(state, 0xa5, sizeof(want));
	memset(want, 0xa5, sizeof(want));
	for (i = 0; i < 3; i++)
		put_call(b, i, FAKE_CALL, (u64)-(i64)(i + 10), 0, 0, i == 1 ? MV_CALL_STORE : 0);
	CHECK(run(b, 3, MV_FLAG_RUN) == MV_FLAG_RUN);
	ret = -11;
	memcpy(want + MV_RUN_REGS, &ret, sizeof(ret));
	CHECK(!memcmp(state, want, sizeof(want)));

	/* Other dirty bits stay. */
	dirty = 4;
	memcpy(state + MV_RUN_DIRTY, &dirty, sizeof(dirty));
	run(b, 3, 0);
	memcpy(&dirty, state + MV_RUN_DIRTY, sizeof(dirty));
	CHECK(dirty == (4 | MV_SYNC_REGS), "%lx", dirty);

	/* A result that ends the batch is stored, too. */
	put_call(b, 0, FAKE_CALL, (u64)-EPERM, 0, 0, MV_CALL_STORE | MV_CALL_MUST);
	CHECK(run(b, 3, MV_FLAG_RUN) == 0 && b->done == 1);
	memcpy(&ret, state + MV_RUN_REGS, sizeof(ret));
	CHECK(ret == -EPERM, "%ld", ret);
}

void test_batch_signalled(void)
{
	struct block *b = block(1);

	hook = fake;
	handle_signal(SIGUSR1, 0);
	put_call(b, 0, FAKE_CALL, 1, 0, 0, 0);
	put_call(b, 1, SYS_getpid, 0, 0, 0, MV_CALL_INTERRUPTIBLE | MV_CALL_STORE);
	put_call(b, 2, FAKE_CALL, 2, 0, 0, 0);
	b->mask = ~signal_bit(SIGUSR1);
	/* Without a signal all are made. */
	b->signalled = 0;
	CHECK(run(b, 3, MV_FLAG_RUN) == MV_FLAG_RUN && b->done == 3);
	CHECK(calls_of(b)[1].ret == getpid());
	/* With one no further call is. */
	kill(getpid(), SIGUSR1);
	b->count = 3;
	fakes = 0;
	CHECK(on_block_stack(b, vhost_batch) == 0);
	CHECK(b->signalled && b->done == 2 && fakes == 1, "%u %u %d", b->signalled, b->done, fakes);
	CHECK(calls_of(b)[1].ret == MV_NOT_EXECUTED);
	CHECK(info_signal(b) == SIGUSR1, "%d", info_signal(b));
	/* A signal that the mask blocks does not end the call. */
	b->signalled = 0;
	b->mask = ~0ULL;
	kill(getpid(), SIGUSR1);
	CHECK(on_block_stack(b, vhost_batch) == MV_FLAG_RUN);
	CHECK(!b->signalled && b->done == 3);
}

/* The guest is entered after the batch, by KVM_RUN of the block's processor. */
static int entries;

static i64 guest(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_ioctl) {
		entries++;
		return a == 77 && b == 0xae80 && c == 0 ? -EFAULT : -EINVAL;
	}
	return fake(nr, a, b, c, d, e, f);
}

void test_serve_run(void)
{
	struct block *b = block(1);
	int pid;

	hook = guest;
	b->turn = MV_TURN_HOST;
	pid = fork();
	CHECK(pid >= 0, "%m");
	if (pid == 0)
		vhost_serve(b, 1234);
	await_report(b);
	CHECK(b->event == 1234);
	b->vcpu = 77;
	b->run = 1;
	post(b, 0, MV_FLAG_RUN);
	await_report(b);
	CHECK(b->event == MV_EVENT_RUN && b->run == -EFAULT && b->done == 0, "%u %ld %u", b->event, b->run, b->done);
	/* A call that had to succeed did not: no entry. */
	put_call(b, 0, FAKE_CALL, (u64)-EPERM, 0, 0, MV_CALL_MUST);
	b->run = 1;
	post(b, 1, MV_FLAG_RUN);
	await_report(b);
	CHECK(b->event == MV_EVENT_DONE && b->run == 1 && b->done == 1, "%u %ld %u", b->event, b->run, b->done);
	/* Not asked for. */
	post(b, 0, 0);
	await_report(b);
	CHECK(b->event == MV_EVENT_DONE && b->done == 0);
	put_call(b, 0, SYS_exit_group, 3, 0, 0, 0);
	post(b, 1, 0);
	CHECK(wait_status(pid) == 3);
}
