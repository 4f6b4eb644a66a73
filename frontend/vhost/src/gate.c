/* Calls of the program that the monitor has rewritten: they come here by a jump, while the
 * program's signals are let in. */
#include "kernel.h"
#include "agent.h"
#include "vhost.h"

#define SYSCALL_SIZE 2

static struct ucontext *context(struct block *b) { return (struct ucontext *)((u8 *)b + MV_GATE_CONTEXT); }

u64 gate_result(struct block *b) { return context(b)->rax; }

u64 stub_of(const struct block *b, u64 ip)
{
	u32 i;

	for (i = 0; i < MV_STUB_ROOMS; i++)
		if (ip - b->stubs[i].start < b->stubs[i].size)
			return ip & ~(u64)(MV_STUB_SIZE - 1);
	return 0;
}

/* A page that is not there is none that the kernel can look at. It looks at pages that nobody can
 * write to for private words only (get_futex_key). */
int stub_there(u64 stub)
{
	static const struct timespec at_once = { 0, 0 };

	return vhost_call(SYS_futex, stub, FUTEX_WAIT | FUTEX_PRIVATE, 0, (u64)&at_once, 0, 0) != -EFAULT && stub_return(stub);
}

static u64 prefix(u64 stub) { return *(const u8 *)(stub + MV_STUB_PREFIX); }

/* Where the stub's system call instruction is. */
static u64 makes_call(u64 stub) { return stub + MV_STUB_CODE + prefix(stub) + MV_STUB_REACH; }

u64 stub_return(u64 stub) { return *(const u64 *)(stub + MV_STUB_RETURN); }

u64 stub_original(u64 stub, u64 ip)
{
	u64 behind = makes_call(stub) + SYSCALL_SIZE, at = stub_return(stub);

	if (ip >= behind)
		return ip == behind ? at : at + *(const u8 *)(stub + MV_STUB_SUFFIX);
	at -= SYSCALL_SIZE;
	return ip <= stub + MV_STUB_CODE ? at - prefix(stub) : at;
}

int stub_steps(u64 stub, struct ucontext *u)
{
	if (u->rip != stub + MV_STUB_CODE)
		return 0;
	if (!prefix(stub))
		u->rip = makes_call(stub);
	return 1;
}

/* From here on no signal comes until the call has. */
static u32 leave(struct block *b, u32 why)
{
	const u64 mask = (u64)MV_LEAVING;

	vhost_call(SYS_rt_sigprocmask, SIG_SETMASK, (u64)&mask, 0, 8, 0, 0);
	b->jumped = why;
	return 1;
}

u32 vhost_gate_late(struct block *b) { return leave(b, MV_GATE_SIGNAL); }

u32 vhost_gated(struct block *b)
{
	struct ucontext *u = context(b);

	u->rip = u->r11 + SYSCALL_SIZE;
	u->rcx = stub_return(u->r11 & ~(u64)(MV_STUB_SIZE - 1));
	b->jumped = MV_GATE_AGENT;
	if (!agent_call(b, u))
		return leave(b, MV_GATE_CALL);
	b->jumped = 0;
	return b->signalled ? vhost_gate_late(b) : 0;
}
