/* A keyed hash of what a call reads, in place of that where it is much: NH of each block, with
 * words of 64 bits and a sum of 128, as VHASH has it (Dai, Krovetz, "VHASH Security", 2007), and
 * of these a polynomial modulo 2^127 - 1. Memory that differs has the same hash with a chance of
 * about 2^-64, whatever is in it, for who has chosen it without knowing the key. */
#include "agent_parts.h"

__extension__ typedef unsigned __int128 u128;

enum { WORDS = MV_HASH_WORDS, BLOCK = WORDS * 8 };

/* A hash that is being made. */
struct hash {
	const u64 *key; /* WORDS for blocks, and two for the polynomial */
	u64 *block; /* in the room for copies of what calls read */
	u64 used; /* bytes of the block */
	u128 sum;
};

static const u128 modulus = ((u128)1 << 127) - 1;

/* One bit more than the modulus has is worth two. */
static u128 reduce(u128 v, u64 carries)
{
	v = (v & modulus) + (v >> 127) + 2 * (u128)carries;
	return (v & modulus) + (v >> 127);
}

/* v += x; counts what 128 bits do not hold. */
static u64 add(u128 *v, u128 x)
{
	*v += x;
	return *v < x;
}

/* (a * k + x) mod 2^127 - 1, where a has 127 bits. Of k 126 are used. */
static u128 step(u128 a, const u64 *k, u128 x)
{
	u64 high = (u64)(a >> 64), low = (u64)a, k_high = k[0] >> 2, k_low = k[1], carries = 0;
	u128 mid = (u128)low * k_high + (u128)high * k_low, v = (u128)low * k_low;

	carries += add(&v, mid << 64);
	carries += add(&v, 2 * ((u128)high * k_high + (mid >> 64)));
	carries += add(&v, x);
	return reduce(v, carries);
}

static void end_block(struct hash *s)
{
	u128 v = 0;
	u32 i;

	for (i = 0; i < WORDS; i += 2)
		v += (u128)(s->block[i] + s->key[i]) * (s->block[i + 1] + s->key[i + 1]);
	s->sum = step(s->sum, s->key + WORDS, v);
	s->used = 0;
}

/* Adds memory of the program's; 0 if some of it is not there. */
static int add_range(struct hash *s, u64 at, u64 left)
{
	while (left) {
		u64 n = BLOCK - s->used < left ? BLOCK - s->used : left;

		if (vhost_copy((u8 *)s->block + s->used, (void *)at, n))
			return 0;
		s->used += n;
		at += n;
		left -= n;
		if (s->used == BLOCK)
			end_block(s);
	}
	return 1;
}

int agent_hash(const struct agent *a, const struct ranges *g, u64 *hash)
{
	struct hash s = { .key = (const u64 *)(a->table + MV_HASH_KEY), .block = (u64 *)((u64)a + MV_LARGE - MV_AGENT + a->held) };
	u32 i;

	for (i = 0; i < g->count; i++)
		if (!add_range(&s, g->of[i].at, g->of[i].size))
			return 0;
	/* What is behind the end of the last block is as if it were zeros, so the length counts. */
	for (i = (u32)s.used; i < BLOCK; i++)
		((u8 *)s.block)[i] = 0;
	end_block(&s);
	s.sum = step(s.sum, s.key + WORDS, g->bytes);
	hash[0] = (u64)s.sum;
	hash[1] = (u64)(s.sum >> 64);
	return 1;
}

int agent_is_hashed(const struct agent *a, const struct hot_call *h)
{
	const struct ranges *g = &a->in;
	u32 i;

	/* Where each call is checked the monitor wants to see the bytes. */
	if (g->bytes < MV_HASH_LEAST || h->flags & MV_HOT_TOLD || a->held > MV_LARGE_SIZE - BLOCK)
		return 0;
	for (i = 0; i < g->count; i++)
		if (h->arg[g->of[i].arg % 6].piece[0].size)
			return 0;
	return 1;
}
