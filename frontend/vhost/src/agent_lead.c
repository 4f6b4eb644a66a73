/* The leader's agent: makes calls and tells the followers. */
#include "agent_parts.h"

void agent_tell(struct agent *a, const struct request *q, struct result *x, const struct ranges *out)
{
	u64 size = sizeof(*x) + out->bytes;

	x->bytes = out->bytes;
	if (q) {
		ring_begin(&a->r, MV_RECORD_WHOLE, sizeof(*q) + size);
		ring_put(&a->r, q, sizeof(*q));
	} else {
		ring_begin(&a->r, MV_RECORD_RESULT, size);
	}
	ring_put(&a->r, x, sizeof(*x));
	if (!agent_put(&a->r, out))
		ring_fail(&a->r, RING_EVENT);
	ring_end(&a->r);
	ring_publish(&a->r);
}

/* Waits until the followers have compared the hash before this one: nothing else bounds how much
 * the leader has given that nobody has compared. */
static int paces(struct agent *a)
{
	if (a->hashed && a->hashed <= a->r.seq && ring_await_readers(&a->r, a->hashed - 1))
		return 0;
	a->hashed = a->r.seq + 1;
	return 1;
}

/* Begins the request's record; 0 if some of what the call reads is not there. */
static int ask(struct agent *a, const struct hot_call *h, const struct request *q)
{
	int hashed = agent_is_hashed(a, h);
	u64 hash[2], length = sizeof(*q) + (hashed ? q->bytes - a->in.bytes + MV_HASH_SIZE : q->bytes);

	if (hashed && (!agent_hash(a, &a->in, hash) || !paces(a)))
		return 0;
	if (ring_reserve(&a->r, length) || ring_begin(&a->r, hashed ? MV_RECORD_HASHED : MV_RECORD_REQUEST, length) ||
	    ring_put(&a->r, q, sizeof(*q)) || ring_put(&a->r, a->vector, a->parts * sizeof(*a->vector)))
		return 0;
	if (hashed ? !ring_put(&a->r, hash, sizeof(hash)) : agent_put(&a->r, &a->in))
		return 1;
	ring_drop(&a->r);
	return 0;
}

/* Whether a call gives words back that may be addresses. */
static int gives_words(const struct hot_call *h)
{
	u32 i;

	for (i = 0; i < 6; i++)
		if (h->arg[i].flags & MV_HOT_WORDS && h->arg[i].dir & MV_HOT_OUT)
			return 1;
	return 0;
}

/* Gives the program what the call has written, and the followers' what it has got. */
static void answer(struct agent *a, const struct hot_call *h, const struct request *q, struct result *x, const u64 *given)
{
	struct ranges *out = &a->out;

	x->length = agent_has_messages(h) ? a->lengths[0] : agent_length_at(h, given);
	agent_cut(h, x, out);
	if (!agent_give_back(h, out)) {
		/* As the kernel would have done. */
		if (h->flags & MV_HOT_MAKES && x->ret >= 0) {
			agent_forget_one(a, (u64)x->ret);
			vhost_call(SYS_close, (u64)x->ret, 0, 0, 0, 0, 0);
		}
		x->ret = -EFAULT;
		agent_cut(h, x, out);
	}
	/* Before any follower has the result. */
	agent_done(a, h, x->ret);
	if (a->ring)
		agent_tell(a, q, x, out);
}

/* Makes the call by what makes it, unless the lease has gone: while it waited for room, or for the
 * others. */
static i64 make(struct block *b, struct agent *a, const struct hot_call *h, const struct hot_call *by, i64 nr, const u64 *given)
{
	if (!__atomic_load_n(&a->lease, __ATOMIC_SEQ_CST))
		return MV_NOT_EXECUTED;
	return agent_has_message(h) ? agent_make_message(b, a, h, by, given) : agent_make(b, a, h, nr, given);
}

static struct tally *tally_of(const struct agent *a, const struct hot_call *h)
{
	return (struct tally *)a->tally + (h - (const struct hot_call *)a->table);
}

/* The time in nanoseconds, 0 if there is none. */
static u64 now(void)
{
	struct timespec t;

	/* The counter itself is not to be read: that is an event of the program's. */
	return vhost_call(SYS_clock_gettime, CLOCK_MONOTONIC, (u64)&t, 0, 0, 0, 0) ? 0 : (u64)t.sec * 1000000000 + (u64)t.nsec;
}

u64 agent_begin(const struct agent *a, const struct hot_call *h)
{
	return a->tally && __atomic_load_n(&tally_of(a, h)->calls, __ATOMIC_RELAXED) % MV_TALLY_EVERY == 0 ? now() : 0;
}

/* The class of a duration, as package durations has it. */
static u32 class_of(u64 ns)
{
	u32 power;

	if (ns < 1 << MV_TALLY_FINE_BITS)
		return (u32)ns;
	power = 63 - (u32)__builtin_clzll(ns);
	power = ((power - MV_TALLY_FINE_BITS + 1) << MV_TALLY_FINE_BITS) + (ns >> (power - MV_TALLY_FINE_BITS) & ((1 << MV_TALLY_FINE_BITS) - 1));
	return power < MV_TALLY_CLASSES ? power : MV_TALLY_CLASSES - 1;
}

void agent_count(const struct agent *a, const struct hot_call *h, i64 ret, u64 bytes, u64 begun)
{
	struct tally *t = tally_of(a, h);

	if (begun)
		__atomic_fetch_add(&t->took[class_of(now() - begun)], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&t->calls, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&t->errors, ret < 0 && ret >= -4095, __ATOMIC_RELAXED);
	__atomic_fetch_add(&t->waited, !!(h->flags & MV_HOT_WAITS), __ATOMIC_RELAXED);
	__atomic_fetch_add(&t->bytes, bytes, __ATOMIC_RELAXED);
}

/* Whether a call that gives or takes numbers of descriptors is the monitor's because others have the
 * same table. Threads of one process take turns: of theirs files may be closed that are known to sleep
 * on nothing. */
static int shares(const struct agent *a, const struct hot_call *h, const u64 *arg)
{
	if (!(h->flags & MV_HOT_OWN) || !(a->texts & MV_SHARED) || h->flags & MV_HOT_OPENS)
		return 0;
	return a->texts & MV_MIXED || !(h->flags & MV_HOT_TURNS) || !agent_knows_file(a, arg[0]);
}

int agent_lead(struct block *b, struct agent *a, struct ucontext *u)
{
	/* The processor leaves it there, and whoever has the program come otherwise. */
	struct request q = { .nr = (i64)u->rax, .ip = u->rcx };
	struct result x;
	const struct hot_call *h, *by;
	int apart; /* the request is a record of its own, before the call is made */
	u64 given[6], begun;

	agent_arguments(u, q.arg);
	h = agent_hot(a, q.nr, q.arg);
	if (!__atomic_load_n(&a->lease, __ATOMIC_ACQUIRE) || !h || (h->flags & MV_HOT_ALONE && !a->alone) ||
	    (a->texts & MV_RAW && gives_words(h)))
		return 0;
	begun = agent_begin(a, h);
	if (!agent_reads(a, h, q.arg, given) || !agent_writes(a, h, q.arg, given) || shares(a, h, q.arg))
		return 0;
	if (h->flags & (MV_HOT_OPENS | MV_HOT_NAMELESS | MV_HOT_LOOKS) && !agent_named(a, h, q.arg))
		return 0;
	if (a->texts & (MV_TEXTS | MV_MAPPED) && agent_apart(a, h, q.arg))
		return 0;
	by = agent_has_message(h) ? agent_bare(a, h, given) : h;
	if (!by)
		return 0;
	q.bytes = agent_asks(a);
	a->waited = 0;
	/* What the call reads may be something else behind it. */
	apart = a->ring && (q.bytes || h->flags & MV_HOT_WAITS);
	if (apart && !ask(a, h, &q))
		return 0;
	/* Nothing is made of which not all followers have said that they ask for it. */
	if (apart && h->flags & MV_HOT_WAITS)
		if (ring_end(&a->r) || ring_await_readers(&a->r, a->r.seq - 1))
			return 0;
	agent_asked(a, h, &q, apart && h->flags & MV_HOT_WAITS);
	x.ret = make(b, a, h, by, q.nr, given);
	if (h->flags & MV_HOT_FORGETS)
		agent_forget(a);
	if (h->flags & MV_HOT_MAKES && x.ret >= 0)
		agent_made(a, (u64)x.ret);
	if (h->flags & MV_HOT_CLOSES)
		agent_forget_one(a, q.arg[0]);
	if (x.ret == MV_NOT_EXECUTED || x.ret == -EPIPE) {
		if (apart && !(h->flags & MV_HOT_WAITS))
			ring_drop(&a->r);
		return 0;
	}
	if (apart && !(h->flags & MV_HOT_WAITS))
		ring_end(&a->r);
	answer(a, h, apart ? 0 : &q, &x, given);
	if (a->tally)
		agent_count(a, h, x.ret, q.bytes + a->out.bytes, begun);
	u->rax = (u64)x.ret;
	return 1;
}
