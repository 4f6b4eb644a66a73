/* What is known of a guest's processor where it has stopped. */
#ifndef VHOST_GUEST_H
#define VHOST_GUEST_H

#include "vhost.h"

/* The general registers, in the order of struct kvm_regs. */
enum { RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, R8, R9, R10, R11, R12, R13, R14, R15, RIP, RFLAGS };

/* What the processor leaves on the stack of ring 0. */
struct trap {
	u64 ip, cs, flags, sp, ss;
};

static inline u64 *guest_word(struct block *b, u32 off) { return (u64 *)((u8 *)b + MV_RUN + off); }

/* Whether a call with which the program had these flags has nothing about it for which the monitor
 * has to look at each of its stops. */
static inline int guest_plain(u64 flags) { return (flags & (FLAG_TF | FLAG_RF | FLAG_IF)) == FLAG_IF; }

/* guest.c */
void guest_open_signals(u64 mask);
/* Has the guest go on where a fault has led to ring 0 from. */
void guest_go_back(struct block *b, u64 *regs);

#endif
