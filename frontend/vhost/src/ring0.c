/* The agent in the ring 0 of a guest: it deals there with the program's frequent calls and its reads of
 * the time stamp counter. What it needs the kernel for leaves the guest for the variant host, which
 * makes the call and lets the agent go on. */
#include "kernel.h"
#include "agent.h"
#include "guest.h"
#include "vhost.h"

/* The size of the entry code's first instruction, out %al, port. */
enum { OUT_SIZE = 2 };

/* What an exception leaves on the stack. */
struct fault {
	u64 code;
	struct trap trap;
};

_Static_assert(MV_RING0_FRAME - MV_RING0_CONTEXT >= sizeof(struct ucontext), "ring0 context");
_Static_assert(MV_RING0_AT - MV_RING0_FRAME == sizeof(struct fault), "ring0 frame");

static struct ucontext *context(struct block *b) { return (struct ucontext *)((u8 *)b + MV_RING0_CONTEXT); }

u32 vhost_ring0_called(struct block *b)
{
	struct ucontext *u = context(b);

	b->out = MV_OUT_REFUSED;
	if (!b->gate || !guest_plain(u->r11))
		return 0;
	u->rax = (u64)(int32_t)u->rax;
	b->signalled = 0;
	if (!agent_call(b, u))
		return 0;
	b->out = MV_OUT_ANSWERED;
	if (b->signalled || agent_of(b)->late)
		b->hurry = 1;
	return 1;
}

u32 vhost_ring0_faulted(struct block *b)
{
	struct ucontext *u = context(b);
	struct fault *f = (struct fault *)((u8 *)b + MV_RING0_FRAME);
	u8 code[3];

	b->out = MV_OUT_FAULT;
	if (!b->gate)
		return 0;
	u->rip = f->trap.ip;
	u->eflags = f->trap.flags;
	if (!agent_stamp(b, u, code, agent_code(u->rip, code)))
		return 0;
	f->trap.ip = u->rip;
	/* Faults set it for the instruction that is to be tried again. */
	f->trap.flags &= ~(u64)FLAG_RF;
	b->out = MV_OUT_RETURNED;
	return 1;
}

/* Whether a processor that is there is in the agent, and not a program that has jumped there. */
static int inside(u64 ip, u64 flags) { return ip >= (u64)vhost_first && ip < (u64)vhost_end && !(flags & FLAG_IF); }

static void block_in_guest(const struct block *b, u64 set)
{
	const struct signal_mask mask = { .size = 8, .set = set };

	vhost_call(SYS_ioctl, (u64)b->vcpu, KVM_SET_SIGNAL_MASK, (u64)&mask.size, 0, 0, 0);
}

/* The guest does not get to know of signals until the agent is done: the kernel would let it run not a
 * step further. */
static void hurry(struct block *b)
{
	block_in_guest(b, ~0ULL);
	b->hurry = 1;
}

/* Finishes a copy or a comparison in which the guest has found that it does not have the memory: the
 * process may have it. The registers are those in the midst of it. */
static void finish_copy(struct block *b, u64 ip, u64 *regs)
{
	u64 *left = ip == (u64)vhost_copy_at ? &regs[RCX] : &regs[RAX];

	b->tries = 0;
	guest_open_signals((u64)MV_BLOCKED);
	*left = ip == (u64)vhost_copy_at ? vhost_copy((void *)regs[RDI], (const void *)regs[RSI], *left) :
					   vhost_compare((const void *)regs[RDI], (const void *)regs[RSI], *left);
	guest_open_signals(~0ULL);
	if (agent_of(b)->late)
		b->hurry = 1;
}

/* The guest could not execute an instruction of the agent's that needs no memory of the program's. */
static enum ring0 try_again(struct block *b)
{
	if (++b->tries > MV_RING0_TRIES)
		return RING0_BROKEN;
	vhost_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	return RING0_ON;
}

/* The guest's processor is in ring 0 because of the agent, in front of what the kernel has come back for. */
static enum ring0 interrupted(struct block *b, u64 *regs)
{
	u64 ip = regs[RIP];

	if (ip == (u64)vhost_ring0_door_call || ip == (u64)vhost_ring0_call) {
		regs[RIP] = b->entry;
		return RING0_NOT;
	}
	if (ip == (u64)vhost_ring0_call_last) {
		regs[RIP] = b->entry + OUT_SIZE;
		return RING0_NOT;
	}
	if (ip == (u64)vhost_ring0_fault_last) {
		regs[RIP] = b->trap_return;
		return RING0_NOT;
	}
	if (ip >= (u64)vhost_ring0_call_first && ip < (u64)vhost_ring0_call_last)
		regs[RIP] = (u64)vhost_ring0_call_first;
	if (ip >= (u64)vhost_ring0_fault_first && ip < (u64)vhost_ring0_fault_last)
		regs[RIP] = (u64)vhost_ring0_fault_first;
	hurry(b);
	return RING0_ON;
}

/* The program is not in the agent's hands any more. */
static enum ring0 came_out(struct block *b, u64 *regs, uint16_t *port)
{
	if (b->hurry)
		block_in_guest(b, b->open);
	b->hurry = 0;
	switch (b->out) {
	case MV_OUT_REFUSED:
		regs[RIP] = b->entry + OUT_SIZE;
		*port = MV_PORT_CALL;
		return RING0_NOT;
	case MV_OUT_ANSWERED:
		regs[RIP] = b->entry + OUT_SIZE;
		return b->signalled || agent_of(b)->late ? RING0_SIGNALLED : RING0_ON;
	case MV_OUT_RETURNED:
		regs[RIP] = b->trap_return;
		return RING0_ON;
	}
	*port = MV_PORT_PROTECTION;
	return RING0_STOPS;
}

/* The agent tells of something by a port. */
static enum ring0 told(struct block *b, u64 *regs, uint16_t *port)
{
	if (*port == MV_PORT_OUT)
		return came_out(b, regs, port);
	if (*port == MV_PORT_KERNEL)
		regs[RAX] = (u64)vhost_call((i64)regs[RAX], regs[RDI], regs[RSI], regs[RDX], regs[R10], regs[R8], regs[R9]);
	else if (*port == MV_PORT_UNLESS)
		regs[RAX] = (u64)vhost_call_unless((const u32 *)regs[RDI], (const struct call *)regs[RSI], (const u64 *)regs[RDX]);
	else
		return RING0_BROKEN;
	return RING0_ON;
}

/* A trap that was held back until the program had come to ring 0 with a call is told as if there were no
 * agent. Whether that is it. */
static int is_step(const struct block *b, struct trap *f)
{
	if (f->ip != (u64)vhost_ring0_door_call && f->ip != (u64)vhost_ring0_call)
		return 0;
	f->ip = b->entry;
	return 1;
}

/* An exception that ring 0 has caused. */
static enum ring0 failed(struct block *b, u64 *regs, uint16_t port)
{
	struct trap *f = (struct trap *)b->trap;
	u64 behind = vhost_behind(f->ip);

	if (port == MV_PORT_DEBUG && is_step(b, f))
		return RING0_NOT;
	if (port != MV_PORT_PAGE_FAULT)
		return RING0_BROKEN;
	/* The code is not there for a moment, or what it reads is not. */
	if (!behind || *guest_word(b, MV_RUN_CR2) == f->ip) {
		guest_go_back(b, regs);
		return try_again(b);
	}
	finish_copy(b, f->ip, regs);
	f->ip = behind;
	guest_go_back(b, regs);
	return RING0_ON;
}

/* Whether the processor is in the entry code because of an exception that ring 0 has caused. Calls come
 * there, too, without a word on the stack. */
static int failing(const struct block *b, const u64 *regs)
{
	const struct trap *f = (const struct trap *)b->trap;
	u64 page = b->entry & ~(u64)(MV_PAGE - 1), ip = regs[RIP];

	if (!f || regs[RFLAGS] & FLAG_IF || ip - page >= MV_PAGE || ip == b->entry || ip == b->entry + OUT_SIZE)
		return 0;
	return !(f->cs & 3) && inside(f->ip, f->flags);
}

enum ring0 vhost_ring0_stopped(struct block *b, u64 *regs)
{
	u8 *run = (u8 *)b + MV_RUN;
	uint16_t *port = (uint16_t *)(run + MV_RUN_PORT);
	u32 reason = *(const u32 *)(run + MV_RUN_REASON);
	int is_port = !b->run && reason == KVM_EXIT_IO;
	u64 behind;

	/* A program never has this: the processor would go on with the agent's in its place. */
	if (regs[RFLAGS] & FLAG_IF && *guest_word(b, MV_RUN_GS_BASE) == (u64)b)
		return RING0_BROKEN;
	if (failing(b, regs)) {
		if (is_port)
			return failed(b, regs, *port);
		if (b->run != -EINTR)
			return RING0_BROKEN;
		if (is_step(b, (struct trap *)b->trap))
			return RING0_NOT;
		hurry(b);
		return RING0_ON;
	}
	if (!inside(regs[RIP], regs[RFLAGS]))
		return RING0_NOT;
	*(u64 *)(run + MV_RUN_DIRTY) |= MV_SYNC_REGS;
	if (is_port) {
		b->tries = 0;
		return told(b, regs, port);
	}
	if (b->run == -EINTR)
		return interrupted(b, regs);
	behind = vhost_behind(regs[RIP]);
	if (b->run == -EFAULT && behind) {
		finish_copy(b, regs[RIP], regs);
		regs[RIP] = behind;
		return RING0_ON;
	}
	return b->run == -EFAULT || (!b->run && reason == KVM_EXIT_INTERNAL_ERROR) ? try_again(b) : RING0_BROKEN;
}
