/* The arguments of frequent calls: what memory they are about, and whether two variants
 * ask for the same. */
#include "agent_parts.h"

/* Any 8 bytes of memory. */
struct __attribute__((packed, may_alias)) any {
	u64 value;
};

/* Any 4. */
struct __attribute__((packed, may_alias)) half {
	int32_t value;
};

/* The entry of a command, 0 if there is none. Entries are in ascending order. */
static const struct hot_call *command(const struct hot_call *table, const struct hot_call *h, const u64 *arg)
{
	u64 key = (u32)arg[(h->command & 15) % 6], low = h->first, high = low + h->count;
	u32 upper = h->command >> 4;

	if (upper)
		key |= arg[upper % 6] << 32;
	if (high > MV_HOT_CALLS + MV_HOT_COMMANDS)
		return 0;
	while (low < high) {
		u64 mid = (low + high) / 2;

		if (table[mid].key == key)
			return table + mid;
		if (table[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return 0;
}

const struct hot_call *agent_hot(const struct agent *a, i64 nr, const u64 *arg)
{
	const struct hot_call *table = (const struct hot_call *)a->table, *h, *c;

	if (nr < 0 || nr >= MV_HOT_CALLS)
		return 0;
	h = table + nr;
	if (h->flags & MV_HOT_BY_COMMAND) {
		c = command(table, h, arg);
		if (c)
			h = c;
	}
	return h->flags & MV_HOT_CALL ? h : 0;
}

int agent_fits(u64 at, u64 size)
{
	if (at >= MV_TASK_END || size > MV_TASK_END - at)
		return 0;
	return at + size <= MV_SLOT || at >= MV_SLOT_END;
}

int agent_add(struct ranges *g, u32 arg, u64 at, u64 home, u64 size)
{
	struct range *r = &g->of[g->count];

	if (!size)
		return 1;
	if (g->count == MV_HOT_RANGES || !agent_fits(home, size) || size > MV_HOT_MOST - g->bytes)
		return 0;
	r->at = at;
	r->home = home;
	r->arg = arg;
	r->size = size;
	g->count++;
	g->bytes += size;
	return 1;
}

/* Copies n bytes of the program's into the block and returns where they are; 0 where there is
 * no room, or some of them are not there. */
static u64 hold(struct agent *a, u64 home, u64 n)
{
	u64 at = (u64)a + MV_LARGE - MV_AGENT + a->held;

	if (!agent_fits(home, n) || n > MV_LARGE_SIZE - a->held || vhost_copy((void *)at, (void *)home, n))
		return 0;
	a->held += agent_room(n);
	return at;
}

/* Copies a name of the program's, which ends in the page that it begins in or a later one. */
static u64 hold_name(struct agent *a, u64 home, u64 *size)
{
	u64 at = (u64)a + MV_LARGE - MV_AGENT + a->held, n = 0, i;
	char *to = (char *)at;

	if (MV_LARGE_SIZE - a->held < MV_NAME_MOST)
		return 0;
	while (n < MV_NAME_MOST) {
		u64 some = MV_PAGE - (home + n) % MV_PAGE;

		if (some > MV_NAME_MOST - n)
			some = MV_NAME_MOST - n;
		if (!agent_fits(home + n, some) || vhost_copy(to + n, (void *)(home + n), some))
			return 0;
		for (i = n; i < n + some; i++)
			if (!to[i]) {
				*size = i + 1;
				a->held += MV_NAME_MOST;
				return at;
			}
		n += some;
	}
	return 0;
}

int agent_hold_vector(struct agent *a, u64 home, u64 count)
{
	u64 n = count * sizeof(*a->vector);

	if (count > MV_HOT_RANGES - a->parts || !agent_fits(home, n) || vhost_copy(a->vector + a->parts, (void *)home, n))
		return 0;
	a->parts += (u32)count;
	return 1;
}

int agent_add_vector(const struct agent *a, struct ranges *g, u32 arg)
{
	u32 i;

	for (i = 0; i < a->parts; i++)
		if (!agent_add(g, arg, a->vector[i].base, a->vector[i].base, a->vector[i].len))
			return 0;
	return 1;
}

/* The length to which an argument points, which the call reads, so that there is a copy of it.
 * Without there is none that fits. */
static u64 held_length(const struct hot_arg *x, const u64 *given)
{
	u64 at = given[x->count % 6];

	return at ? (u32)((const struct half *)at)->value : ~0ULL;
}

/* The length of a buffer before the call. */
static u64 length(const struct hot_arg *x, const u64 *arg)
{
	u64 n = arg[x->count % 6];
	int32_t half = (int32_t)n;

	switch (x->length) {
	case MV_SIZE_FIXED:
		return x->unit;
	case MV_SIZE_INT:
		return half < 0 ? 0 : (u64)half * x->unit;
	case MV_SIZE_UINT:
		return (u64)(u32)n * x->unit;
	case MV_SIZE_BITS:
		return half < 0 ? 0 : ((u64)half + 63) / 64 * 8;
	default:
		return n > MV_HOT_MOST ? ~0ULL : n * x->unit;
	}
}

/* How many arguments there are to be looked at. */
static u32 used_by(const struct hot_call *h) { return h->used && h->used < 6 ? h->used : 6; }

u64 agent_length_at(const struct hot_call *h, const u64 *given)
{
	u32 i, used = used_by(h);

	for (i = 0; i < used; i++)
		if (h->arg[i].kind == MV_HOT_BUFFER && h->arg[i].length == MV_SIZE_AT && given[i])
			return held_length(&h->arg[i], given);
	return 0;
}

/* Whether the descriptors in a copy of an array of records are the program's. */
static int programs(const struct agent *a, const struct hot_arg *x, const u8 *at, u64 size)
{
	int32_t fd;
	u64 i;

	if (x->unit < sizeof(fd) || size % x->unit)
		return 0;
	for (i = 0; i < size; i += x->unit) {
		fd = ((const struct half *)(at + i))->value;
		if (fd >= 0 && (u32)fd >= a->fds)
			return 0;
	}
	return 1;
}

/* Whether a word in a copy of an array of records looks like an address in the leader's slot. It
 * may be a plain number: the monitor finds out which, and remembers it for when the kernel gives
 * it back. */
static int ambiguous(const struct agent *a, const struct hot_arg *x, u32 word, const u8 *at, u64 size)
{
	u64 i, v;

	if (a->follows || !a->ring || !(x->flags & MV_HOT_WORDS) || !x->unit)
		return 0;
	for (i = word; i + sizeof(v) <= size; i += x->unit) {
		v = ((const struct any *)(at + i))->value;
		if (v >= a->slot && v < a->slot_end)
			return 1;
	}
	return 0;
}

/* What the call reads of a buffer. */
static int read_buffer(struct agent *a, const struct hot_call *h, u32 i, const u64 *arg, u64 *given)
{
	const struct hot_arg *x = &h->arg[i];
	u64 size = length(x, arg);

	/* A set of descriptors that has none of the variant host's. */
	if (x->length == MV_SIZE_BITS && (int32_t)arg[x->count % 6] > (int32_t)a->fds)
		return 0;
	if (!size)
		return 1;
	if (!(x->flags & MV_HOT_BULK)) {
		given[i] = hold(a, arg[i], size);
		if (!given[i] || (x->flags & MV_HOT_DESCRIPTORS && !programs(a, x, (const u8 *)given[i], size)))
			return 0;
		if (ambiguous(a, x, h->word, (const u8 *)given[i], size))
			return 0;
	}
	return agent_add(&a->in, i, given[i], arg[i], size);
}

int agent_reads(struct agent *a, const struct hot_call *h, const u64 *arg, u64 *given)
{
	struct ranges *g = &a->in;
	u64 size;
	u32 i, used = used_by(h);

	g->count = 0;
	g->bytes = 0;
	a->parts = 0;
	a->held = 0;
	a->messages = 0;
	for (i = 0; i < 6; i++)
		given[i] = arg[i];
	for (i = 0; i < used; i++) {
		const struct hot_arg *x = &h->arg[i];

		if (x->kind == MV_HOT_FD && (u32)arg[i] >= a->fds)
			return 0;
		if (x->kind == MV_HOT_NULL && arg[i])
			return 0;
		if (x->kind == MV_HOT_MESSAGE) {
			if (!agent_take_message(a, h, arg))
				return 0;
			continue;
		}
		if (!arg[i]) {
			/* Some calls heed the length of no address, and some do not. */
			if (x->kind == MV_HOT_BUFFER && x->length == MV_SIZE_AT && arg[x->count % 6])
				return 0;
			continue;
		}
		if (x->kind == MV_HOT_VECTOR) {
			if (!agent_hold_vector(a, arg[i], arg[x->count % 6]))
				return 0;
			if (a->parts)
				given[i] = (u64)a->vector;
			if (x->dir & MV_HOT_IN && !agent_add_vector(a, g, i))
				return 0;
		} else if (x->kind == MV_HOT_NAME) {
			given[i] = hold_name(a, arg[i], &size);
			if (!given[i] || !agent_add(g, i, given[i], arg[i], size))
				return 0;
		} else if (x->kind == MV_HOT_BUFFER && x->dir & MV_HOT_IN && !read_buffer(a, h, i, arg, given)) {
			return 0;
		}
	}
	return 1;
}

int agent_writes(struct agent *a, const struct hot_call *h, const u64 *arg, const u64 *given)
{
	struct ranges *g = &a->out;
	u32 i, used = used_by(h);

	g->count = 0;
	g->bytes = 0;
	for (i = 0; i < used; i++) {
		const struct hot_arg *x = &h->arg[i];

		if (x->kind == MV_HOT_MESSAGE && !agent_add_answer(a, g, h, arg[i]))
			return 0;
		if (!(x->dir & MV_HOT_OUT) || !arg[i])
			continue;
		if (x->kind == MV_HOT_VECTOR && !agent_add_vector(a, g, i))
			return 0;
		if (x->kind == MV_HOT_BUFFER &&
		    !agent_add(g, i, given[i], arg[i], x->length == MV_SIZE_AT ? held_length(x, given) : length(x, arg)))
			return 0;
	}
	return 1;
}

/* How much of a range a call has written; left is how much of what its result counts no
 * range before has. */
static u64 written(const struct hot_arg *x, const struct range *r, const struct result *res, u64 left)
{
	if (res->ret < 0 && res->ret >= -4095)
		return x->on_err && res->ret == -(i64)x->on_err ? r->size : 0;
	if (x->how == MV_WROTE_NOTHING)
		return 0;
	if (x->how == MV_WROTE_RESULT)
		return r->size < left ? r->size : left;
	if (x->length == MV_SIZE_AT && res->length < r->size)
		return res->length;
	return r->size;
}

/* How many bytes a call that has succeeded says that it has written of what an argument is about. */
static u64 counted(const struct hot_call *h, const struct hot_arg *x, const struct result *res)
{
	if (res->ret <= 0)
		return 0;
	if (x->kind == MV_HOT_MESSAGE)
		return agent_answered(h, res);
	return (u64)res->ret * (x->kind == MV_HOT_VECTOR ? 1 : x->unit);
}

void agent_cut(const struct hot_call *h, const struct result *res, struct ranges *g)
{
	u64 taken = 0;
	u32 i;

	g->bytes = 0;
	for (i = 0; i < g->count; i++) {
		struct range *r = &g->of[i];
		const struct hot_arg *x = &h->arg[r->arg % 6];
		u64 all = counted(h, x, res);

		r->size = written(x, r, res, all > taken ? all - taken : 0);
		if (x->how == MV_WROTE_RESULT)
			taken += r->size;
		g->bytes += r->size;
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
	u32 i, used = used_by(h);

	for (i = 0; i < used; i++) {
		if (h->arg[i].flags & MV_HOT_UNLESS_NULL && !x[h->arg[i].count % 6] && !y[h->arg[i].count % 6])
			continue;
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
	}
	return 1;
}

static void translate(const struct agent *a, const struct hot_call *h, u8 *record)
{
	struct any *w = (struct any *)(record + h->word);

	w->value = agent_word(a, w->value);
}

static int has_words(const struct hot_call *h, const struct hot_arg *x)
{
	return x->flags & MV_HOT_WORDS && x->unit >= 8 && x->unit <= MV_HOT_RECORD && h->word <= x->unit - 8;
}

int agent_same_record(const struct hot_arg *x, const u8 *theirs, const u8 *own, u64 n)
{
	u64 k;
	u32 i;

	/* The first member is a descriptor. Of none nothing else counts. */
	if (x->flags & MV_HOT_DESCRIPTORS && n >= 4 && own[3] >> 7 && theirs[3] >> 7) {
		for (k = 0; k < 4; k++)
			if (theirs[k] != own[k])
				return 0;
		return 1;
	}
	for (i = 0; i < 2; i++)
		for (k = x->piece[i].at; k < (u64)x->piece[i].at + x->piece[i].size && k < n; k++)
			if (theirs[k] != own[k])
				return 0;
	return 1;
}

/* Compares records by their members. Both of what is compared are copies, so nobody changes
 * them meanwhile. */
static int same_records(struct agent *a, const struct hot_arg *x, const struct range *r)
{
	u8 theirs[MV_HOT_RECORD], own[MV_HOT_RECORD];
	u64 at, n;

	if (!x->unit || x->unit > MV_HOT_RECORD)
		return 0;
	for (at = 0; at < r->size; at += n) {
		n = r->size - at < x->unit ? r->size - at : x->unit;
		if (ring_take(&a->r, theirs, n) || vhost_copy(own, (void *)(r->at + at), n) || !agent_same_record(x, theirs, own, n))
			return 0;
	}
	return 1;
}

/* Copies bytes of the record to memory of the program's, or else compares them with it. */
static int move(struct ring *r, u64 at, u64 left, int copies)
{
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
	return 1;
}

/* Whether the kernel does without what it cannot write: the rest of a time, which may be a
 * constant (poll_select_finish in fs/select.c). */
static int may_fail(const struct hot_call *h, const struct range *r) { return h->flags & MV_HOT_POINTED && r->arg == h->time; }

/* Copies bytes of the record by way of the block. */
static int get_records(struct agent *a, const struct hot_call *h, const struct range *r)
{
	const struct hot_arg *x = &h->arg[r->arg % 6];
	u8 record[MV_HOT_RECORD];
	u64 at, n, unit = has_words(h, x) ? x->unit : MV_HOT_RECORD;

	for (at = 0; at < r->size; at += n) {
		n = r->size - at < unit ? r->size - at : unit;
		if (ring_take(&a->r, record, n))
			return 0;
		if (has_words(h, x) && n == unit)
			translate(a, h, record);
		if (vhost_copy((void *)(r->home + at), record, n) && !may_fail(h, r))
			return 0;
	}
	return 1;
}

int agent_get(struct agent *a, const struct hot_call *h, const struct ranges *g)
{
	u32 i;

	for (i = 0; i < g->count; i++) {
		const struct range *r = &g->of[i];
		int records = may_fail(h, r) || (a->delta && has_words(h, &h->arg[r->arg % 6]));

		if (records ? !get_records(a, h, r) : !move(&a->r, r->home, r->size, 1))
			return 0;
	}
	return 1;
}

int agent_give_back(const struct hot_call *h, const struct ranges *g)
{
	u32 i;

	for (i = 0; i < g->count; i++) {
		const struct range *r = &g->of[i];

		if (r->at != r->home && vhost_copy((void *)r->home, (void *)r->at, r->size) && !may_fail(h, r))
			return 0;
	}
	return 1;
}

u64 agent_asks(const struct agent *a) { return a->parts * sizeof(*a->vector) + a->in.bytes; }

/* Of a vector only lengths are the same in all variants. */
static int same_vector(struct agent *a)
{
	struct part theirs;
	u32 i;

	for (i = 0; i < a->parts; i++)
		if (ring_take(&a->r, &theirs, sizeof(theirs)) || theirs.len != a->vector[i].len)
			return 0;
	return 1;
}

static int same_hash(struct agent *a)
{
	u64 own[2], theirs[2];

	_Static_assert(sizeof(own) == MV_HASH_SIZE, "hash");
	if (!agent_hash(a, &a->in, own) || ring_take(&a->r, theirs, sizeof(theirs)))
		return 0;
	if (own[0] == theirs[0] && own[1] == theirs[1])
		return 1;
	a->differs = MV_DIFFERS_HASH;
	return 0;
}

int agent_compare(struct agent *a, const struct hot_call *h, int hashed)
{
	const struct ranges *g = &a->in;
	u32 i;

	if (!same_vector(a))
		return 0;
	if (hashed)
		return same_hash(a);
	for (i = 0; i < g->count; i++) {
		const struct range *r = &g->of[i];
		const struct hot_arg *x = &h->arg[r->arg % 6];

		if (x->piece[0].size ? !same_records(a, x, r) : !move(&a->r, r->at, r->size, 0))
			return 0;
	}
	return 1;
}
