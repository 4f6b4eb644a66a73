/* Calls by which the program changes its mask of signals (rt_sigprocmask). The leader's kernel is
 * told; followers' let in nothing but what the monitor sends. What the program blocks the monitor
 * finds in the block when the task reports. */
#include "kernel.h"
#include "agent_parts.h"

enum { SET_SIZE = 8 };

static const u64 unblockable = 1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1);

/* Finds out what a call makes of the mask: 0, or the error with which nothing changes. */
static i64 changed(const struct agent *a, const u64 *given, u64 *now)
{
	u64 set;

	*now = a->blocked;
	if (given[3] != SET_SIZE)
		return -EINVAL;
	if (!given[1])
		return 0;
	set = *(const u64 *)given[1];
	switch ((int32_t)given[0]) {
	case SIG_BLOCK:
		set |= a->blocked;
		break;
	case SIG_UNBLOCK:
		set = a->blocked & ~set;
		break;
	case SIG_SETMASK:
		break;
	default:
		return -EINVAL;
	}
	*now = set & ~unblockable;
	return 0;
}

/* Whether one of these signals waits to be let in: it comes with the call then, and is the
 * monitor's to tell the others. */
static int waits(const struct agent *a, u64 set)
{
	u64 pending;

	if (!set)
		return 0;
	return a->late || vhost_call(SYS_rt_sigpending, (u64)&pending, SET_SIZE, 0, 0, 0, 0) || pending & set;
}

/* Tells the kernel what to keep from the program from now on. 0: a signal has come before. Inline
 * it would make the frame of each call larger. */
static int __attribute__((noinline)) tell(struct block *b, u64 mask)
{
	const struct signal_mask machine = { .size = SET_SIZE, .set = mask };
	u64 arg[6] = { SIG_SETMASK, (u64)&machine.set, 0, SET_SIZE };
	struct call c = { .nr = SYS_rt_sigprocmask };

	/* Where the program has not come by a jump its mask is that of the frame by which it goes on. */
	if (b->native && b->jumped != MV_GATE_AGENT)
		return 1;
	if (!b->native) {
		/* Signals are kept out here, and the machine has a mask of its own. */
		c.nr = SYS_ioctl;
		arg[0] = (u64)b->vcpu;
		arg[1] = KVM_SET_SIGNAL_MASK;
		arg[2] = (u64)&machine.size;
	}
	return vhost_call_unless(&b->signalled, &c, arg) != MV_NOT_EXECUTED;
}

i64 agent_mask(struct block *b, struct agent *a, const u64 *given)
{
	u64 old = a->blocked, now, mask;
	i64 ret = changed(a, given, &now);

	if (ret)
		return ret;
	mask = now & ~a->never;
	if (now != old && (!a->masks || waits(a, old & ~now) || !tell(b, mask)))
		return MV_NOT_EXECUTED;
	if (now != old)
		b->open = mask;
	a->blocked = now;
	return given[2] && vhost_copy((void *)given[2], &old, sizeof(old)) ? -EFAULT : 0;
}

void agent_mask_too(struct agent *a, const u64 *given)
{
	u64 now;

	changed(a, given, &now);
	a->blocked = now;
}
