/* What the files of a ring's code share. */
#ifndef VHOST_RING_PARTS_H
#define VHOST_RING_PARTS_H

#include "ring.h"

enum {
	WRITER = MV_RING_READERS, /* a ring's me */
	NOBODY = 0, /* as a culprit; otherwise 1 and the variant's number */
	LEADER = 1,
	/* So many records after one for which the writer has waited it may wait again: a
	 * reader does not doze. */
	RING_HURRY = 16,
};

static inline struct ring_head *head_of(const struct ring *r) { return (struct ring_head *)r->base; }
static inline struct ring_writer *writer_of(const struct ring *r) { return (struct ring_writer *)(r->base + MV_RING_WRITER); }
static inline u8 *data_of(const struct ring *r) { return r->base + MV_RING_DATA; }

static inline struct ring_reader *reader_of(const struct ring *r, u32 i)
{
	return (struct ring_reader *)(r->base + MV_RING_PAGES + (u64)i * MV_PAGE);
}

static inline u32 load32(const u32 *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline u64 load64(const u64 *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline u64 least(u64 a, u64 b) { return a < b ? a : b; }
/* How many bytes are worth waiting for, or telling of, in the middle of a record. */
static inline u64 portion(const struct ring *r) { return r->size < 4 ? 1 : r->size / 4; }

/* Any 8 bytes of memory. */
struct __attribute__((packed, may_alias)) word {
	u64 value;
};

static inline void copy(u8 *to, const u8 *from, u64 n)
{
	for (; n >= 8; n -= 8, to += 8, from += 8)
		((struct word *)to)->value = ((const struct word *)from)->value;
	for (; n; n--)
		*to++ = *from++;
}

/* ring_wait.c */
void ring_wake(u32 *word);
u32 ring_give_up(struct ring *r, u32 reason, u32 culprit);
/* Is there what is waited for? The writer waits until reader who has read up to pos and
 * is done with so many records, a reader until the writer has written up to pos. Yes,
 * too, when the ring has failed. */
int ring_there(struct ring *r, u32 who, u64 pos, u64 done);
void ring_await(struct ring *r, u32 who, u64 pos, u64 done);

#endif
