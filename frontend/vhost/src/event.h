/* Records of libmultivar/event, version 1, put into a ring and taken out of it field by
 * field. What is accepted here is what event.Decode in Go accepts. */
#ifndef VHOST_EVENT_H
#define VHOST_EVENT_H

#include "ring.h"

struct event_header {
	u8 version, kind, zero[2];
	int32_t nr;
	u32 fields;
	u32 size; /* of the fields */
};

struct event_field {
	u8 arg, part, kind, flags;
	u32 index;
	u32 length; /* of the data */
};

_Static_assert(sizeof(struct event_header) == MV_EVENT_HEADER, "event header");
_Static_assert(sizeof(struct event_field) == MV_EVENT_FIELD, "event field");

/* How far a record has been put or taken. */
struct event {
	struct ring *ring;
	u32 fields; /* left */
	u32 size;   /* bytes left, without the present field's data */
	u32 data;   /* bytes of the present field's data left */
};

/* The writer. Begins a record with so many fields, of size bytes together: the sum of
 * event_size of their data. */
static inline u64 event_size(u64 data) { return MV_EVENT_FIELD + data; }
u32 event_begin(struct event *e, struct ring *r, u32 kind, int32_t nr, u32 fields, u64 size);
/* Puts a field that is a number, whose event_size is that of 8 bytes. */
u32 event_number(struct event *e, u8 arg, u8 part, u32 index, u8 kind, u8 flags, u64 value);
/* Puts the head of a field with length bytes, which event_put, or ring_room and
 * event_moved, put then. */
u32 event_bytes(struct event *e, u8 arg, u8 part, u32 index, u8 kind, u8 flags, u64 length);
u32 event_put(struct event *e, const void *from, u64 n);
/* Says that n bytes of data have been put or taken behind the event's back. */
u32 event_moved(struct event *e, u64 n);
/* Ends the record, with no more and no less in it than was said. */
u32 event_end(struct event *e);

/* A reader. Waits for the next record, which has to be an event. rec says its number. */
u32 event_next(struct event *e, struct ring *r, struct ring_record *rec, struct event_header *h);
/* Takes the head of the next field, when its predecessor's data have been taken. */
u32 event_field(struct event *e, struct event_field *f);
/* Takes n bytes of the field's data. */
u32 event_take(struct event *e, void *to, u64 n);
/* Compares n bytes of the field's data with those at p, as ring_match does. */
u32 event_match(struct event *e, const void *p, u64 n, u64 *same);
/* Ends the record, all fields of which have been taken. */
u32 event_done(struct event *e);

#endif
