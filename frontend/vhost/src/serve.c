/* The loop of a task: report, wait for the monitor's turn to end, do as told. */
#include "kernel.h"
#include "vhost.h"

static struct bell *const bell = (struct bell *)MV_BELL;

static i64 call6(const struct call *c, const u64 *arg)
{
	return vhost_call(c->nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static void set_mask(u64 mask)
{
	vhost_call(SYS_rt_sigprocmask, SIG_SETMASK, (u64)&mask, 0, 8, 0, 0);
}

/* A call during which the program's signals may come. The first one that does is
 * kept for the monitor and ends the call; all others wait. */
static i64 interruptible(struct block *b, const struct call *c, const u64 *arg)
{
	i64 ret;

	set_mask(b->mask);
	ret = vhost_call_unless(&b->signalled, c, arg);
	set_mask(b->native ? (u64)MV_BLOCKED : ~0ULL);
	return ret;
}

static i64 execute(struct block *b, const struct call *c, const u64 *arg)
{
	if (c->flags & MV_CALL_CLONE)
		return vhost_clone(arg[0], arg[2], arg[3], (struct block *)b->child);
	if (c->flags & MV_CALL_INTERRUPTIBLE)
		return interruptible(b, c, arg);
	return call6(c, arg);
}

/* The result register of the program. Its offset is that of the general registers
 * in struct kvm_run, which begin with rax. */
static void store(struct block *b, i64 ret)
{
	u8 *run = (u8 *)b + MV_RUN;

	*(i64 *)(run + MV_RUN_REGS) = ret;
	*(u64 *)(run + MV_RUN_DIRTY) |= MV_SYNC_REGS;
}

u32 vhost_batch(struct block *b)
{
	struct call *calls = (struct call *)((u8 *)b + MV_CALLS);
	u32 i, k, count = b->count <= MV_MAX_CALLS ? b->count : MV_MAX_CALLS;

	for (i = 0; i < count; i++) {
		struct call *c = &calls[i];
		u64 arg[6];

		for (k = 0; k < 6; k++)
			arg[k] = c->ref[k] && c->ref[k] <= i ? (u64)calls[c->ref[k] - 1].ret : c->arg[k];
		c->ret = execute(b, c, arg);
		b->done = i + 1;
		if (c->flags & MV_CALL_STORE)
			store(b, c->ret);
		if ((c->flags & MV_CALL_MUST) && c->ret < 0 && c->ret >= -4095)
			return 0;
		if (b->signalled)
			return 0;
	}
	return b->flags & MV_FLAG_RUN;
}

void vhost_report(struct block *b, u32 event)
{
	b->event = event;
	__atomic_store_n(&b->turn, MV_TURN_MONITOR, __ATOMIC_RELEASE);
	vhost_ring();
}

void vhost_ring(void)
{
	__atomic_fetch_add(&bell->rung, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&bell->asleep, __ATOMIC_SEQ_CST))
		vhost_call(SYS_futex, (u64)&bell->rung, FUTEX_WAKE, 1, 0, 0, 0);
}

void vhost_mourn(const struct block *b)
{
	struct pollfd p = { (int)b->control, 0, 0 };

	if (vhost_call(SYS_poll, (u64)&p, 1, 0, 0, 0, 0) > 0 && (p.revents & (POLLHUP | POLLERR)))
		vhost_call(SYS_exit_group, 128 + SIGKILL, 0, 0, 0, 0, 0);
}

static void await_turn(struct block *b)
{
	static const struct timespec patience = { 0, 100000000 };
	u32 i, spin = b->spin;

	for (i = 0; i < spin; i++) {
		if (__atomic_load_n(&b->turn, __ATOMIC_ACQUIRE) == MV_TURN_HOST)
			return;
		__builtin_ia32_pause();
	}
	__atomic_store_n(&b->asleep, 1, __ATOMIC_SEQ_CST);
	b->sleeps++;
	while (__atomic_load_n(&b->turn, __ATOMIC_SEQ_CST) != MV_TURN_HOST) {
		i64 ret = vhost_call(SYS_futex, (u64)&b->turn, FUTEX_WAIT, MV_TURN_MONITOR, (u64)&patience, 0, 0);

		if (ret == -ETIMEDOUT)
			vhost_mourn(b);
	}
	__atomic_store_n(&b->asleep, 0, __ATOMIC_SEQ_CST);
}

void vhost_serve(struct block *b, u32 event)
{
	for (;;) {
		vhost_report(b, event);
		await_turn(b);
		b->done = 0;
		b->signalled = 0;
		event = MV_EVENT_DONE;
		if (vhost_batch(b)) {
			if (b->native)
				vhost_enter(b);
			vhost_run_guest(b);
			event = MV_EVENT_RUN;
		}
	}
}

void vhost_child(struct block *b)
{
	b->pid = (int32_t)vhost_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	b->tid = (int32_t)vhost_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
	b->event = MV_EVENT_BORN;
	b->frame = 0;
	if (b->native)
		vhost_arm(b);
	vhost_serve(b, MV_EVENT_BORN);
}

/* Runs on the stack of the block that it is about. */
void vhost_signal(int sig, const void *info, void *context)
{
	struct ucontext *u = context;
	struct block *b = (struct block *)((u64)__builtin_frame_address(0) & ~(u64)(MV_BLOCK_SIZE - 1));
	const u8 *from = info;
	u64 ip = u->rip;
	u32 i;

	if (b->native ? vhost_native_signal(b, sig, info, u) : vhost_guest_signal(b, sig, info, u))
		return;
	for (i = 0; i < sizeof(b->info); i++)
		b->info[i] = from[i];
	b->signalled = 1;
	u->mask = ~0ULL;
	if (b->native)
		u->mask = (u64)MV_BLOCKED;
	if (ip >= (u64)vhost_unless_first && ip <= (u64)vhost_unless_last)
		u->rip = (u64)vhost_unless_out;
}
