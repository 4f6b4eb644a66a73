/* A follower's agent: compares and gives the program what the leader's got. */
#include "agent_parts.h"

int agent_differ(struct agent *a, const struct request *q)
{
	u32 i;

	if (a->r.failed)
		return 0;
	a->lead_nr = q->nr;
	for (i = 0; i < 6; i++)
		a->lead[i] = q->arg[i];
	a->lead_ip = q->ip;
	a->lead_bytes = q->bytes;
	if (!a->differs)
		a->differs = MV_DIFFERS_CALL;
	return 0;
}

/* Takes the result of the call that was compared, of which this many bytes of the record are left. */
static int finish(struct agent *a, const struct hot_call *h, const struct request *q, u64 length, const u64 *arg, const u64 *given,
		  struct ucontext *u)
{
	struct request own = { .nr = q->nr, .ip = u->rcx, .bytes = q->bytes };
	struct ranges *out = &a->out;
	struct result x;

	if (length < sizeof(x) || ring_take(&a->r, &x, sizeof(x))) {
		ring_fail(&a->r, RING_EVENT);
		return 0;
	}
	if (!agent_writes(a, h, arg, given))
		return agent_differ(a, q);
	agent_cut(h, &x, out);
	if (out->bytes != x.bytes)
		return agent_differ(a, q);
	agent_arguments(u, own.arg);
	agent_asked(a, h, &own, 0);
	if (!agent_get(a, h, out))
		return agent_differ(a, q);
	if (ring_done(&a->r))
		return 0;
	if (h->flags & MV_HOT_MASK)
		agent_mask_too(a, given);
	agent_done(a, h, x.ret);
	u->rax = (u64)x.ret;
	return 1;
}

int agent_next(struct agent *a, struct ring_record *rec)
{
	if (ring_next(&a->r, rec))
		return 0;
	if (rec->kind != MV_RECORD_CLOSED)
		return 1;
	ring_done(&a->r);
	a->interval = 0;
	return 0;
}

int agent_follow(struct agent *a, struct ucontext *u)
{
	const struct hot_call *h;
	struct ring_record rec;
	struct request q;
	u64 arg[6], given[6];

	if (!agent_next(a, &rec))
		return 0;
	if (!agent_asks_in(&rec) || rec.length < sizeof(q) || ring_take(&a->r, &q, sizeof(q))) {
		ring_fail(&a->r, RING_EVENT);
		return 0;
	}
	agent_arguments(u, arg);
	h = agent_hot(a, q.nr, arg);
	if (!h || q.nr != (i64)u->rax || !agent_same_arguments(h, q.arg, arg) || !agent_reads(a, h, arg, given) ||
	    agent_asks(a) != q.bytes)
		return agent_differ(a, &q);
	if (rec.kind == MV_RECORD_WHOLE) {
		if (q.bytes) {
			ring_fail(&a->r, RING_EVENT);
			return 0;
		}
		return finish(a, h, &q, rec.length - sizeof(q), arg, given, u);
	}
	if ((rec.kind == MV_RECORD_HASHED) != agent_is_hashed(a, h)) {
		ring_fail(&a->r, RING_EVENT);
		return 0;
	}
	if (!agent_compare(a, h, rec.kind == MV_RECORD_HASHED))
		return agent_differ(a, &q);
	if (ring_done(&a->r) || !agent_next(a, &rec))
		return 0;
	if (rec.kind != MV_RECORD_RESULT) {
		ring_fail(&a->r, RING_EVENT);
		return 0;
	}
	return finish(a, h, &q, rec.length, arg, given, u);
}
