/* The leader's agent: makes calls and tells the followers. */
#include "agent_parts.h"

static i64 call6(i64 nr, const u64 *arg)
{
	return vhost_call(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static void allow(u64 mask)
{
	vhost_call(SYS_rt_sigprocmask, SIG_SETMASK, (u64)&mask, 0, 8, 0, 0);
}

/* Whether a call on this descriptor does not sleep for long. */
static int prompt(u64 fd)
{
	i64 flags = vhost_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
	struct stat st;

	if (flags < 0 || (flags & O_NONBLOCK))
		return 1;
	return !vhost_call(SYS_fstat, fd, (u64)&st, 0, 0, 0, 0) && (st.mode & S_IFMT) == S_IFREG;
}

/* Makes the leader's call. MV_NOT_EXECUTED: it is the monitor's after all, and nothing has
 * come of it. */
static i64 make(struct block *b, const struct agent *a, const struct hot_call *h, i64 nr, const u64 *arg)
{
	struct call c = { .nr = nr };
	i64 ret;

	if (!(h->flags & MV_HOT_BLOCKS) || ((h->flags & MV_HOT_PROMPT) && prompt(arg[0])))
		return call6(nr, arg);
	if (h->flags & MV_HOT_TIMEOUT) {
		u64 now[6] = { arg[0], arg[1], arg[2], 0, arg[4], arg[5] };

		ret = call6(nr, now);
		if (ret || !(int32_t)arg[3])
			return ret;
	}
	if (!a->alone)
		return MV_NOT_EXECUTED;
	allow(b->open);
	ret = vhost_call_unless(&b->signalled, &c, arg);
	allow(MV_BLOCKED);
	/* A call that sleeps may come back so without a signal's handler (signal(7)). */
	if (ret != -EINTR || !b->signalled)
		return ret;
	/* The monitor knows what comes of it, and must not make the call again. */
	b->signalled = MV_SIGNALLED_IN_CALL;
	return MV_NOT_EXECUTED;
}

/* Tells the followers what the leader's call has got. */
static void tell(struct agent *a, i64 ret, const struct ranges *out)
{
	struct result x = { ret, out->bytes };

	ring_begin(&a->r, MV_RECORD_RESULT, sizeof(x) + out->bytes);
	ring_put(&a->r, &x, sizeof(x));
	if (!agent_put(&a->r, out))
		ring_fail(&a->r, RING_EVENT);
	ring_end(&a->r);
	ring_publish(&a->r);
}

int agent_lead(struct block *b, struct agent *a, struct ucontext *u)
{
	struct request q = { .nr = (i64)u->rax };
	const struct hot_call *h = agent_hot(a, q.nr);
	struct ranges *in = &a->in, *out = &a->out;
	i64 ret;

	if (!__atomic_load_n(&a->lease, __ATOMIC_ACQUIRE) || !h)
		return 0;
	agent_arguments(u, q.arg);
	if (!agent_collect(a, h, q.arg, MV_HOT_IN, in) || !agent_collect(a, h, q.arg, MV_HOT_OUT, out))
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
	b->signalled = 0;
	ret = make(b, a, h, q.nr, q.arg);
	if (ret == MV_NOT_EXECUTED || ret == -EPIPE) {
		if (a->ring && !(h->flags & MV_HOT_WAITS))
			ring_drop(&a->r);
		return 0;
	}
	u->rax = (u64)ret;
	if (!a->ring)
		return 1;
	if (!(h->flags & MV_HOT_WAITS))
		ring_end(&a->r);
	agent_cut(h, ret, out);
	tell(a, ret, out);
	return 1;
}
