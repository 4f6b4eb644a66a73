/* The encoding of libmultivar/event, in C. */
#include "event.h"
#include "ring_parts.h"

static u32 misuse(struct event *e) { return ring_give_up(e->ring, RING_MISUSE, NOBODY); }
static u32 malformed(struct event *e) { return ring_give_up(e->ring, RING_EVENT, LEADER); }

u32 event_begin(struct event *e, struct ring *r, u32 kind, int32_t nr, u32 fields, u64 size)
{
	struct event_header h = { MV_EVENT_VERSION, (u8)kind, { 0, 0 }, nr, fields, (u32)size };

	e->ring = r;
	e->fields = fields;
	e->size = (u32)size;
	e->data = 0;
	if (kind == 0 || kind >= MV_EVENT_KINDS || size != e->size || size < (u64)fields * MV_EVENT_FIELD)
		return misuse(e);
	if (ring_begin(r, kind, sizeof(h) + size))
		return r->failed;
	return ring_put(r, &h, sizeof(h));
}

u32 event_bytes(struct event *e, u8 arg, u8 part, u32 index, u8 kind, u8 flags, u64 length)
{
	struct event_field f = { arg, part, kind, flags, index, (u32)length };

	if (!e->fields || e->data || length > UINT32_MAX || flags >= MV_EVENT_FLAGS ||
	    ((flags & MV_EVENT_NUMBER) && length != 8) ||
	    event_size(length) + (u64)(e->fields - 1) * MV_EVENT_FIELD > e->size)
		return misuse(e);
	e->fields--;
	e->size -= (u32)event_size(length);
	e->data = (u32)length;
	return ring_put(e->ring, &f, sizeof(f));
}

u32 event_put(struct event *e, const void *from, u64 n)
{
	if (n > e->data)
		return misuse(e);
	e->data -= (u32)n;
	return ring_put(e->ring, from, n);
}

u32 event_number(struct event *e, u8 arg, u8 part, u32 index, u8 kind, u8 flags, u64 value)
{
	if (event_bytes(e, arg, part, index, kind, flags | MV_EVENT_NUMBER, sizeof(value)))
		return e->ring->failed;
	return event_put(e, &value, sizeof(value));
}

u32 event_moved(struct event *e, u64 n)
{
	if (n > e->data)
		return misuse(e);
	e->data -= (u32)n;
	return e->ring->failed;
}

u32 event_end(struct event *e)
{
	if (e->fields || e->size || e->data)
		return misuse(e);
	return ring_end(e->ring);
}

u32 event_next(struct event *e, struct ring *r, struct ring_record *rec, struct event_header *h)
{
	e->ring = r;
	e->fields = e->size = e->data = 0;
	if (ring_next(r, rec))
		return r->failed;
	if (rec->length < sizeof(*h))
		return malformed(e);
	if (ring_take(r, h, sizeof(*h)))
		return r->failed;
	if (h->version != MV_EVENT_VERSION || h->kind != rec->kind || h->kind >= MV_EVENT_KINDS || h->zero[0] || h->zero[1] ||
	    h->size != rec->length - sizeof(*h) || (u64)h->fields * MV_EVENT_FIELD > h->size)
		return malformed(e);
	e->fields = h->fields;
	e->size = h->size;
	return 0;
}

u32 event_field(struct event *e, struct event_field *f)
{
	if (!e->fields || e->data)
		return misuse(e);
	if (e->size < sizeof(*f))
		return malformed(e);
	if (ring_take(e->ring, f, sizeof(*f)))
		return e->ring->failed;
	e->size -= (u32)sizeof(*f);
	if (f->length > e->size || f->flags >= MV_EVENT_FLAGS || ((f->flags & MV_EVENT_NUMBER) && f->length != 8))
		return malformed(e);
	e->fields--;
	e->size -= f->length;
	e->data = f->length;
	return 0;
}

u32 event_take(struct event *e, void *to, u64 n)
{
	if (n > e->data)
		return misuse(e);
	e->data -= (u32)n;
	return ring_take(e->ring, to, n);
}

u32 event_match(struct event *e, const void *p, u64 n, u64 *same)
{
	*same = 0;
	if (n > e->data)
		return misuse(e);
	e->data -= (u32)n;
	return ring_match(e->ring, p, n, same);
}

u32 event_done(struct event *e)
{
	if (e->fields || e->data)
		return misuse(e);
	if (e->size)
		return malformed(e);
	return ring_done(e->ring);
}
