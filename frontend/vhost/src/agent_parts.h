/* What the files of the agent's code share. */
#ifndef VHOST_AGENT_PARTS_H
#define VHOST_AGENT_PARTS_H

#include "kernel.h"
#include "agent.h"

/* The request: the leader's call, and behind it what the call reads. */
struct request {
	i64 nr;
	u64 arg[6];
	u64 bytes;
};

/* What a call has got, and behind it what the kernel wrote. */
struct result {
	i64 ret;
	u64 bytes;
};

/* agent_args.c */
/* What the table says about a call, 0 for one that is the monitor's. */
const struct hot_call *agent_hot(const struct agent *a, i64 nr);
void agent_arguments(const struct ucontext *u, u64 *arg);
/* Collects what a call with these arguments reads or may write, and refuses what is not
 * for the agent. */
int agent_collect(const struct agent *a, const struct hot_call *h, const u64 *arg, u32 dir, struct ranges *g);
/* How much of what a call may write it has written: a result counts what the table says
 * that it counts. */
void agent_cut(const struct hot_call *h, i64 ret, struct ranges *g);
/* Whether the arguments of two variants are the same by their kinds. */
int agent_same_arguments(const struct hot_call *h, const u64 *x, const u64 *y);
/* Puts ranges of the program's memory into the record; 0 if some of it is not there. */
int agent_put(struct ring *r, const struct ranges *g);
/* Copies the rest of the record to ranges of the program's memory, or else compares it with
 * them; 0 if it differs, or some of the memory is not there. */
int agent_get(struct ring *r, const struct ranges *g, int copies);

/* agent_lead.c: deals with the leader's call; 0: it is the monitor's. */
int agent_lead(struct block *b, struct agent *a, struct ucontext *u);

/* agent_follow.c: deals with a follower's call; 0: it is the monitor's. */
int agent_follow(struct agent *a, struct ucontext *u);
/* Keeps the leader's request for a report. */
int agent_differ(struct agent *a, const struct request *q);

#endif
