/* A reader of a ring. */
#include "ring_parts.h"

/* How many of n bytes are equal before the first that differs. Reads each once. */
static u64 equal(const u8 *a, const u8 *b, u64 n)
{
	u64 i, differ;

	for (i = 0; n - i >= 8; i += 8) {
		differ = ((const struct word *)(a + i))->value ^ ((const struct word *)(b + i))->value;
		if (differ)
			return i + (u64)__builtin_ctzll(differ) / 8;
	}
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/* Says how far it is; the writer may be waiting for that. */
static void tell_writer(struct ring *r)
{
	struct ring_reader *me = reader_of(r, r->me);

	r->told = r->pos;
	__atomic_store_n(&me->pos, r->pos, __ATOMIC_RELEASE);
	__atomic_store_n(&me->done, r->seq, __ATOMIC_SEQ_CST);
	if (load32(&writer_of(r)->asleep) == r->me + 1)
		ring_wake(&me->wake);
}

u64 ring_piece(struct ring *r, const u8 **at)
{
	u64 off = r->pos & (r->size - 1);

	if (r->failed || r->me == WRITER || !r->left)
		return 0;
	if (r->pos - r->told >= portion(r))
		tell_writer(r);
	if (r->limit == r->pos && !ring_there(r, 0, r->pos + 1, 0)) {
		if (r->told != r->pos)
			tell_writer(r);
		ring_await(r, 0, r->pos + 1, 0);
	}
	if (r->failed)
		return 0;
	*at = data_of(r) + off;
	return least(least(r->left, r->limit - r->pos), r->size - off);
}

void ring_took(struct ring *r, u64 n)
{
	if (r->me == WRITER || n > r->left || n > r->limit - r->pos) {
		ring_give_up(r, RING_MISUSE, NOBODY);
		return;
	}
	r->pos += n;
	r->left -= n;
}

u32 ring_take(struct ring *r, void *to, u64 n)
{
	const u8 *at;
	u8 *next = to;

	while (n) {
		u64 m = least(ring_piece(r, &at), n);

		if (!m)
			return ring_give_up(r, RING_MISUSE, NOBODY);
		copy(next, at, m);
		ring_took(r, m);
		next += m;
		n -= m;
	}
	return r->failed;
}

u32 ring_match(struct ring *r, const void *p, u64 n, u64 *same)
{
	const u8 *at, *next = p;
	u64 done = 0;

	*same = 0;
	while (done < n) {
		u64 m = least(ring_piece(r, &at), n - done);

		if (!m)
			return ring_give_up(r, RING_MISUSE, NOBODY);
		if (*same == done)
			*same += equal(next + done, at, m);
		ring_took(r, m);
		done += m;
	}
	return r->failed;
}

u32 ring_next(struct ring *r, struct ring_record *rec)
{
	if (r->failed || r->me == WRITER || r->open)
		return ring_give_up(r, RING_MISUSE, NOBODY);
	if (load32(&head_of(r)->abort) & ~(u32)MV_RING_ENDED)
		return ring_give_up(r, RING_ABORTED, NOBODY);
	r->start = r->pos;
	r->left = sizeof(*rec);
	r->open = 1;
	if (ring_take(r, rec, sizeof(*rec)))
		return r->failed;
	if (rec->seq != r->seq || rec->back != r->back || !rec->kind || rec->unused || rec->length > MV_RING_MAX_RECORD)
		return ring_give_up(r, RING_RECORD, LEADER);
	r->left = rec->length;
	return 0;
}

u32 ring_again(struct ring *r)
{
	if (r->failed || r->me == WRITER || !r->open || r->told != r->start)
		return ring_give_up(r, RING_MISUSE, NOBODY);
	r->pos = r->start;
	r->left = 0;
	r->open = 0;
	return 0;
}

u32 ring_done(struct ring *r)
{
	const u8 *at;

	if (r->failed || r->me == WRITER || !r->open)
		return ring_give_up(r, RING_MISUSE, NOBODY);
	while (r->left) {
		u64 m = ring_piece(r, &at);

		if (!m)
			return r->failed;
		ring_took(r, m);
	}
	r->open = 0;
	r->back = r->pos - r->start;
	r->seq++;
	if (__atomic_load_n(&writer_of(r)->awaits, __ATOMIC_RELAXED) >= r->seq)
		r->hurry = RING_HURRY;
	else if (r->hurry)
		r->hurry--;
	tell_writer(r);
	return 0;
}
