/* Hashes that agents tell each other in place of much memory. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>

#include "agent.h"
#include "ring_test.h"

__extension__ typedef unsigned __int128 u128;

enum { KEY = MV_HASH_WORDS + 2, BLOCK = MV_HASH_WORDS * 8, FD = 7, MUCH = MV_HASH_LEAST + 3 * BLOCK + 5 };

static u8 table[MV_HASH_KEY + KEY * 8] __attribute__((aligned(16)));
static u64 *const key = (u64 *)(table + MV_HASH_KEY);
static const u128 modulus = ((u128)1 << 127) - 1;

/* a * b modulo 2^127 - 1, bit by bit. */
static u128 times(u128 a, u128 b)
{
	u128 v = 0;

	for (; b; b >>= 1) {
		if (b & 1)
			v = (v + a) % modulus;
		a = (a << 1) % modulus;
	}
	return v;
}

/* The hash as its definition says. */
static u128 defined(const u8 *p, u64 size)
{
	u128 k = (u128)(key[MV_HASH_WORDS] >> 2) << 64 | key[MV_HASH_WORDS + 1], v = 0;
	u64 block[MV_HASH_WORDS], at, i, n;

	for (at = 0; at <= size; at += BLOCK) {
		u128 sum = 0;

		memset(block, 0, sizeof(block));
		n = size - at < BLOCK ? size - at : BLOCK;
		memcpy(block, p + at, n);
		for (i = 0; i < MV_HASH_WORDS; i += 2)
			sum += (u128)(block[i] + key[i]) * (block[i + 1] + key[i + 1]);
		v = (times(v, k) + sum % modulus) % modulus;
	}
	return (times(v, k) + size) % modulus;
}

static u64 random_number(struct random *r)
{
	return (u64)next_random(r, 1U << 31) << 42 ^ (u64)next_random(r, 1U << 31) << 21 ^ next_random(r, 1U << 31);
}

static void draw_key(struct random *r)
{
	u32 i;

	for (i = 0; i < KEY; i++)
		key[i] = random_number(r);
}

static u128 hash_of(const struct ranges *g)
{
	struct agent *a = agent_of(block(0));
	u64 hash[2];

	a->table = (u64)table;
	CHECK(agent_hash(a, g, hash));
	return ((u128)hash[1] << 64 | hash[0]) % modulus;
}

static struct ranges whole(const u8 *p, u64 size)
{
	struct ranges g = { .of = { { .at = (u64)p, .home = (u64)p, .size = size } }, .count = 1, .bytes = size };

	return g;
}

/* It is what it is defined to be, of any key and length, also where sums are as large as can be. */
void test_hash_defined(void)
{
	static u8 p[3 * BLOCK + 1];
	struct random r = { 1 };
	struct ranges g;
	u64 size;
	int round;

	copies_may_fault();
	for (round = 0; round < 4; round++) {
		memset(p, round & 1 ? 0xff : 0, sizeof(p));
		if (round & 2)
			memset(key, 0xff, KEY * 8);
		else
			draw_key(&r);
		for (size = 0; size <= sizeof(p); size += 1 + size % 13) {
			g = whole(p, size);
			CHECK(hash_of(&g) == defined(p, size), "of %lu bytes, round %d", size, round);
			if (size)
				p[random_number(&r) % size] = (u8)random_number(&r);
		}
	}
}

/* Each bit of the memory counts, and how much there is; how it is divided does not. */
void test_hash_differs(void)
{
	static u8 p[2 * BLOCK + 9];
	struct random r = { 2 };
	struct ranges g, two;
	u128 hash;
	u64 i;

	copies_may_fault();
	draw_key(&r);
	for (i = 0; i < sizeof(p); i++)
		p[i] = (u8)random_number(&r);
	g = whole(p, sizeof(p));
	hash = hash_of(&g);
	for (i = 0; i < 8 * sizeof(p); i++) {
		p[i / 8] ^= (u8)(1 << i % 8);
		CHECK(hash_of(&g) != hash, "bit %lu does not count", i);
		p[i / 8] ^= (u8)(1 << i % 8);
	}
	CHECK(hash_of(&g) == hash);
	for (i = 0; i <= sizeof(p); i += 31) {
		two = whole(p, i);
		two.of[1] = whole(p + i, sizeof(p) - i).of[0];
		two.count = 2;
		two.bytes = sizeof(p);
		CHECK(hash_of(&two) == hash, "parts of %lu", i);
	}
	memset(p, 0, sizeof(p));
	for (hash = 0, i = 0; i < sizeof(p); i++) {
		g = whole(p, i);
		CHECK(hash_of(&g) != hash, "%lu zeros", i);
		hash = hash_of(&g);
	}
	key[0]++;
	CHECK(hash_of(&g) != hash, "the key does not count");
}

/* Memory that is not there has none. */
void test_hash_absent(void)
{
	struct agent *a = agent_of(block(0));
	u8 *p = mmap(NULL, 2 * MV_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ranges g = whole(p + 1, MV_PAGE);
	u64 hash[2];

	CHECK(p != MAP_FAILED && !munmap(p + MV_PAGE, MV_PAGE), "%m");
	copies_may_fault();
	a->table = (u64)table;
	CHECK(!agent_hash(a, &g, hash));
	g = whole(p, MV_PAGE);
	CHECK(agent_hash(a, &g, hash));
}

static u64 written;

static i64 kernel(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_futex)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	CHECK(nr == SYS_write && a == FD, "%ld", nr);
	written += c;
	return (i64)c;
}

static struct hot_call *prepare(void)
{
	struct hot_call *h = (struct hot_call *)table + SYS_write;
	struct random r = { 3 };
	u32 i;

	memset(table, 0, sizeof(table));
	draw_key(&r);
	*h = (struct hot_call){
		.flags = MV_HOT_CALL,
		.arg = { { .kind = MV_HOT_FD }, { .kind = MV_HOT_BUFFER, .dir = MV_HOT_IN, .length = MV_SIZE_COUNT, .count = 2, .unit = 1, .flags = MV_HOT_BULK },
			 { .kind = MV_HOT_LONG } }
	};
	for (i = 0; i < 2; i++) {
		struct agent *a = agent_of(block((int)i));

		memset(a, 0, sizeof(*a));
		a->table = (u64)table;
		a->fds = 1000;
	}
	written = 0;
	hook = kernel;
	copies_may_fault();
	return h;
}

static int writes(int i, const u8 *p, u64 size)
{
	i64 ret;

	return deal_with(agent_of(block(i)), SYS_write, (u64[4]){ FD, (u64)p, size }, &ret) && ret == (i64)size;
}

static u32 impatient(struct ring *r)
{
	(void)r;
	return RING_IMPATIENT;
}

/* Much more than is in the ring passes through it, of which nobody has compared more than once as
 * much, and a follower that writes something else is found out. */
void test_hash_compared(void)
{
	static u8 p[2][MUCH];
	struct agent *lead = agent_of(block(0)), *follow = agent_of(block(1));
	u32 i;

	prepare();
	pair_up(make_ring(1 << 14, 64, 1, 1, 0));
	for (i = 0; i < MUCH; i++)
		p[0][i] = p[1][i] = (u8)(i * 7);
	for (i = 0; i < 10; i++) {
		CHECK(writes(0, p[0], MUCH - i % 2), "%u: failed %u", i, lead->r.failed);
		if (i < 9)
			CHECK(writes(1, p[1], MUCH - i % 2), "%u: differs %u, failed %u", i, follow->differs, follow->r.failed);
	}
	CHECK(written == 10 * (u64)MUCH - 5, "%lu", written);
	p[1][MUCH - 2] ^= 1;
	CHECK(!writes(1, p[1], MUCH - 1) && follow->differs == MV_DIFFERS_HASH && !follow->r.failed, "%u, failed %u", follow->differs, follow->r.failed);
	CHECK(follow->lead_nr == SYS_write && follow->lead_bytes == MUCH - 1, "%lu", follow->lead_bytes);
	patience_hook = impatient;
	CHECK(!writes(0, p[0], MUCH) && lead->r.failed == RING_IMPATIENT, "%u", lead->r.failed);
	CHECK(written == 10 * (u64)MUCH - 5, "%lu", written);
}

/* What is compared by its members, and what the monitor checks, is told as bytes. */
void test_hash_not(void)
{
	struct hot_call *h = prepare();
	struct agent *a = agent_of(block(0));

	a->in = (struct ranges){ .of = { { .arg = 1, .size = MUCH } }, .count = 1, .bytes = MUCH };
	CHECK(agent_is_hashed(a, h));
	a->in.bytes = MV_HASH_LEAST - 1;
	CHECK(!agent_is_hashed(a, h));
	a->in.bytes = MUCH;
	a->held = MV_LARGE_SIZE - BLOCK + 16;
	CHECK(!agent_is_hashed(a, h), "without room");
	a->held -= 16;
	CHECK(agent_is_hashed(a, h));
	h->arg[1].piece[0].size = 1;
	CHECK(!agent_is_hashed(a, h));
	h->arg[1].piece[0].size = 0;
	h->flags |= MV_HOT_TOLD;
	CHECK(!agent_is_hashed(a, h));
}

/* A leader that says hashed where nobody hashes, or the other way round, has a broken ring. */
void test_hash_unasked(void)
{
	struct agent *lead = agent_of(block(0)), *follow = agent_of(block(1));
	/* struct request of agent_parts.h. */
	u64 q[9] = { SYS_write, FD, 1, 8, 0, 0, 0, 0, 8 }, bytes[2] = { 1, 2 };

	prepare();
	pair_up(make_ring(1 << 14, 64, 1, 1, 0));
	CHECK(!ring_begin(&lead->r, MV_RECORD_HASHED, sizeof(q) + MV_HASH_SIZE) && !ring_put(&lead->r, q, sizeof(q)) &&
	      !ring_put(&lead->r, bytes, MV_HASH_SIZE) && !ring_end(&lead->r) && !ring_publish(&lead->r));
	CHECK(!writes(1, (u8 *)bytes, 8) && follow->r.failed == RING_EVENT, "%u", follow->r.failed);
}
