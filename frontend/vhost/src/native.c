/* The program in this very process: its calls and its faults arrive as signals
 * (Documentation/admin-guide/syscall-user-dispatch.rst). */
#include "kernel.h"
#include "vhost.h"

/* Where the general registers are in a signal's context, in the order of struct
 * kvm_regs. */
static void general(struct ucontext *u, u64 *list[18])
{
	u64 *all[18] = {
		&u->rax, &u->rbx, &u->rcx, &u->rdx, &u->rsi, &u->rdi, &u->rsp, &u->rbp, &u->r8,
		&u->r9, &u->r10, &u->r11, &u->r12, &u->r13, &u->r14, &u->r15, &u->rip, &u->eflags,
	};
	u32 i;

	for (i = 0; i < 18; i++)
		list[i] = all[i];
}

static u64 *run_word(struct block *b, u32 off)
{
	return (u64 *)((u8 *)b + MV_RUN + off);
}

static void load_bases(struct block *b)
{
	__asm__ volatile("rdfsbase %0" : "=r"(*run_word(b, MV_RUN_FS_BASE)));
	__asm__ volatile("rdgsbase %0" : "=r"(*run_word(b, MV_RUN_GS_BASE)));
}

static void store_bases(struct block *b)
{
	__asm__ volatile("wrfsbase %0" : : "r"(*run_word(b, MV_RUN_FS_BASE)));
	__asm__ volatile("wrgsbase %0" : : "r"(*run_word(b, MV_RUN_GS_BASE)));
}

/* Calls from the image are made; all others, whatever a selector would say, are
 * signals. */
static i64 dispatch(void)
{
	u64 size = ((u64)vhost_end - MV_SLOT + MV_PAGE - 1) & ~(u64)(MV_PAGE - 1);

	return vhost_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, MV_SLOT, size, 0, 0);
}

/* Every call here is tame to the filter, if there is one: the monitor does not know a
 * new task before it has reported. */
void vhost_arm(struct block *b)
{
	const struct altstack at = { (u64)b + MV_STACK, 0, MV_BLOCK_SIZE - MV_STACK };
	const u64 invalid = 1ULL << (SIGILL - 1);

	if (vhost_call(SYS_sigaltstack, (u64)&at, 0, 0, 0, 0, 0) || dispatch())
		return;
	/* The kernel makes the frame by which the program is entered first. */
	vhost_call(SYS_rt_sigprocmask, SIG_UNBLOCK, (u64)&invalid, 0, 8, 0, 0);
	__asm__ volatile("ud2" : : : "memory");
}

int vhost_in_program(const struct block *b, const struct ucontext *u)
{
	return !b->frame || u->rip < MV_SLOT || u->rip >= (u64)vhost_end;
}

void vhost_trapped(struct block *b, int sig, struct ucontext *u)
{
	u64 *list[18], *run = run_word(b, MV_RUN_REGS);
	u32 i, event = b->frame ? MV_EVENT_RUN : b->event;

	general(u, list);
	for (i = 0; i < 18; i++)
		run[i] = *list[i];
	load_bases(b);
	b->frame = (u64)u;
	b->run = sig;
	vhost_serve(b, event);
}

void vhost_enter(struct block *b)
{
	struct ucontext *u = (struct ucontext *)b->frame;
	u64 *list[18], *run = run_word(b, MV_RUN_REGS), *dirty = run_word(b, MV_RUN_DIRTY);
	u32 i;

	general(u, list);
	if (*dirty & MV_SYNC_REGS)
		for (i = 0; i < 18; i++)
			*list[i] = run[i];
	if (*dirty & MV_SYNC_SPECIAL)
		store_bases(b);
	*dirty = 0;
	u->mask = b->open;
	vhost_resume(u);
}
