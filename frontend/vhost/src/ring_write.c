/* The writer of a ring. */
#include "ring_parts.h"

/* Whether a reader that dozes is to be woken: it has so much to read that it had better begin.
 * One that has been woken may be long in coming, when others have its processor, and is woken
 * again only by who waits for it. */
static int is_due(struct ring *r, u32 i, int urges)
{
	u64 pos = load64(&reader_of(r, i)->pos), done = load64(&reader_of(r, i)->done);

	if (!urges && (r->woken[i] == (u32)done + 1 || (r->pos - pos < r->size / 4 && r->seq - done < r->ahead / 4)))
		return 0;
	r->woken[i] = (u32)done + 1;
	return 1;
}

static void tell_readers(struct ring *r, int urges)
{
	struct ring_writer *w = writer_of(r);
	u32 i, asleep, wakes = 0;

	r->told = r->pos;
	__atomic_store_n(&w->last, r->start, __ATOMIC_RELAXED);
	__atomic_store_n(&w->pos, r->pos, __ATOMIC_SEQ_CST);
	for (i = 0; i < r->readers; i++) {
		asleep = load32(&reader_of(r, i)->asleep);
		wakes |= asleep == RING_SLEEPS || (asleep == RING_DOZES && is_due(r, i, urges));
		if (load32(&reader_of(r, i)->failed))
			ring_give_up(r, RING_PEER, LEADER + 1 + i);
	}
	if (wakes)
		ring_wake(&w->wake);
}

/* Who reads what is in the ring although all readers are done with it, has to know
 * what the writer is about to write over. */
static void reserve(struct ring *r)
{
	u64 end = least(r->limit, r->pos + r->left);

	if (end <= r->reserved)
		return;
	r->reserved = end;
	__atomic_store_n(&writer_of(r)->reserved, end, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Waits until each reader has read up to pos and is done with so many records. */
static void await_all(struct ring *r, u64 pos, u64 done)
{
	u64 read = r->pos;
	u32 i;

	r->settled = r->seq;
	for (i = 0; i < r->readers && !r->failed; i++) {
		if (!ring_there(r, i, pos, done)) {
			tell_readers(r, 1);
			ring_await(r, i, pos, done);
		}
		read = least(read, r->seen[i].pos);
		r->settled = least(r->settled, r->seen[i].done);
	}
	r->limit = read + r->size;
	reserve(r);
}

u32 ring_reserve(struct ring *r, u64 length)
{
	u64 n = sizeof(struct ring_record) + length;

	if (r->failed || r->me != WRITER || r->open || n > r->size)
		return 1;
	if (r->limit - r->pos < n)
		await_all(r, r->pos + n < r->size ? 0 : r->pos + n - r->size, 0);
	return r->failed || r->limit - r->pos < n;
}

u32 ring_begin(struct ring *r, u32 kind, u64 length)
{
	struct ring_record rec = { length, r->seq, r->back, kind, 0 };

	if (r->failed)
		return r->failed;
	if (r->me != WRITER || r->open || !kind || length > MV_RING_MAX_RECORD)
		return ring_give_up(r, RING_MISUSE, NOBODY);
	if (load32(&head_of(r)->abort))
		return ring_give_up(r, RING_ABORTED, NOBODY);
	/* Who has to wait waits for room for several, or there would be a wait for each. */
	if (r->seq - r->settled >= r->ahead)
		await_all(r, 0, r->seq - r->ahead + 1 + r->ahead / 4);
	if (r->failed)
		return r->failed;
	r->start = r->pos;
	r->left = sizeof(rec) + length;
	r->open = 1;
	reserve(r);
	return ring_put(r, &rec, sizeof(rec));
}

u64 ring_room(struct ring *r, u8 **at)
{
	u64 off = r->pos & (r->size - 1), want = portion(r);

	if (r->failed || r->me != WRITER || !r->left)
		return 0;
	if (r->limit == r->pos) {
		await_all(r, r->pos + want < r->size ? 0 : r->pos + want - r->size, 0);
		if (r->failed)
			return 0;
	}
	*at = data_of(r) + off;
	return least(least(r->left, r->limit - r->pos), r->size - off);
}

void ring_wrote(struct ring *r, u64 n)
{
	if (r->me != WRITER || n > r->left || n > r->limit - r->pos) {
		ring_give_up(r, RING_MISUSE, NOBODY);
		return;
	}
	r->pos += n;
	r->left -= n;
}

u32 ring_put(struct ring *r, const void *from, u64 n)
{
	const u8 *next = from;
	u8 *at;

	while (n) {
		u64 m = least(ring_room(r, &at), n);

		if (!m)
			return ring_give_up(r, RING_MISUSE, NOBODY);
		copy(at, next, m);
		ring_wrote(r, m);
		next += m;
		n -= m;
	}
	return r->failed;
}

u32 ring_end(struct ring *r)
{
	if (r->me != WRITER || !r->open || r->left)
		return ring_give_up(r, RING_MISUSE, NOBODY);
	r->open = 0;
	r->back = r->pos - r->start;
	r->seq++;
	return r->failed;
}

u32 ring_publish(struct ring *r)
{
	if (r->failed || r->me != WRITER)
		return ring_give_up(r, RING_MISUSE, NOBODY);
	if (r->told != r->pos)
		tell_readers(r, 0);
	return r->failed;
}

u32 ring_urge(struct ring *r)
{
	if (r->failed || r->me != WRITER)
		return ring_give_up(r, RING_MISUSE, NOBODY);
	tell_readers(r, 1);
	return r->failed;
}

void ring_away(struct ring *r, u32 away)
{
	if (!r->failed && r->me == WRITER)
		__atomic_store_n(&writer_of(r)->away, away, __ATOMIC_RELAXED);
}

u32 ring_drop(struct ring *r)
{
	if (r->failed || r->me != WRITER || !r->open)
		return ring_give_up(r, RING_MISUSE, NOBODY);
	if (r->told > r->start)
		return 0;
	r->pos = r->start;
	r->start -= r->back;
	r->left = 0;
	r->open = 0;
	return 0;
}

u32 ring_await_readers(struct ring *r, u64 seq)
{
	if (r->failed || r->me != WRITER || seq >= r->seq)
		return ring_give_up(r, RING_MISUSE, NOBODY);
	/* Readers learn by this that they had better not doze. */
	__atomic_store_n(&writer_of(r)->awaits, seq + 1, __ATOMIC_RELAXED);
	if (ring_publish(r))
		return r->failed;
	await_all(r, 0, seq + 1);
	return r->failed;
}

