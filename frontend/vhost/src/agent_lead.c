/* The leader's agent: makes calls and tells the followers. */
#include "agent_parts.h"

/* Tells the followers what the leader's call has got. */
static void tell(struct agent *a, struct result *x, const struct ranges *out)
{
	x->bytes = out->bytes;
	ring_begin(&a->r, MV_RECORD_RESULT, sizeof(*x) + out->bytes);
	ring_put(&a->r, x, sizeof(*x));
	if (!agent_put(&a->r, out))
		ring_fail(&a->r, RING_EVENT);
	ring_end(&a->r);
	ring_publish(&a->r);
}

int agent_lead(struct block *b, struct agent *a, struct ucontext *u)
{
	/* The processor leaves it there, and whoever has the program come otherwise. */
	struct request q = { .nr = (i64)u->rax, .ip = u->rcx };
	struct result x;
	const struct hot_call *h;
	struct ranges *in = &a->in, *out = &a->out;

	agent_arguments(u, q.arg);
	h = agent_hot(a, q.nr, q.arg);
	if (!__atomic_load_n(&a->lease, __ATOMIC_ACQUIRE) || !h || (h->flags & MV_HOT_ALONE && !a->alone))
		return 0;
	if (!agent_collect(a, h, q.arg, MV_HOT_IN, in) || !agent_collect(a, h, q.arg, MV_HOT_OUT, out))
		return 0;
	if (a->texts & MV_TEXTS && agent_made_up(a, h, q.arg))
		return 0;
	q.bytes = in->bytes;
	a->waited = 0;
	if (a->ring) {
		if (ring_reserve(&a->r, sizeof(q) + in->bytes))
			return 0;
		if (ring_begin(&a->r, MV_RECORD_REQUEST, sizeof(q) + in->bytes) || ring_put(&a->r, &q, sizeof(q)))
			return 0;
		if (!agent_put(&a->r, in)) {
			ring_drop(&a->r);
			return 0;
		}
		/* Nothing is made of which not all followers have said that they ask for it. */
		if (h->flags & MV_HOT_WAITS)
			if (ring_end(&a->r) || ring_await_readers(&a->r, a->r.seq - 1))
				return 0;
	}
	x.ret = agent_make(b, a, h, q.nr, q.arg);
	if (h->flags & MV_HOT_FORGETS)
		agent_forget(a);
	if (x.ret == MV_NOT_EXECUTED || x.ret == -EPIPE) {
		if (a->ring && !(h->flags & MV_HOT_WAITS))
			ring_drop(&a->r);
		return 0;
	}
	u->rax = (u64)x.ret;
	if (!a->ring)
		return 1;
	if (!(h->flags & MV_HOT_WAITS))
		ring_end(&a->r);
	x.length = agent_length_at(h, q.arg);
	agent_cut(h, &x, out);
	tell(a, &x, out);
	return 1;
}
