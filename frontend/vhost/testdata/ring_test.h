/* What tests of rings have in common. */
#ifndef RING_TEST_H
#define RING_TEST_H

#include "check.h"
#include "event.h"
#include "ring.h"

/* What ring_patience does; NULL has it wait on. */
extern u32 (*patience_hook)(struct ring *r);

/* Makes an empty ring in memory that children share, with nothing before and behind
 * that may be touched. */
u8 *make_ring(u64 size, u64 ahead, u32 readers, u32 spin, u32 flags);
static inline struct ring_head *ring_head(u8 *base) { return (struct ring_head *)base; }
static inline struct ring_writer *ring_writer(u8 *base) { return (struct ring_writer *)(base + MV_RING_WRITER); }
static inline struct ring_reader *ring_reader(u8 *base, u32 i) { return (struct ring_reader *)(base + MV_RING_PAGES + i * MV_PAGE); }

/* The bytes of record seq, as payload in Go has them, and how many there are, as lengths
 * has it. */
void fill_payload(u8 *p, u64 seq, u64 n);
u64 length_of(u64 size, u64 seq);
/* Writes one record, or reads one and checks it; 0 or a reason. */
u32 write_record(struct ring *r, u64 seq, u64 n);
u32 read_record(struct ring *r, u64 seq, u64 n);
/* Does what Ring.Abort in Go does. */
void abort_ring(u8 *base);

/* Lets a wait have no end: a wake-up that is lost is not made good for. */
hook_fn patient_call;
/* Passes some time, mostly little. */
void random_pause(struct random *r);
/* Ends the test, which fails, after so many seconds. */
void limit_time(unsigned seconds);

/* waits.c: has an agent deal with a call whose first arguments these are, and says whether it has;
 * ret may be 0. */
struct agent;
int deal_with(struct agent *a, i64 nr, const u64 arg[4], i64 *ret);
/* Lets the agent find out that memory is not there. */
void copies_may_fault(void);
/* Makes the agents of the first two blocks, of which nothing is known yet but what they deal with, a
 * leader's and its follower's, by a ring. */
void pair_up(u8 *base);

/* "tests ring ...": ring_program.c */
int ring_program(int argc, char **argv);

#endif
