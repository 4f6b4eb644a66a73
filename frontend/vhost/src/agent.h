/* The agent: what a task does about its program's frequent calls by itself. The leader's
 * makes the call and tells the followers' by the ring, which compare what their programs
 * ask for and give them what the leader's got. It decides nothing that the monitor's table
 * does not say: any other call, and any for which there is no room in what the agent can
 * do, is the monitor's.
 *
 * Between two of the monitor's calls there is an interval. The monitor opens one with a
 * lease when it lets the task go on, in all variants between the same two calls or in
 * none. The leader closes it with a record before anything else is reported; so the
 * followers know which of the program's calls is the monitor's next. */
#ifndef VHOST_AGENT_H
#define VHOST_AGENT_H

#include "ring.h"

/* An argument of a frequent call. */
struct hot_arg {
	u8 kind;   /* MV_HOT_* */
	u8 dir;	   /* of a buffer: MV_HOT_IN, MV_HOT_OUT or both */
	u8 length; /* where its length comes from: MV_SIZE_* */
	u8 count;  /* the argument that counts; of a MV_HOT_MESSAGE 0 where that is none of several */
	u32 unit;
	u8 how;	     /* how much of it is written: MV_WROTE_* */
	u8 flags;    /* MV_HOT_DESCRIPTORS, MV_HOT_WORDS, MV_HOT_BULK, MV_HOT_UNLESS_NULL */
	uint16_t on_err; /* the error with which a call that fails writes it, too; 0 for none */
	struct {
		u8 at, size;
	} piece[2]; /* what counts in each record; all bytes of the buffer when there are none */
};

struct hot_call {
	u64 key;	/* of an entry behind the calls': the command */
	u32 flags;	/* MV_HOT_CALL and others; 0 for calls that are the monitor's */
	u8 word;	/* MV_HOT_WORDS: where in each record there is one */
	u8 time;	/* the argument that limits its sleep, 0 for none */
	u8 command; /* MV_HOT_BY_COMMAND: the arguments that hold it, the upper half's in the high bits, which may be 0 */
	u8 used;    /* how many arguments there are; 0 for as many as can be */
	uint16_t count; /* of commands, which are in order */
	uint16_t first; /* entry of a command; with a MV_HOT_MESSAGE, the call by which it is made */
	uint16_t instant_nr; /* of the form that does not sleep, 0 for none */
	u8 instant_arg, instant_how; /* where its flag goes; MV_HOT_GATHERS, MV_HOT_CURRENT */
	u32 instant_flag, unless;
	/* With MV_HOT_OPENS or MV_HOT_NAMELESS: which argument holds flags; those with which it is
	 * nameless, and those with which it is neither. instant_nr is the call for the descriptor
	 * then. */
	struct hot_arg arg[6];
};

/* What is counted of an entry's calls. All processes of the leader's add to it. */
struct tally {
	u64 calls, errors, waited, bytes;
	u32 took[MV_TALLY_CLASSES]; /* of those that are timed */
};

_Static_assert(sizeof(struct tally) == MV_TALLY_SIZE, "tally");
_Static_assert(offsetof(struct tally, calls) == MV_TALLY_CALLS, "tally.calls");
_Static_assert(offsetof(struct tally, errors) == MV_TALLY_ERRORS, "tally.errors");
_Static_assert(offsetof(struct tally, waited) == MV_TALLY_WAITED, "tally.waited");
_Static_assert(offsetof(struct tally, bytes) == MV_TALLY_BYTES, "tally.bytes");
_Static_assert(offsetof(struct tally, took) == MV_TALLY_TOOK, "tally.took");

/* A range of memory that a call reads or writes, and the argument that it is of. */
struct range {
	u64 at;	  /* where the kernel finds it: the program's memory, or a copy in the block */
	u64 home; /* in the program's memory */
	u64 size;
	u32 arg, unused;
};

/* struct iovec. */
struct part {
	u64 base, len;
};

/* What a call reads or writes. */
struct ranges {
	struct range of[MV_HOT_RANGES];
	u32 count;
	u64 bytes;
};

/* What a task's agent knows, in its block. */
struct agent {
	u32 lease;    /* the monitor may take it away at any time */
	u32 interval; /* one is open */
	u32 follows;  /* a follower's */
	u32 alone;    /* no other task waits for this one's turn: calls may sleep */
	u32 fresh;    /* the ring has not been used yet */
	u32 grant;    /* the monitor opens an interval when the program goes on */
	u32 closes;   /* an interval is over of which the task knows nothing yet */
	u32 late;     /* signals that came while the variant host could not report them, as a set */
	u32 fds;      /* descriptors from here on are not the program's */
	u32 texts;    /* MV_TEXTS, MV_LAX, MV_SHARED, MV_QUIET, MV_MAPPED, MV_RAW, MV_TELLS, MV_MIXED */
	u64 table, ring;
	/* What a number that the kernel gives back is in a follower where it lies in the
	 * leader's slot: more by delta. */
	u64 slot, slot_end, delta;
	u64 calls;  /* how many have been dealt with */
	u32 number; /* of the reader */
	u32 differs; /* why a follower is not where its leader was: MV_DIFFERS_* */
	i64 lead_nr;
	u64 lead[6];
	u64 lead_ip;
	u64 lead_bytes; /* of what the leader's call reads */
	struct ranges in, out; /* of the call at hand */
	struct ring r;
	/* What the leader's has found its descriptors to be since the monitor last made a call by
	 * which that may have changed: CLASS_* and KIND_* of agent_wait.c, 0 for nothing. */
	u8 classes[MV_AGENT_KNOWN];
	u32 classified; /* there is something in classes */
	u32 waited; /* tenths of a second for which the leader's has waited for the others */
	u32 at; /* the number of the call at hand and 1, 0 for none */
	/* The copy of the vector of the call at hand, of which the kernel gets it, too. */
	struct part vector[MV_HOT_RANGES];
	u32 parts; /* of the vector */
	u32 held;  /* bytes of MV_LARGE that are copies of what the call at hand reads */
	u64 names; /* of files that may be opened, 0 for none */
	u64 local; /* a device whose files wait for nothing but a disk, 0 for none */
	u64 found; /* the name of the call at hand; 1 for any that is looked at, 0 for none */
	u64 tally; /* where calls are counted, 0 for nowhere */
	u32 keeps; /* what is known of descriptors is so still when the program goes on */
	u32 masks; /* the leader's may change the program's mask */
	u64 blocked; /* that mask, as the program knows it */
	u64 never; /* signals that the kernel lets in whatever the program blocks */
	/* The time stamp counter is cycles where CLOCK_MONOTONIC_RAW is since, in nanoseconds, and grows by
	 * scale in a nanosecond, which has MV_SCALE_BITS bits of fraction; 0: that is not known;
	 * MV_SCALE_OWN: it is what this processor's own is. */
	u64 cycles, since, scale;
	u64 hashed; /* the number of the last record that had a hash and 1, 0 for none */
	/* Of a call with an array of messages: how many, and of each how many bytes it has, and then
	 * how many the leader's call has transferred. */
	u32 messages;
	u32 lengths[MV_HOT_RANGES];
};

/* What an agent tells the monitor of the call at hand, and waits until that has looked, where
 * each call is checked (--verify-fast). */
struct account {
	u32 stage; /* MV_STAGE_* as long as the task waits for the monitor, else 0 */
	u32 wanted;
	u32 waited; /* the leader's: the followers have said that they ask for it */
	u32 unused;
	i64 nr;
	u64 arg[6];
	u64 ip;
	u64 bytes; /* behind the request */
	i64 ret;
	/* A follower's: which bits of each argument are compared; and of the first probed bytes, or
	 * the first record, of what an argument leads to, which bytes are. */
	u64 compared[6];
	u64 noticed[6];
	u32 probed[6];
};

_Static_assert(sizeof(struct account) <= MV_ACCOUNT_SIZE, "account");
_Static_assert(offsetof(struct account, stage) == MV_ACCOUNT_STAGE, "account.stage");
_Static_assert(offsetof(struct account, wanted) == MV_ACCOUNT_WANTED, "account.wanted");
_Static_assert(offsetof(struct account, waited) == MV_ACCOUNT_WAITED, "account.waited");
_Static_assert(offsetof(struct account, nr) == MV_ACCOUNT_NR, "account.nr");
_Static_assert(offsetof(struct account, arg) == MV_ACCOUNT_ARGS, "account.arg");
_Static_assert(offsetof(struct account, ip) == MV_ACCOUNT_IP, "account.ip");
_Static_assert(offsetof(struct account, bytes) == MV_ACCOUNT_BYTES, "account.bytes");
_Static_assert(offsetof(struct account, ret) == MV_ACCOUNT_RET, "account.ret");
_Static_assert(offsetof(struct account, compared) == MV_ACCOUNT_COMPARED, "account.compared");
_Static_assert(offsetof(struct account, noticed) == MV_ACCOUNT_NOTICED, "account.noticed");
_Static_assert(offsetof(struct account, probed) == MV_ACCOUNT_PROBED, "account.probed");
_Static_assert(sizeof(struct range) == MV_RANGE_SIZE, "range");
_Static_assert(offsetof(struct range, home) == MV_RANGE_HOME, "range.home");
_Static_assert(offsetof(struct range, size) == MV_RANGE_BYTES, "range.size");
_Static_assert(offsetof(struct range, arg) == MV_RANGE_ARG, "range.arg");
_Static_assert(sizeof(struct ranges) == MV_RANGES_SIZE, "ranges");
_Static_assert(offsetof(struct ranges, count) == MV_RANGE_COUNT, "ranges.count");
_Static_assert(offsetof(struct agent, in) == MV_AGENT_IN, "in");
_Static_assert(offsetof(struct agent, out) == MV_AGENT_OUT, "out");
_Static_assert(sizeof(struct hot_arg) == MV_HOT_ARG_SIZE, "hot_arg");
_Static_assert(sizeof(struct hot_call) == MV_HOT_SIZE, "hot_call");
_Static_assert(offsetof(struct hot_call, arg) == MV_HOT_ARGS, "hot_call.arg");
_Static_assert(offsetof(struct hot_call, key) == MV_HOT_KEY, "hot_call.key");
_Static_assert(offsetof(struct hot_call, flags) == MV_HOT_FLAGS, "hot_call.flags");
_Static_assert(offsetof(struct hot_call, word) == MV_HOT_WORD, "hot_call.word");
_Static_assert(offsetof(struct hot_call, time) == MV_HOT_TIME, "hot_call.time");
_Static_assert(offsetof(struct hot_call, command) == MV_HOT_COMMAND, "hot_call.command");
_Static_assert(offsetof(struct hot_call, used) == MV_HOT_USED, "hot_call.used");
_Static_assert(offsetof(struct hot_call, count) == MV_HOT_COUNT, "hot_call.count");
_Static_assert(offsetof(struct hot_call, first) == MV_HOT_FIRST, "hot_call.first");
_Static_assert(offsetof(struct hot_call, instant_nr) == MV_HOT_INSTANT_NR, "hot_call.instant_nr");
_Static_assert(offsetof(struct hot_call, instant_arg) == MV_HOT_INSTANT_ARG, "hot_call.instant_arg");
_Static_assert(offsetof(struct hot_call, instant_how) == MV_HOT_INSTANT_HOW, "hot_call.instant_how");
_Static_assert(offsetof(struct hot_call, instant_flag) == MV_HOT_INSTANT_FLAG, "hot_call.instant_flag");
_Static_assert(offsetof(struct hot_call, unless) == MV_HOT_UNLESS, "hot_call.unless");
_Static_assert(offsetof(struct hot_arg, kind) == MV_ARG_KIND, "hot_arg.kind");
_Static_assert(offsetof(struct hot_arg, dir) == MV_ARG_DIR, "hot_arg.dir");
_Static_assert(offsetof(struct hot_arg, length) == MV_ARG_LENGTH, "hot_arg.length");
_Static_assert(offsetof(struct hot_arg, count) == MV_ARG_COUNT, "hot_arg.count");
_Static_assert(offsetof(struct hot_arg, unit) == MV_ARG_UNIT, "hot_arg.unit");
_Static_assert(offsetof(struct hot_arg, how) == MV_ARG_HOW, "hot_arg.how");
_Static_assert(offsetof(struct hot_arg, flags) == MV_ARG_FLAGS, "hot_arg.flags");
_Static_assert(offsetof(struct hot_arg, on_err) == MV_ARG_ON_ERR, "hot_arg.on_err");
_Static_assert(offsetof(struct hot_arg, piece) == MV_ARG_PIECES, "hot_arg.piece");
_Static_assert(offsetof(struct agent, lease) == MV_AGENT_LEASE, "lease");
_Static_assert(offsetof(struct agent, interval) == MV_AGENT_INTERVAL, "interval");
_Static_assert(offsetof(struct agent, follows) == MV_AGENT_FOLLOWS, "follows");
_Static_assert(offsetof(struct agent, alone) == MV_AGENT_ALONE, "alone");
_Static_assert(offsetof(struct agent, fresh) == MV_AGENT_FRESH, "fresh");
_Static_assert(offsetof(struct agent, grant) == MV_AGENT_GRANT, "grant");
_Static_assert(offsetof(struct agent, closes) == MV_AGENT_CLOSES, "closes");
_Static_assert(offsetof(struct agent, fds) == MV_AGENT_FDS, "fds");
_Static_assert(offsetof(struct agent, texts) == MV_AGENT_TEXTS, "texts");
_Static_assert(offsetof(struct agent, table) == MV_AGENT_TABLE, "table");
_Static_assert(offsetof(struct agent, ring) == MV_AGENT_RING, "ring");
_Static_assert(offsetof(struct agent, slot) == MV_AGENT_SLOT, "slot");
_Static_assert(offsetof(struct agent, slot_end) == MV_AGENT_SLOT_END, "slot_end");
_Static_assert(offsetof(struct agent, delta) == MV_AGENT_DELTA, "delta");
_Static_assert(offsetof(struct agent, calls) == MV_AGENT_CALLS, "calls");
_Static_assert(offsetof(struct agent, number) == MV_AGENT_NUMBER, "number");
_Static_assert(offsetof(struct agent, differs) == MV_AGENT_DIFFERS, "differs");
_Static_assert(offsetof(struct agent, lead_nr) == MV_AGENT_LEAD_NR, "lead_nr");
_Static_assert(offsetof(struct agent, lead) == MV_AGENT_LEAD, "lead");
_Static_assert(offsetof(struct agent, lead_ip) == MV_AGENT_LEAD_IP, "lead_ip");
_Static_assert(offsetof(struct agent, lead_bytes) == MV_AGENT_LEAD_BYTES, "lead_bytes");
_Static_assert(offsetof(struct agent, r) + offsetof(struct ring, start) == MV_AGENT_START, "start");
_Static_assert(offsetof(struct agent, r) + offsetof(struct ring, sleeps) == MV_AGENT_SLEEPS, "sleeps");
_Static_assert(offsetof(struct agent, classes) == MV_AGENT_CLASSES, "classes");
_Static_assert(offsetof(struct agent, at) == MV_AGENT_AT, "at");
_Static_assert(offsetof(struct agent, names) == MV_AGENT_NAMES, "names");
_Static_assert(offsetof(struct agent, tally) == MV_AGENT_TALLY, "tally");
_Static_assert(offsetof(struct agent, keeps) == MV_AGENT_KEEPS, "keeps");
_Static_assert(offsetof(struct agent, masks) == MV_AGENT_MASKS, "masks");
_Static_assert(offsetof(struct agent, blocked) == MV_AGENT_BLOCKED, "blocked");
_Static_assert(offsetof(struct agent, never) == MV_AGENT_NEVER, "never");
_Static_assert(offsetof(struct agent, cycles) == MV_AGENT_CYCLES, "cycles");
_Static_assert(offsetof(struct agent, since) == MV_AGENT_CYCLES + 8, "since");
_Static_assert(offsetof(struct agent, scale) == MV_AGENT_CYCLES + 16, "scale");
_Static_assert(sizeof(struct agent) <= MV_AGENT_SIZE, "agent");

static inline struct agent *agent_of(struct block *b) { return (struct agent *)((u8 *)b + MV_AGENT); }
static inline struct account *account_of(struct agent *a) { return (struct account *)((u8 *)a - MV_AGENT + MV_ACCOUNT); }

/* Those that come so are the first ones, by which faults are told. */
static inline void agent_late(struct agent *a, int sig)
{
	if (sig <= 32)
		a->late |= 1U << (sig - 1);
}

static inline u32 agent_take_late(struct agent *a)
{
	u32 sig = (u32)__builtin_ctz(a->late) + 1;

	a->late &= a->late - 1;
	return sig;
}

/* Deals with the call at which the program stands, whose result is in u then. 0: it is the
 * monitor's. Where b->signalled is set a signal came with the call and is to be reported. */
int agent_call(struct block *b, struct ucontext *u);
/* Deals with a read of the time stamp counter at which the program stands, which has faulted. 0: it is
 * none, or it is the monitor's. code has the first n bytes of the instruction. */
int agent_stamp(struct block *b, struct ucontext *u, const u8 *code, u32 n);
/* The first 3 bytes of the program's at ip, or as many as are there, which is returned. agent_peek
 * raises no signal where there are less, so none has to be let in that the program may block. */
u32 agent_code(u64 ip, u8 *code);
u32 agent_peek(u64 ip, u8 *code);
/* The task is about to report something else than a call, or one that is made again. */
void agent_stops(struct block *b);
/* The task is about to go on with the program. */
void agent_resumes(struct block *b);

/* agent_hash.c */
/* Whether the followers are told a hash of what a call reads, and not the bytes. */
int agent_is_hashed(const struct agent *a, const struct hot_call *h);
/* Makes a hash, of two words, where agent_is_hashed says so; 0 if some of the program's memory is
 * not there. */
int agent_hash(const struct agent *a, const struct ranges *g, u64 *hash);

/* copy.S: of the program's memory, which need not be there. */
/* Returns how many of n bytes could not be copied. */
u64 vhost_copy(void *to, const void *from, u64 n);
/* Returns how many of n bytes are left from the first 8 on that differ or are not there. */
u64 vhost_compare(const void *a, const void *b, u64 n);
extern const char vhost_copy_at[], vhost_copy_out[], vhost_compare_out[];
/* Where vhost_compare reads them. */
extern const u64 vhost_compare_at[4];

#endif
