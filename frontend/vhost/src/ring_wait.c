/* Waiting for peers, and what is believed of them. Who waits looks for a while, then
 * says that it is asleep, looks again, and sleeps on a word that the other side changes
 * when it sees that. docs/model/ring.pml is a model of it. */
#include "kernel.h"
#include "ring_parts.h"

enum {
	/* Below this spinning costs less than to find out that it is of no use. */
	LEAST_SPIN = 64,
	/* So many looks are made at a time before others may have the processor, maybe the peer,
	 * or whoever sends what the peer waits for. */
	COURTESY = 64,
	/* One in so many waits spins as long as can be: maybe that has become of use. */
	PROBE = 16,
	/* So many looks are made while the writer may sleep for long, and maybe does not. */
	AWAY_SPIN = 128,
	/* Looks between two system calls of who must not sleep, and rounds of that which
	 * take about as long as a sleep. */
	ROUND = 4096,
	ROUNDS = 64,
};

void ring_wake(u32 *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
	vhost_call(SYS_futex, (u64)word, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
}

u32 ring_give_up(struct ring *r, u32 reason, u32 culprit)
{
	u32 *failed = r->me == WRITER ? &writer_of(r)->failed : &reader_of(r, r->me)->failed;

	if (r->failed)
		return r->failed;
	r->failed = reason;
	__atomic_store_n(failed, reason | culprit << 8, __ATOMIC_SEQ_CST);
	ring_wake(r->me == WRITER ? &writer_of(r)->wake : &reader_of(r, r->me)->wake);
	return reason;
}

u32 ring_fail(struct ring *r, u32 reason) { return ring_give_up(r, reason, NOBODY); }

static u32 attach(struct ring *r, void *base, u32 me)
{
	const struct ring_head *h = base;
	u32 i;

	for (i = 0; i < sizeof(*r); i++)
		((u8 *)r)[i] = 0;
	r->base = base;
	r->me = me;
	r->size = h->size;
	r->ahead = h->ahead;
	r->readers = h->readers;
	r->spin = h->spin;
	r->flags = h->flags;
	r->patience = r->spin;
	r->hurry = RING_HURRY;
	if (r->size == 0 || r->size > MV_RING_MAX_SIZE || (r->size & (r->size - 1)) || r->ahead == 0 ||
	    r->readers > MV_RING_READERS || (me != WRITER && me >= r->readers))
		r->failed = RING_HEAD;
	if (me == WRITER)
		r->limit = r->size;
	return r->failed;
}

u32 ring_attach_writer(struct ring *r, void *base) { return attach(r, base, WRITER); }
u32 ring_attach_reader(struct ring *r, void *base, u32 number) { return attach(r, base, number < WRITER ? number : WRITER + 1); }

/* What a peer says of itself counts, or the ring fails. */
static void note_reader(struct ring *r, u32 i)
{
	const struct ring_reader *from = reader_of(r, i);
	u64 pos = load64(&from->pos), done = load64(&from->done);

	if (load32(&from->failed))
		ring_give_up(r, RING_PEER, LEADER + 1 + i);
	else if (pos < r->seen[i].pos || pos > r->told || done < r->seen[i].done || done > r->seq + r->open)
		ring_give_up(r, RING_POSITION, LEADER + 1 + i);
	if (r->failed)
		return;
	r->seen[i].pos = pos;
	r->seen[i].done = done;
}

static void note_writer(struct ring *r)
{
	const struct ring_writer *from = writer_of(r);
	u64 pos = load64(&from->pos);

	if (load32(&from->failed))
		ring_give_up(r, RING_PEER, LEADER);
	else if (pos < r->limit || pos - r->told > r->size)
		ring_give_up(r, RING_POSITION, LEADER);
	else
		r->limit = pos;
}

int ring_there(struct ring *r, u32 who, u64 pos, u64 done)
{
	u32 abort = load32(&head_of(r)->abort);

	if (abort && (abort != MV_RING_ENDED || r->me == WRITER))
		ring_give_up(r, RING_ABORTED, NOBODY);
	else if (r->me == WRITER)
		note_reader(r, who);
	else
		note_writer(r);
	/* What the writer has told before it ended is read. */
	if (abort && !r->failed && r->limit < pos)
		ring_give_up(r, RING_ABORTED, NOBODY);
	if (r->failed)
		return 1;
	if (r->me == WRITER)
		return r->seen[who].pos >= pos && r->seen[who].done >= done;
	return r->limit >= pos;
}

/* The writer may be waiting for another reader than the one that has failed. */
static void ask_patience(struct ring *r)
{
	u32 i, reason = ring_patience(r);

	if (reason)
		ring_give_up(r, reason, NOBODY);
	for (i = 0; r->me == WRITER && i < r->readers; i++)
		note_reader(r, i);
}

static void spin_on(struct ring *r, u32 who, u64 pos, u64 done)
{
	u32 *asleep = r->me == WRITER ? &writer_of(r)->asleep : &reader_of(r, r->me)->asleep;
	u32 i, rounds = 0;

	for (;;) {
		for (i = 0; i < ROUND; i++) {
			if (ring_there(r, who, pos, done)) {
				if (rounds)
					__atomic_store_n(asleep, 0, __ATOMIC_RELEASE);
				return;
			}
			__builtin_ia32_pause();
		}
		__atomic_store_n(asleep, RING_LOOKS | (r->me == WRITER ? who + 1 : 0), __ATOMIC_RELEASE);
		/* The peer may be waiting for this very processor. */
		vhost_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
		if (++rounds % ROUNDS == 0)
			ask_patience(r);
	}
}

static void sleep_on(struct ring *r, u32 who, u64 pos, u64 done)
{
	/* In a tenth of a second all are to know, and who sleeps begins to when others fail. */
	static const struct timespec patience = { 0, 90000000 };
	u32 *asleep = r->me == WRITER ? &writer_of(r)->asleep : &reader_of(r, r->me)->asleep;
	const u32 *word = r->me == WRITER ? &reader_of(r, who)->wake : &writer_of(r)->wake;

	r->sleeps++;
	for (;;) {
		u32 seen = load32(word);
		i64 ret;

		/* The order of these two is what no wake-up is lost by. */
		__atomic_store_n(asleep, who + 1, __ATOMIC_SEQ_CST);
		if (ring_there(r, who, pos, done))
			break;
		ret = vhost_call(SYS_futex, (u64)word, FUTEX_WAIT, seen, (u64)&patience, 0, 0);
		if (ret != 0 && ret != -EAGAIN && ret != -EINTR)
			ask_patience(r);
	}
	__atomic_store_n(asleep, 0, __ATOMIC_RELEASE);
}

/* A reader for which nobody waits takes much at once: to be woken for each record would
 * cost the writer more than the record, and who reads takes processors from others. Whether
 * there is something then. */
static int doze(struct ring *r, u64 pos)
{
	static const struct timespec nap = { 0, 1000000 };
	u32 *asleep = &reader_of(r, r->me)->asleep;
	const u32 *word = &writer_of(r)->wake;
	u32 seen = load32(word);

	__atomic_store_n(asleep, RING_DOZES, __ATOMIC_SEQ_CST);
	if (!ring_there(r, 0, pos, 0)) {
		r->sleeps++;
		vhost_call(SYS_futex, (u64)word, FUTEX_WAIT, seen, (u64)&nap, 0, 0);
	}
	__atomic_store_n(asleep, 0, __ATOMIC_RELEASE);
	return ring_there(r, 0, pos, 0);
}

/* How long to spin follows how often that has been of use lately, and not how soon: a peer
 * that answers at once does so when it comes to it. */
static void learn(struct ring *r)
{
	r->patience = (u32)least(2 * (u64)r->patience + LEAST_SPIN, r->spin);
}

void ring_await(struct ring *r, u32 who, u64 pos, u64 done)
{
	u32 i, away = 0, spin = r->patience;

	/* Who has nothing to do for so long is woken by the first record. */
	if (r->me != WRITER && !r->hurry && !(r->flags & MV_RING_SPIN_ONLY)) {
		if (doze(r, pos))
			return;
		spin = 0;
	} else if (r->slept >= PROBE) {
		r->slept = 0;
		spin = r->spin;
	}
	for (i = 0; i < spin; i++) {
		if (ring_there(r, who, pos, done)) {
			learn(r);
			return;
		}
		if (r->me != WRITER && load32(&writer_of(r)->away) && ++away > AWAY_SPIN)
			break;
		__builtin_ia32_pause();
		if (i % COURTESY == COURTESY - 1)
			vhost_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	}
	if (away <= AWAY_SPIN) {
		r->slept++;
		r->patience -= r->patience > LEAST_SPIN ? r->patience / 4 : 0;
	}
	if (r->flags & MV_RING_SPIN_ONLY)
		spin_on(r, who, pos, done);
	else
		sleep_on(r, who, pos, done);
}
