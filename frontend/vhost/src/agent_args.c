/* The arguments of frequent calls: what memory they are about, and whether two variants
 * ask for the same. */
#include "agent_parts.h"

struct iovec {
	u64 base, len;
};

const struct hot_call *agent_hot(const struct agent *a, i64 nr)
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

int agent_collect(const struct agent *a, const struct hot_call *h, const u64 *arg, u32 dir, struct ranges *g)
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

void agent_cut(const struct hot_call *h, i64 ret, struct ranges *g)
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

void agent_arguments(const struct ucontext *u, u64 *arg)
{
	arg[0] = u->rdi;
	arg[1] = u->rsi;
	arg[2] = u->rdx;
	arg[3] = u->r10;
	arg[4] = u->r8;
	arg[5] = u->r9;
}

int agent_put(struct ring *r, const struct ranges *g)
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

int agent_same_arguments(const struct hot_call *h, const u64 *x, const u64 *y)
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

int agent_get(struct ring *r, const struct ranges *g, int copies)
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
