/* The program in a virtual machine: what of its calls is the agent's. */
#include "kernel.h"
#include "agent.h"
#include "guest.h"
#include "vhost.h"

/* How a call has led the guest out. */
enum way {
	NO_CALL,
	BY_PORT,  /* by ring 0's first instruction, which tells of it */
	BY_FETCH, /* because the host has no memory for that instruction */
	BY_FAULT, /* because the guest has none, by ring 0's code for page faults */
	NOT_YET,  /* a signal came first, when the guest had got to the gate */
};

/* Whether the page fault that ring 0 tells of is a call's. A stack pointer that is no
 * address is for the monitor to look at. */
static int at_gate(struct block *b)
{
	const struct trap *f = (const struct trap *)b->trap;

	return f && f->ip == b->gate && !(f->flags & FLAG_IF) && (f->cs & 3) == 3 && *guest_word(b, MV_RUN_CR2) == b->gate &&
	       (i64)(f->sp << 16) >> 16 == (i64)f->sp;
}

/* Whether the program has made a call, and has nothing about it for which the monitor has
 * to look at each of its stops: what led ring 0 to the gate has cleared the interrupt
 * flag, which ring 3 cannot. */
static enum way called(struct block *b, const u64 *regs)
{
	const u8 *run = (const u8 *)b + MV_RUN;
	uint16_t port = *(const uint16_t *)(run + MV_RUN_PORT);

	if (!b->gate || !guest_plain(regs[R11]))
		return NO_CALL;
	if (b->run == -EFAULT || b->run == -EINTR) {
		if (regs[RIP] != b->gate || (regs[RFLAGS] & FLAG_IF))
			return NO_CALL;
		return b->run == -EINTR ? NOT_YET : BY_FETCH;
	}
	if (b->run || *(const u32 *)(run + MV_RUN_REASON) != KVM_EXIT_IO)
		return NO_CALL;
	if (port == MV_PORT_CALL)
		return BY_PORT;
	return port == MV_PORT_PAGE_FAULT && at_gate(b) ? BY_FAULT : NO_CALL;
}

void guest_open_signals(u64 mask) { vhost_call(SYS_rt_sigprocmask, SIG_SETMASK, (u64)&mask, 0, 8, 0, 0); }

void guest_go_back(struct block *b, u64 *regs)
{
	regs[RIP] = b->trap_return;
	regs[RSP] = b->trap_stack;
	regs[RFLAGS] = FLAG_FIXED;
	*guest_word(b, MV_RUN_DIRTY) |= MV_SYNC_REGS;
}

/* The agent's result is the program's, which goes on behind the call. */
static void answer(struct block *b, enum way way, u64 *regs, u64 ret)
{
	struct trap *f = (struct trap *)b->trap;

	regs[RAX] = ret;
	if (way == NOT_YET && b->arrived) {
		regs[RIP] = b->arrived;
	} else if (way == BY_FETCH || way == NOT_YET) {
		regs[RIP] = regs[RCX];
		regs[RFLAGS] = regs[R11];
	} else if (way == BY_FAULT) {
		f->ip = regs[RCX];
		f->cs = MV_USER_CS;
		f->flags = regs[R11];
		f->ss = MV_USER_SS;
		guest_go_back(b, regs);
	}
	*guest_word(b, MV_RUN_DIRTY) |= MV_SYNC_REGS;
}

/* Deals with a read of the time stamp counter, which the guest is kept from. 0: it is none, or it is
 * the monitor's. */
static int stamped(struct block *b, u64 *regs)
{
	const u8 *run = (const u8 *)b + MV_RUN;
	struct trap *f = (struct trap *)b->trap;
	struct ucontext u;
	u8 code[3];

	if (b->run || *(const u32 *)(run + MV_RUN_REASON) != KVM_EXIT_IO || *(const uint16_t *)(run + MV_RUN_PORT) != MV_PORT_PROTECTION ||
	    !f || (regs[RFLAGS] & FLAG_IF) || (f->cs & 3) != 3)
		return 0;
	u.rip = f->ip;
	u.eflags = f->flags;
	u.rcx = regs[RCX];
	if (!agent_stamp(b, &u, code, agent_peek(u.rip, code)))
		return 0;
	regs[RAX] = u.rax;
	regs[RDX] = u.rdx;
	regs[RCX] = u.rcx;
	f->ip = u.rip;
	/* Faults set it for the instruction that is to be tried again. */
	f->flags &= ~(u64)FLAG_RF;
	guest_go_back(b, regs);
	return 1;
}

/* A signal has come with a call with which the agent has dealt. */
static int signalled(struct block *b)
{
	agent_stops(b);
	b->run = MV_RAN_SIGNALLED;
	return 0;
}

/* Deals with the stop of a guest. 0: it is the monitor's. */
static int handled(struct block *b)
{
	u64 *regs = guest_word(b, MV_RUN_REGS);
	struct agent *a = agent_of(b);
	struct ucontext u;
	enum way way;
	int done;

	switch (b->entry ? vhost_ring0_stopped(b, regs) : RING0_NOT) {
	case RING0_ON:
		return 1;
	case RING0_SIGNALLED:
		return signalled(b);
	case RING0_STOPS:
		agent_stops(b);
		return 0;
	case RING0_BROKEN:
		b->run = MV_RAN_BROKEN;
		return 0;
	case RING0_NOT:
		break;
	}
	if (!a->interval)
		return 0;
	way = called(b, regs);
	if (way == NO_CALL && stamped(b, regs))
		return 1;
	if (way == NO_CALL) {
		agent_stops(b);
		return 0;
	}
	u.rax = (u64)(int32_t)regs[RAX];
	u.rcx = regs[RCX];
	u.rdi = regs[RDI];
	u.rsi = regs[RSI];
	u.rdx = regs[RDX];
	u.r10 = regs[R10];
	u.r8 = regs[R8];
	u.r9 = regs[R9];
	b->signalled = 0;
	/* Faults in copies of the program's memory are signals. */
	guest_open_signals((u64)MV_BLOCKED);
	done = agent_call(b, &u);
	guest_open_signals(~0ULL);
	if (!done)
		return 0;
	answer(b, way, regs, u.rax);
	if (!b->signalled && !a->late)
		return 1;
	return signalled(b);
}

/* A signal that came in between is told without what the kernel says of it. */
static void tell_late(struct block *b)
{
	struct agent *a = agent_of(b);
	u32 i;

	if (!a->late || b->signalled)
		return;
	for (i = 0; i < sizeof(b->info); i++)
		b->info[i] = 0;
	*(int32_t *)b->info = (int32_t)agent_take_late(a);
	b->signalled = 1;
}

void vhost_run_guest(struct block *b)
{
	agent_resumes(b);
	do
		b->run = vhost_call(SYS_ioctl, (u64)b->vcpu, KVM_RUN, 0, 0, 0, 0);
	while (handled(b));
	tell_late(b);
}

int vhost_guest_signal(struct block *b, int sig, const struct siginfo *info, struct ucontext *u)
{
	if (u->mask != (u64)MV_BLOCKED)
		return 0;
	if (!vhost_faulted(sig, info, u))
		agent_late(agent_of(b), sig);
	else if (!vhost_repair(u))
		/* The variant host's own, which would come again and again. */
		vhost_call(SYS_exit_group, 128 + SIGKILL, 0, 0, 0, 0, 0);
	return 1;
}
