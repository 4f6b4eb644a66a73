/* Reads of the time stamp counter with which agents deal. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

#include "../src/agent.h"
#include "ring_test.h"

static struct hot_call table[MV_HOT_CALLS];
static struct tally tally[MV_HOT_CALLS];
static u64 clock_ns;
static i64 clock_fails, processor_fails;
static u32 looks;

static const u8 rdtsc[] = { 0x0f, 0x31 }, rdtscp[] = { 0x0f, 0x01, 0xf9 };

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	switch (nr) {
	case SYS_clock_gettime:
		*(struct timespec *)b = (struct timespec){ .tv_sec = (time_t)(clock_ns / 1000000000), .tv_nsec = (long)(clock_ns % 1000000000) };
		if (a != CLOCK_MONOTONIC_RAW)
			return 0;
		looks++;
		return clock_fails;
	case SYS_getcpu:
		*(u32 *)a = 3;
		*(u32 *)b = 2;
		return processor_fails;
	case SYS_getppid:
		return 4711;
	}
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

static struct agent *prepare(int i)
{
	struct agent *a = agent_of(block(i));

	memset(a, 0, sizeof(*a));
	memset(table, 0, sizeof(table));
	table[SYS_getppid].flags = MV_HOT_CALL;
	table[MV_STAMP_ENTRY].flags = table[MV_STAMP_ENTRY + 1].flags = MV_HOT_STAMP;
	a->table = (u64)table;
	a->fds = 1000;
	a->lease = a->interval = 1;
	a->cycles = 1000;
	a->since = 5000;
	a->scale = 3ULL << MV_SCALE_BITS;
	clock_ns = 5000;
	clock_fails = processor_fails = 0;
	looks = 0;
	hook = kernel;
	return a;
}

/* A leader's agent and its follower's, by a ring that is returned. */
static u8 *prepare_pair(struct agent **lead, struct agent **follow)
{
	u8 *base = make_ring(1 << 16, 16, 1, 1, 0);

	copies_may_fault();
	*follow = prepare(1);
	*lead = prepare(0);
	pair_up(base);
	return base;
}

/* What becomes of the registers: all of them are to stay but those that the instruction changes. */
static ucontext_t at(const u8 *code)
{
	ucontext_t u;

	memset(&u, 0x5a, sizeof(u));
	u.uc_mcontext.gregs[REG_RIP] = (greg_t)code;
	u.uc_mcontext.gregs[REG_EFL] = 0x202;
	return u;
}

static int stamp(struct agent *a, const u8 *code, ucontext_t *u)
{
	u8 bytes[2][3] = { { 0 } };
	u32 n = agent_code((u64)code, bytes[0]);

	/* Both ways to find out what is there say the same. */
	CHECK(agent_peek((u64)code, bytes[1]) == n && !memcmp(bytes[0], bytes[1], n), "%u bytes", n);
	*u = at(code);
	return agent_stamp((struct block *)((u8 *)a - MV_AGENT), (struct ucontext *)u, bytes[0], n);
}

static void unchanged(const ucontext_t *u, const u8 *code)
{
	ucontext_t before = at(code);

	CHECK(!memcmp(u, &before, sizeof(before)), "the program's registers have changed");
}

static void got(const ucontext_t *u, const u8 *code, u64 size, u64 cycles, u64 processor)
{
	ucontext_t want = at(code);

	want.uc_mcontext.gregs[REG_RIP] += (greg_t)size;
	want.uc_mcontext.gregs[REG_RAX] = (u32)cycles;
	want.uc_mcontext.gregs[REG_RDX] = (greg_t)(cycles >> 32);
	if (size == sizeof(rdtscp))
		want.uc_mcontext.gregs[REG_RCX] = (greg_t)processor;
	CHECK(!memcmp(u, &want, sizeof(want)), "%llx:%llx, %llx, at %llx", u->uc_mcontext.gregs[REG_RDX], u->uc_mcontext.gregs[REG_RAX], u->uc_mcontext.gregs[REG_RCX], u->uc_mcontext.gregs[REG_RIP] - (greg_t)code);
}

/* The leader's reads are what its scale makes of the clock, and the followers' are the same, whatever
 * their clocks say. */
void test_stamp_told(void)
{
	struct agent *follow, *lead;
	ucontext_t u[2];
	u32 i;

	prepare_pair(&lead, &follow);
	lead->tally = (u64)tally;
	for (i = 0; i < 40; i++) {
		const u8 *code = i % 4 ? rdtsc : rdtscp;
		u64 size = i % 4 ? sizeof(rdtsc) : sizeof(rdtscp), cycles;

		clock_ns += 1ULL << i;
		cycles = 1000 + 3 * (clock_ns - 5000);
		CHECK(stamp(lead, code, &u[0]), "read %u", i);
		clock_ns += 7;
		looks = 0;
		CHECK(stamp(follow, code, &u[1]) && !looks, "read %u, differs %u", i, follow->differs);
		got(&u[0], code, size, cycles, 2 << 12 | 3);
		got(&u[1], code, size, cycles, 2 << 12 | 3);
	}
	CHECK(lead->calls == 40 && follow->calls == 40 && !lead->at && !follow->at, "%lu, %lu", lead->calls, follow->calls);
	CHECK(tally[MV_STAMP_ENTRY].calls == 30 && tally[MV_STAMP_ENTRY + 1].calls == 10 && !tally[MV_STAMP_ENTRY].errors, "%lu and %lu",
	      tally[MV_STAMP_ENTRY].calls, tally[MV_STAMP_ENTRY + 1].calls);
}

/* One that has no ring has no followers. */
void test_stamp_alone(void)
{
	struct agent *a = prepare(0);
	ucontext_t u;

	copies_may_fault();
	CHECK(stamp(a, rdtsc, &u), "alone");
	got(&u, rdtsc, sizeof(rdtsc), 1000, 0);
}

/* A follower that does something else than its leader, which either is told: a call in place of a read
 * by its agent, a read by the monitor, which finds what is in the ring. */
void test_stamp_differs(void)
{
	struct agent *follow, *lead;
	u8 *base = prepare_pair(&lead, &follow);
	ucontext_t u;
	i64 ret;

	CHECK(deal_with(lead, SYS_getppid, (u64[4]){ 0 }, &ret), "the leader's call");
	CHECK(!stamp(follow, rdtsc, &u) && !follow->differs && !follow->r.failed && follow->interval && !follow->at, "a read in place of a call");
	unchanged(&u, rdtsc);
	CHECK(ring_reader(base, 0)->pos == 0 && ring_reader(base, 0)->done == 0, "the call was taken");
	/* It is the leader's next one still. */
	CHECK(deal_with(follow, SYS_getppid, (u64[4]){ 0 }, &ret) && ret == 4711, "%ld", ret);

	CHECK(stamp(lead, rdtscp, &u), "the leader's read");
	CHECK(!stamp(follow, rdtsc, &u) && !follow->differs && !follow->r.failed, "another read");
	unchanged(&u, rdtsc);
	CHECK(stamp(follow, rdtscp, &u), "the same read");

	CHECK(stamp(lead, rdtscp, &u), "the leader's read");
	CHECK(!deal_with(follow, SYS_getppid, (u64[4]){ 0 }, &ret) && follow->differs == MV_DIFFERS_CALL, "%u", follow->differs);
	CHECK(follow->lead_nr == MV_STAMP_NR && follow->lead[0] == 1 && !follow->lead_bytes, "%ld", follow->lead_nr);
	CHECK(!stamp(follow, rdtscp, &u), "it goes on");
}

/* What a leader's agent does not read is the monitor's, and so is the followers'. */
void test_stamp_refused(void)
{
	struct {
		u32 lease, flags;
		u64 scale;
		i64 clock_fails, processor_fails;
	} list[] = { { 0, MV_HOT_STAMP, 1, 0, 0 }, { 1, 0, 1, 0, 0 }, { 1, MV_HOT_STAMP, 0, 0, 0 }, { 1, MV_HOT_STAMP, 1, -EPERM, 0 }, { 1, MV_HOT_STAMP, 1, 0, -EPERM } };
	ucontext_t u;
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct agent *follow, *lead;

		prepare_pair(&lead, &follow);
		lead->lease = list[i].lease;
		lead->scale = list[i].scale;
		table[MV_STAMP_ENTRY + 1].flags = list[i].flags;
		clock_fails = list[i].clock_fails;
		processor_fails = list[i].processor_fails;
		CHECK(!stamp(lead, rdtscp, &u) && lead->interval && !lead->r.failed, "%u", i);
		unchanged(&u, rdtscp);
		agent_stops(block(0));
		CHECK(!lead->interval && !stamp(follow, rdtscp, &u) && !follow->interval && !follow->differs, "%u: differs %u", i, follow->differs);
		unchanged(&u, rdtscp);
	}
}

/* What a leader tells that cannot be is the ring's fault, and leads nowhere. */
void test_stamp_forged(void)
{
	static const struct {
		u32 kind;
		u64 length;
		u64 bytes; /* of the result */
	} list[] = { { MV_RECORD_RESULT, 96, 0 }, { MV_RECORD_WHOLE, 71, 0 }, { MV_RECORD_WHOLE, 95, 0 }, { MV_RECORD_WHOLE, 104, 0 }, { MV_RECORD_WHOLE, 96, 1 }, { 77, 96, 0 } };
	ucontext_t u;
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct agent *follow, *lead;
		u64 record[16] = { (u64)MV_STAMP_NR };

		prepare_pair(&lead, &follow);
		record[10] = list[i].bytes;
		CHECK(!ring_begin(&lead->r, list[i].kind, list[i].length) && !ring_put(&lead->r, record, list[i].length) && !ring_end(&lead->r) &&
		      !ring_publish(&lead->r), "%u", i);
		CHECK(!stamp(follow, rdtsc, &u) && follow->r.failed == RING_EVENT && follow->differs == MV_DIFFERS_RING, "%u: %u, %u", i, follow->r.failed, follow->differs);
		unchanged(&u, rdtsc);
	}
}

/* Which instructions are reads: whole ones, in the program's memory, that nobody steps through. */
void test_stamp_code(void)
{
	u8 *page = mmap(NULL, 2 * MV_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = page + MV_PAGE;
	struct agent *a = prepare(0);
	ucontext_t u;

	CHECK(page != MAP_FAILED && !munmap(end, MV_PAGE), "%m");
	copies_may_fault();
	memcpy(end - 3, rdtscp, 3);
	CHECK(stamp(a, end - 3, &u), "at the end of memory");
	memcpy(end - 2, rdtsc, 2);
	CHECK(stamp(a, end - 2, &u), "at the end of memory");
	memcpy(end - 2, rdtscp, 2);
	CHECK(!stamp(a, end - 2, &u), "half of it is not there");
	end[-1] = 0x0f;
	CHECK(!stamp(a, end - 1, &u) && !stamp(a, end, &u), "it is not there");
	memcpy(page, "\x0f\x01\xf8\x0f\x32\x90\x31", 7);
	CHECK(!stamp(a, page, &u) && !stamp(a, page + 3, &u) && !stamp(a, page + 5, &u), "something else");
	CHECK(!stamp(a, (u8 *)MV_SLOT, &u), "the variant host's");
	u = at(rdtsc);
	u.uc_mcontext.gregs[REG_EFL] |= 1 << 8;
	CHECK(!agent_stamp(block(0), (struct ucontext *)&u, rdtsc, sizeof(rdtsc)), "stepped through");
	a->interval = 0;
	CHECK(!stamp(a, rdtsc, &u), "outside of an interval");
}

/* A record is the next one again as long as the writer has not been told of some of it. */
void test_ring_again(void)
{
	u8 *base = make_ring(256, 10, 1, 0, 0);
	struct ring_record rec;
	struct ring w, r;
	u64 seq;

	CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
	for (seq = 0; seq < 50; seq++) {
		CHECK(write_record(&w, seq, 40) == 0);
		CHECK(ring_next(&r, &rec) == 0 && ring_take(&r, &rec, 16) == 0 && ring_again(&r) == 0);
		CHECK(ring_next(&r, &rec) == 0 && ring_again(&r) == 0);
		CHECK(read_record(&r, seq, 40) == 0);
	}
	CHECK(ring_again(&w) == RING_MISUSE);
	CHECK(ring_again(&r) == RING_MISUSE);
	base = make_ring(256, 10, 1, 0, 0);
	CHECK(ring_attach_writer(&w, base) == 0 && ring_attach_reader(&r, base, 0) == 0);
	CHECK(write_record(&w, 0, 200) == 0 && ring_next(&r, &rec) == 0);
	r.left = 1;
	ring_took(&r, 1);
	r.told = r.pos;
	CHECK(ring_again(&r) == RING_MISUSE);
}
