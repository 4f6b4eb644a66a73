/* Event rings: by a ring the leader's task tells what it does and got to the tasks of
 * the followers that do the same. One writes, up to MV_RING_READERS read, and none of
 * them trusts another.
 *
 * A record is a header, which says its number, its kind and its length, and that many
 * bytes; event.h has what is in them. It may be longer than the ring: it is read while
 * it is written. A byte's position is the number of bytes before it, so positions only
 * grow, and a byte is in the ring at its position modulo the ring's size.
 *
 * Who writes which part, by the mapping's rights where the parts are mapped as
 * Ring.Mappings in Go says:
 *
 *	head     the monitor
 *	readers  a page each, that reader
 *	writer   the writer; behind it are the data
 *
 * The monitor also adds to the words that others sleep on. What comes from another
 * part is plausible or the ring fails: no value of it leads out of the ring. All else
 * is in struct ring, which is a task's own; copies of bytes are made once, so what
 * was checked in a copy stays.
 *
 * Functions with a u32 for their result return 0, or a reason of RING_*, and then do
 * all later ones on the same struct ring. */
#ifndef VHOST_RING_H
#define VHOST_RING_H

#include "vhost.h"

/* Why a ring cannot be used any more. */
enum {
	RING_ABORTED = 1, /* by the monitor */
	RING_HEAD,	  /* the head says what cannot be */
	RING_POSITION,	  /* a position of a peer's goes back, or is out of reach */
	RING_RECORD,	  /* a record's header says what cannot be */
	RING_EVENT,	  /* a record does not have an event in it */
	RING_PEER,	  /* a peer says that the ring has failed */
	RING_MISUSE,	  /* by the caller */
	RING_IMPATIENT,	  /* ring_patience has ended a wait */
};

/* How a reader is asleep. */
enum {
	RING_SLEEPS = 1, /* until there is something to be read */
	RING_DOZES,	 /* for a millisecond, or until there is much, or somebody waits for it */
	/* Not at all: it looks again and again, and says so for who watches. With it the writer's word has
	 * the reader for which it waits. */
	RING_LOOKS = MV_RING_LOOKS,
};

struct ring_head {
	u64 size;  /* of the data in bytes, a power of two */
	u64 ahead; /* how many records may be there that a reader is not done with */
	u32 readers;
	u32 spin; /* how often to look, at most, before sleeping */
	u32 flags;
	u32 unused[9];
	/* On a line of its own. */
	u32 abort;
};

struct ring_writer {
	u64 pos;      /* how much is there to be read */
	u64 reserved; /* bytes from here on, less the size, are intact */
	u64 last;     /* where the last record begins whose header is there */
	u64 awaits;   /* how many records readers had to be done with when it last waited for that */
	u32 away;     /* not 0 while it is in a call in which it may sleep */
	u32 unused[7];
	u32 asleep; /* 0, or 1 and the number of the reader that the writer waits for */
	u32 wake;   /* what readers sleep on */
	u32 failed; /* the reason, and in the second byte whose fault it is */
};

struct ring_reader {
	u64 pos;  /* how much has been read */
	u64 done; /* how many records */
	u64 unused[6];
	u32 asleep; /* RING_SLEEPS, RING_DOZES or 0 */
	u32 wake; /* what the writer sleeps on */
	u32 failed;
};

/* What is in the ring in front of a record's bytes. */
struct ring_record {
	u64 length; /* of the bytes behind */
	u64 seq;    /* its number, from 0 on */
	u64 back;   /* of the whole previous record */
	u32 kind;   /* not 0 */
	u32 unused;
};

/* A task's own view of a ring. Members before failed are of no use to callers. */
struct ring {
	u8 *base;
	u64 size, ahead;
	u32 readers, spin, flags;
	u32 me; /* number of the reader, or MV_RING_READERS for the writer */
	u32 patience, slept; /* how long to spin now; sleeps since the last long spin */
	u64 pos;   /* of the next byte to put or take */
	u64 told;  /* up to where peers know of it */
	u64 limit; /* up to where there is room, or are data */
	u64 reserved;
	u64 start; /* of the record */
	u64 left;  /* bytes of the record that are still to be put or taken */
	u64 back;
	u64 settled; /* how many records all readers are done with, as last seen */
	struct {
		u64 pos, done;
	} seen[MV_RING_READERS];
	u32 woken[MV_RING_READERS]; /* 1 and how many records readers were done with when last woken from a doze */
	u32 hurry; /* a reader's: of how many records on the writer may wait for each */
	u32 open;  /* there is a record that is not ended */
	u32 failed;
	u64 seq; /* the record's number, or the next one's when none is open */
	u64 sleeps; /* how often this end has slept */
};

_Static_assert(sizeof(struct ring_record) == MV_RING_HEADER, "record");
_Static_assert(offsetof(struct ring_head, size) == MV_RING_SIZE, "head.size");
_Static_assert(offsetof(struct ring_head, ahead) == MV_RING_AHEAD, "head.ahead");
_Static_assert(offsetof(struct ring_head, readers) == MV_RING_COUNT, "head.readers");
_Static_assert(offsetof(struct ring_head, spin) == MV_RING_SPIN, "head.spin");
_Static_assert(offsetof(struct ring_head, flags) == MV_RING_FLAGS, "head.flags");
_Static_assert(offsetof(struct ring_head, abort) == MV_RING_ABORT, "head.abort");
_Static_assert(offsetof(struct ring_writer, pos) == MV_RING_POS, "writer.pos");
_Static_assert(offsetof(struct ring_writer, reserved) == MV_RING_RESERVED, "writer.reserved");
_Static_assert(offsetof(struct ring_writer, last) == MV_RING_LAST, "writer.last");
_Static_assert(offsetof(struct ring_writer, awaits) == MV_RING_AWAITS, "writer.awaits");
_Static_assert(offsetof(struct ring_writer, asleep) == MV_RING_ASLEEP, "writer.asleep");
_Static_assert(offsetof(struct ring_writer, wake) == MV_RING_WAKE, "writer.wake");
_Static_assert(offsetof(struct ring_writer, failed) == MV_RING_FAILED, "writer.failed");
_Static_assert(offsetof(struct ring_reader, pos) == MV_RING_POS, "reader.pos");
_Static_assert(offsetof(struct ring_reader, done) == MV_RING_DONE, "reader.done");
_Static_assert(offsetof(struct ring_reader, asleep) == MV_RING_ASLEEP, "reader.asleep");
_Static_assert(offsetof(struct ring_reader, wake) == MV_RING_WAKE, "reader.wake");
_Static_assert(offsetof(struct ring_reader, failed) == MV_RING_FAILED, "reader.failed");

/* Makes r a view of the ring at base, which nobody has written to or read from as
 * this end before. */
u32 ring_attach_writer(struct ring *r, void *base);
u32 ring_attach_reader(struct ring *r, void *base, u32 number);

/* The writer. Waits until a record of this length fits: it can be dropped as long as it is
 * not ended, because none of it is published sooner. Not 0: it never fits. */
u32 ring_reserve(struct ring *r, u64 length);
/* Begins a record of exactly length bytes, once there is room for one more
 * among those that readers are not done with. Its number is r->seq until ring_end. */
u32 ring_begin(struct ring *r, u32 kind, u64 length);
/* Puts the record's next bytes. Waits for room when the ring is full; what has been
 * put by then is published. */
u32 ring_put(struct ring *r, const void *from, u64 n);
/* The same without a copy: where the next bytes go, and how many fit there (not more
 * than the record has left); then how many have been written. Waits as ring_put does;
 * 0 means that the ring has failed, or that nothing is left to put. */
u64 ring_room(struct ring *r, u8 **at);
void ring_wrote(struct ring *r, u64 n);
/* Ends the record, all of which has been put. Readers see it after ring_publish. */
u32 ring_end(struct ring *r);
/* Lets readers see all that has been put, and wakes those that sleep; those that doze
 * when it is much. */
u32 ring_publish(struct ring *r);
/* The same, and wakes also those that doze. */
u32 ring_urge(struct ring *r);
/* Says that the writer is in a call in which it may sleep for long, or not any more: readers do not
 * spin for what comes of it. */
void ring_away(struct ring *r, u32 away);
/* Takes back the record that was begun. Returns 0 also when it cannot be, because
 * some of it has been published: then r->open is still set. */
u32 ring_drop(struct ring *r);
/* Waits until all readers are done with record seq and those before it: the
 * rendezvous of calls that wait. Publishes. */
u32 ring_await_readers(struct ring *r, u64 seq);

/* A reader. Waits for the next record. */
u32 ring_next(struct ring *r, struct ring_record *rec);
/* Copies the record's next bytes, and waits for them. */
u32 ring_take(struct ring *r, void *to, u64 n);
/* Compares the record's next n bytes with those at p; *same is how many bytes were
 * equal before the first that differs. All n are taken. */
u32 ring_match(struct ring *r, const void *p, u64 n, u64 *same);
/* The same as ring_take without a copy. What is there may change at any moment: each
 * byte is to be read once. */
u64 ring_piece(struct ring *r, const u8 **at);
void ring_took(struct ring *r, u64 n);
/* Makes the record that is being taken the next one again. Misuse where the writer has been told of
 * some of it, as it may be of a record that was read while it was written. */
u32 ring_again(struct ring *r);
/* Ends the record, with what is left of it; waits for that to be written. */
u32 ring_done(struct ring *r);

/* Either. Fails the ring for all: peers that wait are woken. Returns the reason for
 * which it has failed, which is an earlier one if there is one. */
u32 ring_fail(struct ring *r, u32 reason);

/* Called every 100 ms of a wait, or as often as a spin without sleep makes that. Not 0
 * ends the wait. Whoever links the ring defines it. */
u32 ring_patience(struct ring *r);

#endif
