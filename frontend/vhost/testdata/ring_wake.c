/* How the ends of a ring wait for each other, and are told. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring_test.h"
#include "traced.h"

/* Whether who begins to wait stops for the tracer first. */
static bool trap_in_await;

typedef void await_fn(struct ring *r, u32 who, u64 pos, u64 done);
await_fn __real_ring_await, __wrap_ring_await;

void __wrap_ring_await(struct ring *r, u32 who, u64 pos, u64 done)
{
	if (trap_in_await)
		__asm__ volatile("int3");
	trap_in_await = false;
	__real_ring_await(r, who, pos, done);
}

/* What a child does that has to wait for it, and what its peer does meanwhile. */
struct scene {
	const char *name;
	void (*child)(struct ring *r);
	void (*parent)(struct ring *w, u8 *base);
	bool writer; /* the child is the writer */
	u32 want;
};

static void next_one(struct ring *r)
{
	struct ring_record rec;

	if (ring_next(r, &rec) == 0)
		CHECK(rec.seq == 0 && ring_done(r) == 0);
}

static void put_one(struct ring *w, u8 *base)
{
	(void)base;
	CHECK(write_record(w, 0, 5) == 0);
}

static void await_one(struct ring *w) { (void)ring_await_readers(w, 0); }

static void read_one(struct ring *r, u8 *base)
{
	(void)base;
	CHECK(read_record(r, 0, 5) == 0);
}

static void abort_it(struct ring *r, u8 *base)
{
	(void)r;
	abort_ring(base);
}

static void fail_it(struct ring *r, u8 *base)
{
	(void)base;
	ring_fail(r, RING_EVENT);
}

static const struct scene scenes[] = {
	{ "a reader waits for a record", next_one, put_one, false, 0 },
	{ "a reader is aborted", next_one, abort_it, false, RING_ABORTED },
	{ "a reader's writer fails", next_one, fail_it, false, RING_PEER },
	{ "the writer waits for a reader", await_one, read_one, true, 0 },
	{ "the writer is aborted", await_one, abort_it, true, RING_ABORTED },
	{ "the writer's reader fails", await_one, fail_it, true, RING_PEER },
};

/* Lets the parent act before the child's instruction n of a wait; returns whether the
 * child falls asleep with an earlier one. */
static bool act_before(const struct scene *s, int n)
{
	u8 *base = make_ring(64, 10, 1, 0, 0);
	const u32 *asleep = s->writer ? &ring_writer(base)->asleep : &ring_reader(base, 0)->asleep;
	struct ring w, r, *mine = s->writer ? &w : &r;
	bool over = false;
	int pid, k;
	u64 ip;

	CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
	if (s->writer)
		CHECK(write_record(&w, 0, 5) == 0);
	pid = fork();
	CHECK(pid >= 0, "%m");
	if (pid == 0) {
		be_traced();
		trap_in_await = true;
		s->child(mine);
		CHECK(mine->failed == s->want, "%u", mine->failed);
		_exit(0);
	}
	await_trap(pid);
	at_breakpoint(pid, &ip);
	for (k = 0; k < n && !over; k++) {
		/* From the call in which it sleeps no step returns. */
		over = at_syscall(pid, ip) && *asleep;
		if (!over) {
			step(pid);
			at_breakpoint(pid, &ip);
		}
	}
	s->parent(s->writer ? &r : &w, base);
	CHECK(let_run(pid) == 0, "%s: before instruction %d, at %lx", s->name, n, ip);
	munmap(base - MV_PAGE, MV_RING_DATA + 3 * MV_PAGE);
	return over;
}

/* The peer acts before each single instruction in turn of one that goes to sleep, or
 * before each seventh where the scene is but another's with another end. */
void test_ring_wait_everywhere(void)
{
	size_t i;
	int n;

	limit_time(200);
	hook = patient_call;
	for (i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		for (n = 0; !act_before(&scenes[i], n); n += scenes[i].want ? 7 : 1)
			;
		printf("%s: %d instructions\n", scenes[i].name, n);
		CHECK(n > 50);
	}
}

/* How often somebody was woken, in memory that children share. */
static struct {
	int wakes;
} *count;

static i64 count_wakes(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_futex && b == FUTEX_WAKE)
		count->wakes++;
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

static void publish_one(struct ring *w) { CHECK(ring_publish(w) == 0); }
static void done_one(struct ring *r) { CHECK(ring_done(r) == 0); }

/* The peer falls asleep before each single instruction in turn of what it waits for. */
static void fall_asleep_in(bool writer)
{
	int slept = 0, awake = 0, n, k;

	for (n = 0;; n++) {
		u8 *base = make_ring(64, 10, 1, 0, 0);
		u32 *asleep = writer ? &ring_reader(base, 0)->asleep : &ring_writer(base)->asleep;
		u64 *pos = writer ? &ring_writer(base)->pos : &ring_reader(base, 0)->done;
		struct ring_record rec;
		struct ring w, r;
		bool sleeps, over;
		int pid;
		u64 ip;

		CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
		CHECK(ring_begin(&w, 1, 0) == 0 && ring_end(&w) == 0);
		if (!writer)
			CHECK(ring_publish(&w) == 0 && ring_next(&r, &rec) == 0);
		count->wakes = 0;
		pid = fork();
		CHECK(pid >= 0, "%m");
		if (pid == 0) {
			be_traced();
			__asm__ volatile("int3");
			if (writer)
				publish_one(&w);
			else
				done_one(&r);
			__asm__ volatile("int3");
			_exit(0);
		}
		await_trap(pid);
		over = at_breakpoint(pid, &ip);
		for (k = 0; k < n; k++) {
			step(pid);
			over = at_breakpoint(pid, &ip);
		}
		__atomic_store_n(asleep, 1, __ATOMIC_SEQ_CST);
		sleeps = __atomic_load_n(pos, __ATOMIC_SEQ_CST) == 0;
		CHECK(let_run(pid) == 0);
		CHECK(!sleeps || count->wakes == 1, "asleep before instruction %d, at %lx: not woken", n, ip);
		slept += sleeps;
		awake += !sleeps;
		munmap(base - MV_PAGE, MV_RING_DATA + 3 * MV_PAGE);
		if (over)
			break;
	}
	CHECK(slept > 2 && awake > 2, "%d %d", slept, awake);
}

void test_ring_wake_everywhere(void)
{
	limit_time(200);
	count = mmap(NULL, MV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(count != MAP_FAILED, "%m");
	hook = count_wakes;
	fall_asleep_in(true);
	fall_asleep_in(false);
}

/* Two readers and a writer that meet at random, without a second chance. */
static void meet(u32 spin, u32 flags, u64 size, u64 rounds)
{
	u8 *base = make_ring(size, 3, 2, spin, flags);
	struct random random = { spin + 1 };
	struct ring r;
	int pid[2];
	u64 seq;
	u32 i;

	limit_time(200);
	hook = patient_call;
	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		CHECK(pid[i] >= 0, "%m");
		if (pid[i])
			continue;
		random.state = 17 * i;
		CHECK(ring_attach_reader(&r, base, i) == 0);
		for (seq = 0; seq < rounds; seq++) {
			random_pause(&random);
			CHECK(read_record(&r, seq, seq % 100) == 0, "%u", r.failed);
		}
		_exit(0);
	}
	CHECK(ring_attach_writer(&r, base) == 0);
	for (seq = 0; seq < rounds; seq++) {
		random_pause(&random);
		CHECK(write_record(&r, seq, seq % 100) == 0, "%u", r.failed);
		if (seq % 2)
			CHECK(ring_await_readers(&r, seq) == 0);
	}
	CHECK(wait_status(pid[0]) == 0 && wait_status(pid[1]) == 0);
}

void test_ring_asleep(void)
{
	meet(0, 0, 128, 5000);
	meet(0, 0, 4096, 5000);
}

void test_ring_spinning(void)
{
	meet(300, 0, 64, 4000);
	meet(5000, 0, 4096, 5000);
}

static i64 no_futex(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	CHECK(nr != SYS_futex || b == FUTEX_WAKE, "sleeps");
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

static u32 patience_left;

static u32 lose_patience(struct ring *r)
{
	(void)r;
	return --patience_left ? 0 : RING_IMPATIENT;
}

/* Who must not sleep does not, and is asked for patience all the same. */
void test_ring_spin_only(void)
{
	u8 *base = make_ring(64, 1, 1, 100, MV_RING_SPIN_ONLY);
	struct ring_record rec;
	struct ring r;
	int pid;
	u64 seq;

	limit_time(200);
	hook = no_futex;
	pid = fork();
	CHECK(pid >= 0, "%m");
	CHECK(ring_attach_reader(&r, base, 0) == 0);
	if (pid == 0) {
		CHECK(ring_attach_writer(&r, base) == 0);
		for (seq = 0; seq < 200; seq++)
			CHECK(write_record(&r, seq, seq) == 0 && ring_await_readers(&r, seq) == 0);
		_exit(0);
	}
	for (seq = 0; seq < 200; seq++)
		CHECK(read_record(&r, seq, seq) == 0);
	CHECK(wait_status(pid) == 0);
	patience_hook = lose_patience;
	patience_left = 2;
	CHECK(ring_next(&r, &rec) == RING_IMPATIENT && patience_left == 0);
}

static u8 *watched;

static u32 reader_looks(struct ring *r)
{
	(void)r;
	CHECK(ring_reader(watched, 0)->asleep == RING_LOOKS, "%u", ring_reader(watched, 0)->asleep);
	return RING_IMPATIENT;
}

static u32 writer_looks(struct ring *r)
{
	(void)r;
	CHECK(ring_writer(watched)->asleep == (RING_LOOKS | 2), "%u", ring_writer(watched)->asleep);
	return RING_IMPATIENT;
}

/* Who waits without sleep says so all the same, and for whom, to who watches. */
void test_ring_looks(void)
{
	struct ring_record rec;
	struct ring w, r;

	watched = make_ring(64, 1, 2, 100, MV_RING_SPIN_ONLY);
	hook = no_futex;
	CHECK(ring_attach_writer(&w, watched) == 0 && ring_attach_reader(&r, watched, 0) == 0);
	CHECK(write_record(&w, 0, 3) == 0 && read_record(&r, 0, 3) == 0);
	patience_hook = reader_looks;
	CHECK(ring_next(&r, &rec) == RING_IMPATIENT && ring_reader(watched, 0)->asleep == 0 && !r.sleeps);
	watched = make_ring(64, 1, 2, 100, MV_RING_SPIN_ONLY);
	CHECK(ring_attach_writer(&w, watched) == 0 && ring_attach_reader(&r, watched, 0) == 0);
	CHECK(write_record(&w, 0, 3) == 0 && read_record(&r, 0, 3) == 0);
	patience_hook = writer_looks;
	CHECK(ring_await_readers(&w, 0) == RING_IMPATIENT && ring_writer(watched)->asleep == 0);
}

/* A reader does not spin for what comes of a call in which the writer may sleep. */
void test_ring_away(void)
{
	u8 *base = make_ring(64, 1, 1, INT32_MAX, 0);
	struct ring w, r;
	int pid;

	limit_time(200);
	CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
	CHECK(write_record(&w, 0, 3) == 0 && read_record(&r, 0, 3) == 0);
	ring_away(&w, 1);
	pid = fork();
	CHECK(pid >= 0, "%m");
	if (pid == 0) {
		CHECK(read_record(&r, 1, 5) == 0 && r.sleeps == 1 && r.patience == INT32_MAX);
		_exit(0);
	}
	while (__atomic_load_n(&ring_reader(base, 0)->asleep, __ATOMIC_SEQ_CST) != RING_SLEEPS)
		usleep(100);
	ring_away(&w, 0);
	CHECK(write_record(&w, 1, 5) == 0);
	CHECK(wait_status(pid) == 0);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Who waits is asked for patience every tenth of a second, and may have none. */
void test_ring_patience(void)
{
	u8 *base = make_ring(64, 1, 1, 100, 0);
	struct ring_record rec;
	struct ring w, r;
	double begun = now(), waited;

	limit_time(200);
	CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
	patience_hook = lose_patience;
	patience_left = 3;
	CHECK(ring_next(&r, &rec) == RING_IMPATIENT && patience_left == 0);
	waited = now() - begun;
	CHECK(waited > 0.25 && r.sleeps == 1, "%f, %lu sleeps", waited, r.sleeps);
	printf("3 times in %f s\n", waited);
	CHECK(ring_reader(base, 0)->failed == RING_IMPATIENT);
	CHECK(write_record(&w, 0, 5) == RING_PEER);
	CHECK(ring_writer(base)->failed == (RING_PEER | 2 << 8));
}

/* One reader finds garbage while the writer waits for another reader and a third waits
 * for the writer: all are told. */
void test_ring_fault_told(void)
{
	u8 *base = make_ring(64, 1, 3, 100, 0);
	struct ring w, r;
	double begun;
	int pid[2];

	limit_time(200);
	CHECK(ring_attach_writer(&w, base) == 0 && write_record(&w, 0, 5) == 0);
	pid[0] = fork();
	CHECK(pid[0] >= 0, "%m");
	if (pid[0] == 0) {
		CHECK(ring_attach_reader(&r, base, 2) == 0 && read_record(&r, 0, 5) == 0);
		CHECK(read_record(&r, 1, 5) == RING_PEER);
		_exit(0);
	}
	pid[1] = fork();
	CHECK(pid[1] >= 0, "%m");
	if (pid[1] == 0) {
		CHECK(ring_await_readers(&w, 0) == RING_PEER && ring_writer(base)->failed == (RING_PEER | 3 << 8));
		_exit(0);
	}
	while (!__atomic_load_n(&ring_writer(base)->asleep, __ATOMIC_SEQ_CST) || !__atomic_load_n(&ring_reader(base, 2)->asleep, __ATOMIC_SEQ_CST))
		usleep(100);
	CHECK(ring_attach_reader(&r, base, 1) == 0 && read_record(&r, 0, 5) == 0);
	begun = now();
	ring_fail(&r, RING_EVENT);
	CHECK(wait_status(pid[0]) == 0 && wait_status(pid[1]) == 0);
	printf("told after %f s\n", now() - begun);
}

static i64 refuse_futex(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	return nr == SYS_futex ? -EPERM : __real_vhost_call(nr, a, b, c, d, e, f);
}

/* Where the kernel does not let it sleep a ring asks for patience, rather than for ever. */
void test_ring_no_futex(void)
{
	u8 *base = make_ring(64, 1, 1, 100, 0);
	struct ring_record rec;
	struct ring r;

	limit_time(200);
	hook = refuse_futex;
	patience_hook = lose_patience;
	patience_left = 5;
	CHECK(ring_attach_reader(&r, base, 0) == 0 && ring_next(&r, &rec) == RING_IMPATIENT && patience_left == 0);
}
