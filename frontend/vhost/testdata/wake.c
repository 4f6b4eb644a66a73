/* How tasks and the monitor wake each other, and the life of tasks. */
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static void pause_for(u64 n)
{
	while (n--)
		__builtin_ia32_pause();
}

/* Where tasks made calls: counts by number of the block on whose stack they were,
 * in memory that children share. */
static struct {
	u64 calls[BLOCKS], elsewhere, polls;
} *trace;

static void start_trace(void)
{
	trace = mmap(NULL, MV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(trace != MAP_FAILED, "%m");
}

static void record(void)
{
	u64 at = (u64)__builtin_frame_address(0), i = (at - MV_BLOCKS) / MV_BLOCK_SIZE;

	/* Above what the monitor and the task share. */
	if (at >= MV_BLOCKS && i < BLOCKS && at % MV_BLOCK_SIZE >= MV_BLOCK_SIZE - 0x4000)
		__atomic_fetch_add(&trace->calls[i], 1, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(&trace->elsewhere, 1, __ATOMIC_RELAXED);
}

/* A wake-up that is lost is never made good for: the wait has no end. FAKE_CALL
 * takes its time. */
static i64 patient(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	record();
	if (nr == SYS_futex && b == 0)
		d = 0;
	if (nr == FAKE_CALL) {
		pause_for(a);
		return (i64)b;
	}
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

enum {
	THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID,
	ROUNDS = 100000,
};

static u32 alive[BLOCKS];

/* Starts a thread of the variant host on block i and takes its first report. */
static struct block *start_thread(int i, u32 spin)
{
	struct block *b = block(i);
	i64 tid;

	memset(b, 0, sizeof(*b));
	b->turn = MV_TURN_HOST;
	b->spin = spin;
	alive[i] = 1;
	tid = vhost_clone(THREAD, 0, (u64)&alive[i], b);
	CHECK(tid > 0, "%ld", tid);
	await_report(b);
	CHECK(b->event == MV_EVENT_BORN && b->tid == tid && b->pid == getpid(), "%u %d %d", b->event, b->pid, b->tid);
	return b;
}

static void end_thread(int i)
{
	struct block *b = block(i);

	put_call(b, 0, SYS_exit, 0, 0, 0, 0);
	post(b, 1, 0);
	while (__atomic_load_n(&alive[i], __ATOMIC_SEQ_CST))
		(void)syscall(SYS_futex, &alive[i], 0, 1, NULL, NULL, 0);
}

/* Mostly short, so that both sides are on their way to sleep at the same time. */
static u32 delay(struct random *r)
{
	switch (next_random(r, 16)) {
	case 0:
		return next_random(r, 5000);
	case 1:
	case 2:
	case 3:
		return next_random(r, 300);
	default:
		return next_random(r, 30);
	}
}

static void rounds(u32 spin)
{
	struct random r = { spin };
	struct block *b;
	u32 n;

	start_trace();
	hook = patient;
	b = start_thread(1, spin);
	for (n = 0; n < ROUNDS; n++) {
		put_call(b, 0, FAKE_CALL, delay(&r), n, 0, 0);
		post(b, 1, 0);
		pause_for(delay(&r));
		await_report(b);
		CHECK(b->event == MV_EVENT_DONE && b->done == 1 && calls_of(b)->ret == n, "%u", n);
	}
	CHECK(the_bell->rung == ROUNDS + 1, "%u", the_bell->rung);
	end_thread(1);
	CHECK(trace->calls[1] > ROUNDS && trace->elsewhere == 0);
	CHECK(b->sleeps <= ROUNDS + 2 && (spin || b->sleeps > ROUNDS / 2), "%lu sleeps", b->sleeps);
	printf("%lu waits and wake-ups in %d rounds\n", trace->calls[1] - ROUNDS - 3, ROUNDS);
}

void test_wake_asleep(void) { rounds(0); }

void test_wake_spinning(void) { rounds(60); }

/* Two tasks that ring one bell. */
void test_wake_two(void)
{
	struct random r = { 2 };
	struct block *b[2];
	u32 sent[2] = { 0 }, reports = 0, i;

	start_trace();
	hook = patient;
	for (i = 0; i < 2; i++)
		b[i] = start_thread((int)i + 1, 20 * i);
	for (i = 0; i < 2; i++) {
		put_call(b[i], 0, FAKE_CALL, 0, 0, 0, 0);
		post(b[i], 1, 0);
	}
	while (reports < ROUNDS) {
		u32 seen = __atomic_load_n(&the_bell->rung, __ATOMIC_SEQ_CST), got = 0;

		for (i = 0; i < 2; i++) {
			if (__atomic_load_n(&b[i]->turn, __ATOMIC_SEQ_CST) != MV_TURN_MONITOR)
				continue;
			CHECK(calls_of(b[i])->ret == sent[i], "%u", sent[i]);
			put_call(b[i], 0, FAKE_CALL, delay(&r), ++sent[i], 0, 0);
			post(b[i], 1, 0);
			got++;
		}
		reports += got;
		if (got)
			continue;
		__atomic_store_n(&the_bell->asleep, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&the_bell->rung, __ATOMIC_SEQ_CST) == seen)
			(void)syscall(SYS_futex, &the_bell->rung, 0, seen, NULL, NULL, 0);
		__atomic_store_n(&the_bell->asleep, 0, __ATOMIC_SEQ_CST);
	}
	for (i = 0; i < 2; i++) {
		await_report(b[i]);
		end_thread((int)i + 1);
	}
	/* Neither waits for the other. */
	CHECK(sent[0] > ROUNDS / 100 && sent[1] > ROUNDS / 100, "%u %u", sent[0], sent[1]);
}

static u32 begin_child(struct block *b) { vhost_child(b); }

/* A child process runs on the stack of its block from its first call on. */
void test_clone_stack(void)
{
	struct block *b = block(1), *child = block(5);
	int parent, status;

	start_trace();
	hook = patient;
	b->turn = MV_TURN_HOST;
	parent = fork();
	CHECK(parent >= 0, "%m");
	if (parent == 0) {
		on_block_stack(b, begin_child);
		_exit(9);
	}
	await_report(b);
	CHECK(b->event == MV_EVENT_BORN && b->pid == parent);
	child->turn = MV_TURN_HOST;
	b->child = (u64)child;
	put_call(b, 0, SYS_clone, SIGCHLD | CLONE_PARENT, 0, 0, MV_CALL_CLONE);
	put_call(b, 1, SYS_getpid, 0, 0, 0, 0);
	post(b, 2, 0);
	await_report(b);
	await_report(child);
	CHECK(b->done == 2 && calls_of(b)[0].ret > 0 && calls_of(b)[1].ret == parent, "%u %ld", b->done, calls_of(b)[0].ret);
	CHECK(child->event == MV_EVENT_BORN && child->pid == calls_of(b)[0].ret && child->tid == child->pid);
	CHECK(trace->calls[5] >= 2 && trace->elsewhere == 0, "%lu %lu", trace->calls[5], trace->elsewhere);
	/* Both go on by themselves. */
	put_call(child, 0, SYS_exit_group, 5, 0, 0, 0);
	post(child, 1, 0);
	CHECK(waitpid(child->pid, &status, __WALL) == child->pid && WEXITSTATUS(status) == 5, "%m");
	put_call(b, 0, SYS_exit_group, 6, 0, 0, 0);
	post(b, 1, 0);
	CHECK(wait_status(parent) == 6);
	CHECK(trace->elsewhere == 0);
}

void test_clone_fails(void)
{
	struct block *b = block(1);

	b->child = (u64)block(5);
	/* CLONE_THREAD needs CLONE_SIGHAND. */
	put_call(b, 0, SYS_clone, CLONE_THREAD, 0, 0, MV_CALL_CLONE | MV_CALL_MUST);
	put_call(b, 1, SYS_getpid, 0, 0, 0, 0);
	b->count = 2;
	CHECK(vhost_batch(b) == 0 && b->done == 1 && calls_of(b)->ret == -EINVAL, "%ld", calls_of(b)->ret);
}

/* Counts how often a waiting task has looked for the monitor. */
static i64 count_polls(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	i64 ret = __real_vhost_call(nr, a, b, c, d, e, f);

	if (nr == SYS_poll)
		__atomic_fetch_add(&trace->polls, 1, __ATOMIC_SEQ_CST);
	return ret;
}

void test_monitor_dies(void)
{
	struct block *b = block(1);
	int pair[2], pid;

	start_trace();
	hook = count_polls;
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "%m");
	b->turn = MV_TURN_HOST;
	b->control = (u32)pair[1];
	pid = fork();
	CHECK(pid >= 0, "%m");
	if (pid == 0) {
		close(pair[0]);
		vhost_serve(b, 0);
	}
	close(pair[1]);
	/* As long as the monitor is there nothing happens, even if it says something. */
	while (__atomic_load_n(&trace->polls, __ATOMIC_SEQ_CST) < 3)
		usleep(10000);
	CHECK(send(pair[0], "x", 1, 0) == 1, "%m");
	while (__atomic_load_n(&trace->polls, __ATOMIC_SEQ_CST) < 6)
		usleep(10000);
	CHECK(waitpid(pid, NULL, WNOHANG) == 0);
	post(b, 0, 0);
	await_report(b);
	CHECK(b->event == MV_EVENT_DONE);
	close(pair[0]);
	CHECK(wait_status(pid) == 128 + SIGKILL);
}
