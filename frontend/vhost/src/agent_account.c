/* What an agent tells the monitor where that checks each call with which agents deal. */
#include "agent_parts.h"

/* Whether the monitor asks for it. The table says so, too, for the program can write to the block, and
 * who tells without being asked is not answered. */
static int is_asked(const struct account *s, const struct hot_call *h) { return s->wanted && h->flags & MV_HOT_TOLD; }

/* The monitor takes the stage back when it has looked. */
static void tell(struct agent *a, u32 stage)
{
	static const struct timespec patience = { 0, 100000000 };
	u32 *word = &account_of(a)->stage;

	__atomic_store_n(word, stage, __ATOMIC_SEQ_CST);
	vhost_ring();
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == stage)
		if (vhost_call(SYS_futex, (u64)word, FUTEX_WAIT, stage, (u64)&patience, 0, 0) == -ETIMEDOUT)
			vhost_mourn((const struct block *)((u8 *)a - MV_AGENT));
}

/* Finds out by trying which bits of the arguments count. */
static void probe_arguments(struct account *s, const struct hot_call *h)
{
	u64 other[6];
	u32 i, k;

	for (i = 0; i < 6; i++) {
		s->compared[i] = 0;
		other[i] = s->arg[i];
	}
	for (i = 0; i < 6; i++) {
		for (k = 0; k < 64; k++) {
			other[i] = s->arg[i] ^ 1ULL << k;
			if (!agent_same_arguments(h, other, s->arg))
				s->compared[i] |= 1ULL << k;
		}
		other[i] = s->arg[i];
	}
}

/* The same of the bytes of a record. Whatever else is compared is as bytes. */
static u64 probe_record(const struct hot_arg *x, const u8 *own, u64 n)
{
	u8 other[MV_HOT_RECORD];
	u64 noticed = 0;
	u32 k;

	for (k = 0; k < n; k++)
		other[k] = own[k];
	for (k = 0; k < n; k++) {
		other[k] ^= 0xff;
		if (!x->piece[0].size || !agent_same_record(x, other, own, n))
			noticed |= 1ULL << k;
		other[k] = own[k];
	}
	return noticed;
}

static void probe_memory(struct account *s, const struct hot_call *h, const struct ranges *g)
{
	u8 own[MV_HOT_RECORD];
	u32 i;

	for (i = 0; i < 6; i++) {
		s->noticed[i] = 0;
		s->probed[i] = 0;
	}
	for (i = 0; i < g->count; i++) {
		const struct range *r = &g->of[i];
		const struct hot_arg *x = &h->arg[r->arg % 6];
		u64 n = x->piece[0].size && x->unit < r->size ? x->unit : r->size;

		if (n > sizeof(own))
			n = sizeof(own);
		if (s->probed[r->arg % 6] || vhost_copy(own, (void *)r->at, n))
			continue;
		s->probed[r->arg % 6] = (u32)n;
		s->noticed[r->arg % 6] = probe_record(x, own, n);
	}
}

_Static_assert(MV_HOT_RECORD == MV_ACCOUNT_MOST, "records are probed as a whole, by the bits of a word");

void agent_asked(struct agent *a, const struct hot_call *h, const struct request *q, u32 waited)
{
	struct account *s = account_of(a);
	u32 i;

	if (!is_asked(s, h))
		return;
	s->waited = waited;
	s->nr = q->nr;
	for (i = 0; i < 6; i++)
		s->arg[i] = q->arg[i];
	s->ip = q->ip;
	s->bytes = q->bytes;
	if (a->follows) {
		probe_arguments(s, h);
		probe_memory(s, h, &a->in);
	}
	tell(a, MV_STAGE_ASKED);
}

void agent_done(struct agent *a, const struct hot_call *h, i64 ret)
{
	struct account *s = account_of(a);

	if (!is_asked(s, h))
		return;
	s->ret = ret;
	tell(a, MV_STAGE_DONE);
}
