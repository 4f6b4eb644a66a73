/* Intervals: where the agent begins and ends. */
#include "agent_parts.h"

static void open_ring(struct agent *a)
{
	if (!a->fresh)
		return;
	a->fresh = 0;
	a->hashed = 0;
	if (a->follows)
		ring_attach_reader(&a->r, (void *)a->ring, a->number);
	else
		ring_attach_writer(&a->r, (void *)a->ring);
}

/* Says that what comes next is the monitor's. */
static void close_interval(struct agent *a)
{
	a->interval = 0;
	if (!a->ring || a->follows)
		return;
	ring_begin(&a->r, MV_RECORD_CLOSED, 0);
	ring_end(&a->r);
	ring_urge(&a->r);
}

int __attribute__((noinline)) agent_call(struct block *b, struct ucontext *u)
{
	struct agent *a = agent_of(b);
	int done;

	if (!a->interval || a->differs)
		return 0;
	/* Before the lease is looked at: who takes it back knows by this what is under way. */
	__atomic_store_n(&a->at, (u32)u->rax + 1, __ATOMIC_SEQ_CST);
	done = a->follows ? agent_follow(a, u) : agent_lead(b, a, u);
	__atomic_store_n(&a->at, 0, __ATOMIC_RELEASE);
	if (done) {
		a->calls++;
		return 1;
	}
	if (a->interval)
		close_interval(a);
	if (a->ring && a->r.failed && !a->differs)
		a->differs = MV_DIFFERS_RING;
	return 0;
}

int __attribute__((noinline)) agent_stamp(struct block *b, struct ucontext *u, const u8 *code, u32 n)
{
	struct agent *a = agent_of(b);
	struct stamp s;
	int done;

	if (!a->interval || a->differs || !agent_is_stamp(u, code, n, &s))
		return 0;
	__atomic_store_n(&a->at, MV_STAMP_ENTRY + 1, __ATOMIC_SEQ_CST);
	done = a->follows ? agent_follow_stamp(a, &s) : agent_lead_stamp(a, &s);
	__atomic_store_n(&a->at, 0, __ATOMIC_RELEASE);
	if (done) {
		a->calls++;
		agent_give_stamp(u, &s);
	} else if (a->ring && a->r.failed && !a->differs) {
		a->differs = MV_DIFFERS_RING;
	}
	return done;
}

void agent_stops(struct block *b)
{
	struct agent *a = agent_of(b);

	if (a->interval && !a->follows)
		close_interval(a);
}

/* The interval is over. A follower that has come to its end otherwise than by a call finds
 * out now whether its leader has made no other call, either. */
static void end_interval(struct agent *a)
{
	struct ring_record rec;
	struct request q;

	a->closes = 0;
	if (!a->follows) {
		close_interval(a);
		return;
	}
	a->interval = 0;
	if (!a->ring || ring_next(&a->r, &rec))
		return;
	if (rec.kind == MV_RECORD_CLOSED)
		ring_done(&a->r);
	else if (agent_asks_in(&rec) && rec.length >= sizeof(q) && !ring_take(&a->r, &q, sizeof(q)))
		agent_differ(a, &q);
	else
		ring_fail(&a->r, RING_EVENT);
}

void agent_resumes(struct block *b)
{
	struct agent *a = agent_of(b);

	if (a->fresh)
		open_ring(a);
	if (a->closes)
		end_interval(a);
	/* The monitor has made a call, by which descriptors may have become others. */
	if (!a->keeps)
		agent_forget(a);
	a->keeps = 0;
	if (a->grant)
		a->interval = 1;
	a->grant = 0;
}

/* Called every 100 ms of a wait. Tests have one of their own. */
u32 __attribute__((weak)) ring_patience(struct ring *r)
{
	struct block *b = (struct block *)((u64)r & ~(u64)(MV_BLOCK_SIZE - 1));

	vhost_mourn(b);
	/* A follower waits as long as its leader sleeps; nothing keeps one from reading. */
	if (r->me == MV_RING_READERS && ++agent_of(b)->waited > MV_AGENT_PATIENCE)
		return RING_IMPATIENT;
	return 0;
}
