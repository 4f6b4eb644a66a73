/* What the files of the agent's code share. */
#ifndef VHOST_AGENT_PARTS_H
#define VHOST_AGENT_PARTS_H

#include "kernel.h"
#include "agent.h"

/* The request: the leader's call, and behind it its vector and what the call reads, or a hash of
 * that. */
struct request {
	i64 nr;
	u64 arg[6];
	u64 ip; /* behind the call */
	u64 bytes; /* behind the request, if there were no hash */
};

/* struct msghdr. */
struct message {
	u64 name;
	u32 name_size, unused;
	u64 parts, count;
	u64 control, control_size;
	u64 flags; /* those of what has been received */
};

/* struct mmsghdr. */
struct counted_message {
	struct message m;
	u32 length, unused; /* how much of it has been transferred */
};

/* What a call has got, and behind it what the kernel wrote. */
struct result {
	i64 ret;
	u64 bytes;
	u64 length; /* MV_SIZE_AT: what the call says that the length is; of the first of several messages */
};

/* Whether a record has a request. */
static inline int agent_asks_in(const struct ring_record *rec)
{
	return rec->kind == MV_RECORD_REQUEST || rec->kind == MV_RECORD_HASHED || rec->kind == MV_RECORD_WHOLE;
}

/* agent_args.c */
/* What the table says about a call, 0 for one that is the monitor's. */
const struct hot_call *agent_hot(const struct agent *a, i64 nr, const u64 *arg);
void agent_arguments(const struct ucontext *u, u64 *arg);
/* Collects what a call with these arguments reads, or may write, and refuses what is not for
 * the agent. The program's memory may change at any time; so each byte of it that decides
 * about something is looked at once. What the call reads, but for what it transfers, is
 * copied into the block, and given are the arguments with which the kernel finds the copies.
 * agent_reads comes first. */
int agent_reads(struct agent *a, const struct hot_call *h, const u64 *arg, u64 *given);
int agent_writes(struct agent *a, const struct hot_call *h, const u64 *arg, const u64 *given);
/* The length to which a MV_SIZE_AT points, 0 if there is none. */
u64 agent_length_at(const struct hot_call *h, const u64 *given);
/* How many bytes of a request there are behind it. */
u64 agent_asks(const struct agent *a);
/* Gives the program what the kernel has written to copies; 0 if some of its memory is not
 * there. */
int agent_give_back(const struct hot_call *h, const struct ranges *g);
/* How much of what a call may write it has written. */
void agent_cut(const struct hot_call *h, const struct result *x, struct ranges *g);
/* Whether the arguments of two variants are the same by their kinds. */
int agent_same_arguments(const struct hot_call *h, const u64 *x, const u64 *y);
/* Puts ranges into the record; 0 if some of the program's memory is not there. */
int agent_put(struct ring *r, const struct ranges *g);
/* Copies the rest of the record to ranges of the program's memory, with addresses of the
 * leader's made the follower's; 0 if some of that is not there. */
int agent_get(struct agent *a, const struct hot_call *h, const struct ranges *g);
/* Whether the first n bytes of two records are the same by their members. */
int agent_same_record(const struct hot_arg *x, const u8 *theirs, const u8 *own, u64 n);
/* Compares the rest of the request with what the follower's call reads; 0 if it differs, or
 * some of the memory is not there. */
int agent_compare(struct agent *a, const struct hot_call *h, int hashed);
/* The follower's word for one of the leader's: an address in the leader's slot is another. */
static inline u64 agent_word(const struct agent *a, u64 v) { return v < a->slot || v >= a->slot_end ? v : v + a->delta; }

/* Whether a range is one of the program's. */
int agent_fits(u64 at, u64 size);
/* Adds a range to g, or all of the copy of the call's vector; 0 where that is not for the agent. */
int agent_add(struct ranges *g, u32 arg, u64 at, u64 home, u64 size);
int agent_add_vector(const struct agent *a, struct ranges *g, u32 arg);
/* How much of MV_LARGE a copy of so many bytes takes. */
static inline u32 agent_room(u64 n) { return (u32)((n + 15) & ~15ULL); }
/* Copies a vector of the program's behind what there is of one; 0 where that is not for the agent. */
int agent_hold_vector(struct agent *a, u64 home, u64 count);

/* agent_message.c */
static inline int agent_has_message(const struct hot_call *h) { return h->arg[1].kind == MV_HOT_MESSAGE; }
/* Whether there is an array of messages. Of those that are to be received it has one. */
static inline int agent_has_messages(const struct hot_call *h) { return agent_has_message(h) && h->arg[1].count; }
/* Takes what the call's message, or messages, are about: the buffers of what is to be sent, and the
 * vector of what is to be received. Several buffers of a message are copied, one behind the other, so
 * that they are one, and so are all of an array's messages. 0 where there is more than data, or it is
 * not for the agent otherwise. */
int agent_take_message(struct agent *a, const struct hot_call *h, const u64 *arg);
/* Adds where the call writes what it has received, and that there is nothing to say of it; and the
 * lengths of an array's messages. */
int agent_add_answer(const struct agent *a, struct ranges *g, const struct hot_call *h, u64 home);
/* How many bytes of what such a call may write with its messages it has written. */
u64 agent_answered(const struct hot_call *h, const struct result *x);
/* What makes a call with a message, 0 if nothing does: given are the arguments for that then. */
const struct hot_call *agent_bare(const struct agent *a, const struct hot_call *h, u64 *given);
/* Makes it by that. MV_NOT_EXECUTED and -EPIPE: it is the monitor's after all, and nothing has come
 * of it. */
i64 agent_make_message(struct block *b, struct agent *a, const struct hot_call *h, const struct hot_call *by, const u64 *given);

/* agent_lead.c: deals with the leader's call; 0: it is the monitor's. */
int agent_lead(struct block *b, struct agent *a, struct ucontext *u);
/* Tells the followers what the leader's call has got; with q, also what it was. */
void agent_tell(struct agent *a, const struct request *q, struct result *x, const struct ranges *out);
/* When a call begins that is to be timed, 0 for any other. */
u64 agent_begin(const struct agent *a, const struct hot_call *h);
/* Counts one that is over. */
void agent_count(const struct agent *a, const struct hot_call *h, i64 ret, u64 bytes, u64 begun);

/* agent_wait.c */
/* Makes the leader's call. MV_NOT_EXECUTED: it is the monitor's after all, and nothing has
 * come of it. */
i64 agent_make(struct block *b, struct agent *a, const struct hot_call *h, i64 nr, const u64 *arg);
/* Makes one that does not sleep, whatever its descriptor is. */
i64 agent_make_at_once(struct block *b, i64 nr, const u64 *arg);
/* Whether a descriptor among the arguments is of a file that the monitor makes up, or of any
 * where files are mapped. */
int agent_apart(struct agent *a, const struct hot_call *h, const u64 *arg);
/* Whether a device's number stays what it is as long as it is there. */
int agent_lasts(u64 dev);
/* Whether a new descriptor is of a regular file that waits for nothing but its disk. */
int agent_is_regular(struct agent *a, u64 fd);
/* Whether a descriptor is known to be of a file or directory that waits for nothing but its disk. */
int agent_knows_file(const struct agent *a, u64 fd);
/* Notes that the task has a new descriptor, of what nobody else has. */
void agent_made(struct agent *a, u64 fd);
/* Forgets what descriptors are, or what one is. */
void agent_forget(struct agent *a);
void agent_forget_one(struct agent *a, u64 fd);

/* agent_name.c: calls with a name, of which there is a copy. agent_named says whether one is for
 * the agent, and comes first. MV_NOT_EXECUTED as above. */
int agent_named(struct agent *a, const struct hot_call *h, const u64 *arg);
/* Looks at what has a name, of which agent_named has said that it may. */
i64 agent_look(const struct hot_call *h, i64 nr, const u64 *arg);
i64 agent_open(struct agent *a, const struct hot_call *h, const u64 *arg);
i64 agent_nameless(const struct hot_call *h, const u64 *arg);

/* agent_mask.c: calls by which the program changes its mask of signals, with the arguments that
 * are given to the kernel. The leader's; MV_NOT_EXECUTED as above. */
i64 agent_mask(struct block *b, struct agent *a, const u64 *given);
/* A follower's, when its program has asked for the same. */
void agent_mask_too(struct agent *a, const u64 *given);
/* agent_account.c: where each call is checked, tells the monitor of the call at hand, and waits
 * until it has looked. Of a leader's with MV_STAGE_ASKED waited says whether the followers have
 * asked for it, too. */
void agent_asked(struct agent *a, const struct hot_call *h, const struct request *q, u32 waited);
void agent_done(struct agent *a, const struct hot_call *h, i64 ret);

/* agent_stamp.c: reads of the time stamp counter. */
struct stamp {
	u64 cycles, processor;
	u64 ip;	   /* of the instruction */
	u32 size;  /* of the instruction */
	u32 names; /* it asks for the processor, too */
};
/* Whether the program stands at one, by the bytes that are there. */
int agent_is_stamp(const struct ucontext *u, const u8 *code, u32 n, struct stamp *s);
int agent_lead_stamp(struct agent *a, struct stamp *s);
int agent_follow_stamp(struct agent *a, struct stamp *s);
/* Gives the program what was read. */
void agent_give_stamp(struct ucontext *u, const struct stamp *s);

/* agent_follow.c: deals with a follower's call; 0: it is the monitor's. */
int agent_follow(struct agent *a, struct ucontext *u);
/* Keeps the leader's request for a report. */
int agent_differ(struct agent *a, const struct request *q);
/* The leader's next record, 0 if there is none for the agent: what the program does next is the
 * monitor's then. */
int agent_next(struct agent *a, struct ring_record *rec);

#endif
