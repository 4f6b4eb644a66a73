#include "kernel.h"
#include "agent.h"

/* The request: the leader's call, and behind it what the call reads. */
struct request {
	i64 nr;
	u64 arg[6];
	u64 bytes;
};

/* What a call has got, and behind it what the kernel wrote. */
struct result {
	i64 ret;
	u64 bytes;
};

struct iovec {
	u64 base, len;
};

static const struct hot_call *hot(const struct agent *a, i64 nr)
{
	const struct hot_call *h = (const struct hot_call *)a->table;

	if (nr < 0 || nr >= MV_HOT_CALLS || !(h[nr].flags & MV_HOT_CALL))
		return 0;
	return h + nr;
}

/* Whether a range is one of the program's. */
static int fits(u64 at, u64 size)
{
	if (at >= MV_TASK_END || size > MV_TASK_END - at)
		return 0;
	return at + size <= MV_SLOT || at >= MV_SLOT_END;
}

static int add(struct ranges *g, u64 at, u64 size)
{
	if (!size)
		return 1;
	if (g->count == MV_HOT_RANGES || !fits(at, size) || size > MV_HOT_MOST - g->bytes)
		return 0;
	g->of[g->count].at = at;
	g->of[g->count++].size = size;
	g->bytes += size;
	return 1;
}

static int add_vector(struct ranges *g, u64 at, u64 count)
{
	struct iovec v[MV_HOT_RANGES];
	u64 i;

	if (count > MV_HOT_RANGES || !fits(at, count * sizeof(*v)) || vhost_copy(v, (void *)at, count * sizeof(*v)))
		return 0;
	for (i = 0; i < count; i++)
		if (!add(g, v[i].base, v[i].len))
			return 0;
	return 1;
}

/* The length of a buffer before the call. */
static u64 length(const struct hot_arg *h, const u64 *arg)
{
	switch (h->size) {
	case MV_SIZE_CONST:
		return h->unit;
	case MV_SIZE_INT:
		return (i64)(int32_t)arg[h->arg] < 0 ? 0 : (u64)(int32_t)arg[h->arg] * h->unit;
	default:
		return arg[h->arg] > MV_HOT_MOST ? ~0ULL : arg[h->arg] * h->unit;
	}
}

/* Collects what a call with these arguments reads or may write, and refuses what is not
 * for the agent. */
static int collect(const struct agent *a, const struct hot_call *h, const u64 *arg, u32 dir, struct ranges *g)
{
	u32 i;

	g->count = 0;
	g->bytes = 0;
	for (i = 0; i < 6; i++) {
		const struct hot_arg *x = &h->arg[i];

		if (x->kind == MV_HOT_FD && (u32)arg[i] >= a->fds)
			return 0;
		if (x->kind == MV_HOT_NULL && arg[i])
			return 0;
		if ((x->kind != MV_HOT_BUFFER && x->kind != MV_HOT_VECTOR) || !(x->dir & dir) || !arg[i])
			continue;
		if (x->kind == MV_HOT_VECTOR ? !add_vector(g, arg[i], arg[x->arg]) : !add(g, arg[i], length(x, arg)))
			return 0;
	}
	return 1;
}

/* How much of what a call may write it has written: a result counts what the table says
 * that it counts. */
static void cut(const struct hot_call *h, i64 ret, struct ranges *g)
{
	u64 left = ret > 0 ? (u64)ret * (h->flags & MV_HOT_COUNTS ? h->unit : 1) : 0;
	u32 i;

	if (ret < 0 && ret >= -4095)
		left = 0;
	else if (!(h->flags & (MV_HOT_COUNTS | MV_HOT_RETURNS)))
		return;
	g->bytes = 0;
	for (i = 0; i < g->count; i++) {
		if (g->of[i].size > left)
			g->of[i].size = left;
		left -= g->of[i].size;
		g->bytes += g->of[i].size;
	}
}

static void arguments(const struct ucontext *u, u64 *arg)
{
	arg[0] = u->rdi;
	arg[1] = u->rsi;
	arg[2] = u->rdx;
	arg[3] = u->r10;
	arg[4] = u->r8;
	arg[5] = u->r9;
}

/* Puts ranges of the program's memory into the record; 0 if some of it is not there. */
static int put(struct ring *r, const struct ranges *g)
{
	u32 i;

	for (i = 0; i < g->count; i++) {
		u64 at = g->of[i].at, left = g->of[i].size;

		while (left) {
			u8 *to;
			u64 n = ring_room(r, &to);

			if (n > left)
				n = left;
			if (!n || vhost_copy(to, (void *)at, n))
				return 0;
			ring_wrote(r, n);
			at += n;
			left -= n;
		}
	}
	return 1;
}

static void open_ring(struct agent *a)
{
	if (!a->fresh)
		return;
	a->fresh = 0;
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
	if (!put(&a->r, out))
		ring_fail(&a->r, RING_EVENT);
	ring_end(&a->r);
	ring_publish(&a->r);
}

static int lead(struct block *b, struct agent *a, struct ucontext *u)
{
	struct request q = { .nr = (i64)u->rax };
	const struct hot_call *h = hot(a, q.nr);
	struct ranges *in = &a->in, *out = &a->out;
	i64 ret;

	if (!__atomic_load_n(&a->lease, __ATOMIC_ACQUIRE) || !h)
		return 0;
	arguments(u, q.arg);
	if (!collect(a, h, q.arg, MV_HOT_IN, in) || !collect(a, h, q.arg, MV_HOT_OUT, out))
		return 0;
	q.bytes = in->bytes;
	a->waited = 0;
	if (a->ring) {
		if (ring_reserve(&a->r, sizeof(q) + in->bytes))
			return 0;
		if (ring_begin(&a->r, MV_RECORD_REQUEST, sizeof(q) + in->bytes) || ring_put(&a->r, &q, sizeof(q)))
			return 0;
		if (!put(&a->r, in)) {
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
	cut(h, ret, out);
	tell(a, ret, out);
	return 1;
}

/* Whether the arguments of two variants are the same by their kinds. */
static int same_arguments(const struct hot_call *h, const u64 *x, const u64 *y)
{
	u32 i;

	for (i = 0; i < 6; i++)
		switch (h->arg[i].kind) {
		case MV_HOT_NONE:
			break;
		case MV_HOT_FD:
		case MV_HOT_HALF:
			if ((u32)x[i] != (u32)y[i])
				return 0;
			break;
		case MV_HOT_LONG:
			if (x[i] != y[i])
				return 0;
			break;
		default:
			if (!x[i] != !y[i])
				return 0;
		}
	return 1;
}

/* Keeps the leader's request for a report. */
static int differ(struct agent *a, const struct request *q)
{
	u32 i;

	if (a->r.failed)
		return 0;
	a->lead_nr = q->nr;
	for (i = 0; i < 6; i++)
		a->lead[i] = q->arg[i];
	a->lead_bytes = q->bytes;
	a->differs = MV_DIFFERS_CALL;
	return 0;
}

/* Copies the rest of the record to ranges of the program's memory, or else compares it with
 * them; 0 if it differs, or some of the memory is not there. */
static int get(struct ring *r, const struct ranges *g, int copies)
{
	u32 i;

	for (i = 0; i < g->count; i++) {
		u64 at = g->of[i].at, left = g->of[i].size;

		while (left) {
			const u8 *p;
			u64 n = ring_piece(r, &p);

			if (n > left)
				n = left;
			if (!n || (copies ? vhost_copy((void *)at, p, n) : vhost_compare((void *)at, p, n)))
				return 0;
			ring_took(r, n);
			at += n;
			left -= n;
		}
	}
	return 1;
}

/* Makes addresses of the leader's among what the kernel gave back the follower's. */
static void translate(const struct agent *a, const struct hot_call *h, const struct ranges *g)
{
	u64 at, v;
	u32 i;

	if (!(h->flags & MV_HOT_WORDS) || !a->delta)
		return;
	for (i = 0; i < g->count; i++)
		for (at = 0; at + h->unit <= g->of[i].size; at += h->unit) {
			void *word = (void *)(g->of[i].at + at + h->word);

			if (vhost_copy(&v, word, 8) || v < a->slot || v >= a->slot_end)
				continue;
			v += a->delta;
			vhost_copy(word, &v, 8);
		}
}

/* The result of the call that was compared. 0: it is the monitor's after all. */
static int receive(struct agent *a, const struct hot_call *h, const struct request *q,
		   const u64 *arg, struct ucontext *u)
{
	struct ring_record rec;
	struct ranges *out = &a->out;
	struct result x;

	if (ring_next(&a->r, &rec))
		return 0;
	if (rec.kind == MV_RECORD_CLOSED) {
		ring_done(&a->r);
		a->interval = 0;
		return 0;
	}
	if (rec.kind != MV_RECORD_RESULT || rec.length < sizeof(x) || ring_take(&a->r, &x, sizeof(x))) {
		ring_fail(&a->r, RING_EVENT);
		return 0;
	}
	if (!collect(a, h, arg, MV_HOT_OUT, out))
		return differ(a, q);
	cut(h, x.ret, out);
	if (out->bytes != x.bytes || !get(&a->r, out, 1))
		return differ(a, q);
	translate(a, h, out);
	if (ring_done(&a->r))
		return 0;
	u->rax = (u64)x.ret;
	return 1;
}

static int follow(struct agent *a, struct ucontext *u)
{
	const struct hot_call *h;
	struct ring_record rec;
	struct ranges *in = &a->in;
	struct request q;
	u64 arg[6];

	if (ring_next(&a->r, &rec))
		return 0;
	if (rec.kind == MV_RECORD_CLOSED) {
		ring_done(&a->r);
		a->interval = 0;
		return 0;
	}
	if (rec.kind != MV_RECORD_REQUEST || rec.length < sizeof(q) || ring_take(&a->r, &q, sizeof(q))) {
		ring_fail(&a->r, RING_EVENT);
		return 0;
	}
	arguments(u, arg);
	h = hot(a, q.nr);
	if (!h || q.nr != (i64)u->rax || !same_arguments(h, q.arg, arg) || !collect(a, h, arg, MV_HOT_IN, in) ||
	    in->bytes != q.bytes || !get(&a->r, in, 0))
		return differ(a, &q);
	if (ring_done(&a->r))
		return 0;
	return receive(a, h, &q, arg, u);
}

int agent_call(struct block *b, struct ucontext *u)
{
	struct agent *a = agent_of(b);

	if (!a->interval || a->differs)
		return 0;
	if (a->follows ? follow(a, u) : lead(b, a, u)) {
		a->calls++;
		return 1;
	}
	if (a->interval)
		close_interval(a);
	if (a->ring && a->r.failed && !a->differs)
		a->differs = MV_DIFFERS_RING;
	return 0;
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
	else if (rec.kind == MV_RECORD_REQUEST && rec.length >= sizeof(q) && !ring_take(&a->r, &q, sizeof(q)))
		differ(a, &q);
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
