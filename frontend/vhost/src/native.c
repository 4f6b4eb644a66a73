/* The program in this very process: its calls and its faults arrive as signals
 * (Documentation/admin-guide/syscall-user-dispatch.rst). */
#include "kernel.h"
#include "agent.h"
#include "vhost.h"

enum { CPUID_SIZE = 2 };

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
	u64 gs;

	__asm__ volatile("rdfsbase %0" : "=r"(*run_word(b, MV_RUN_FS_BASE)));
	__asm__ volatile("rdgsbase %0" : "=r"(gs));
	*run_word(b, MV_RUN_GS_BASE) = gs >> 32 == MV_BLOCKS >> 32 ? 0 : gs;
}

/* A program that has no base of GS of its own has the block's address there, by which the
 * gate knows its task. */
static void lend_base(struct block *b)
{
	u64 gs;

	__asm__ volatile("rdgsbase %0" : "=r"(gs));
	if (!gs)
		__asm__ volatile("wrgsbase %0" : : "r"((u64)b));
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

/* Whether a signal came in the program, and not in the variant host. */
static int in_program(const struct block *b, const struct ucontext *u)
{
	return !b->frame || u->rip < MV_SLOT || u->rip >= (u64)vhost_end;
}

u64 vhost_behind(u64 ip)
{
	u32 i;

	for (i = 0; i < 4; i++)
		if (ip == vhost_compare_at[i])
			return (u64)vhost_compare_out;
	return ip == (u64)vhost_copy_at ? (u64)vhost_copy_out : 0;
}

int vhost_repair(struct ucontext *u)
{
	u64 behind = vhost_behind(u->rip);

	if (behind)
		u->rip = behind;
	return !!behind;
}

/* Reports what led the program to the variant host, a signal or 0 for a call, and serves. */
static void __attribute__((noreturn)) trapped(struct block *b, int sig, struct ucontext *u)
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

static void note(struct block *b, const struct siginfo *info)
{
	const u8 *from = (const u8 *)info;
	u32 i;

	for (i = 0; i < sizeof(b->info); i++)
		b->info[i] = from[i];
}

/* The program's call: it is the agent's, or the monitor's. */
static void called(struct block *b, struct ucontext *u)
{
	b->signalled = 0;
	if (!agent_call(b, u))
		trapped(b, 0, u);
	/* The call may have changed it. */
	u->mask = b->open;
	if (b->signalled) {
		agent_stops(b);
		trapped(b, ((struct siginfo *)b->info)->signo, u);
	}
}

/* The call of a stub's: the gate has not taken it, or has sent it. */
static void called_from(struct block *b, struct ucontext *u, u64 stub)
{
	u64 onward = u->rip;
	u32 gate = b->jumped;

	u->rip = u->rcx = stub_return(stub);
	b->jumped = 0;
	if (gate == MV_GATE_CALL)
		trapped(b, 0, u);
	if (gate == MV_GATE_SIGNAL) {
		u->rax = gate_result(b);
		agent_stops(b);
		trapped(b, ((struct siginfo *)b->info)->signo, u);
	}
	called(b, u);
	u->rip = onward;
}

/* A call that the gate may not take is the stub's still. */
static void leave_door(const struct block *b, struct ucontext *u)
{
	u64 stub = stub_of(b, u->r11);

	if (u->rip != (u64)vhost_door && (u->rip < (u64)vhost_gate || u->rip >= (u64)vhost_gate_known))
		return;
	if (!b->frame || !stub || !stub_there(stub))
		return;
	u->rip = u->r11;
	u->rcx = stub_return(stub);
}

/* Tells of a signal that came while the agent worked, if there is one. */
static void tell_late(struct block *b, struct ucontext *u)
{
	u32 k;

	if (!agent_of(b)->late)
		return;
	agent_stops(b);
	for (k = 0; k < sizeof(b->info); k++)
		b->info[k] = 0;
	((struct siginfo *)b->info)->signo = (int32_t)agent_take_late(agent_of(b));
	trapped(b, ((struct siginfo *)b->info)->signo, u);
}

static int dispatched(int sig, const struct siginfo *i)
{
	return sig == SIGSYS && i->code == SYS_USER_DISPATCH && i->arch == AUDIT_ARCH_X86_64;
}

/* What CPUID answers. */
struct identification {
	u32 leaf, subleaf;
	u32 any; /* whatever the subleaf is */
	u32 unused;
	u32 registers[4];
};

/* Where CPUID has been exchanged for an invalid instruction in the program's code, and what is known of
 * what it answers. Whatever is not here is the monitor's to answer. */
struct identity {
	u32 traps, known;
	u64 at[MV_MAX_TRAPS];
	struct identification answer[MV_MAX_ANSWERS];
};

_Static_assert(sizeof(struct identification) == MV_ANSWER_SIZE, "answer");
_Static_assert(offsetof(struct identity, at) == MV_IDENTITY_AT, "identity.at");
_Static_assert(offsetof(struct identity, answer) == MV_IDENTITY_KNOWN, "identity.answer");
_Static_assert(sizeof(struct identity) <= MV_PAGE, "identity");

/* Answers CPUID where the program stands at one that has been exchanged; 0 if that is not known. */
static int identified(const struct block *b, struct ucontext *u)
{
	const struct identity *x = (const struct identity *)((const u8 *)b + MV_IDENTITY);
	u32 i, k, traps = __atomic_load_n(&x->traps, __ATOMIC_ACQUIRE), known = __atomic_load_n(&x->known, __ATOMIC_ACQUIRE);

	for (i = 0; i < traps && i < MV_MAX_TRAPS && x->at[i] != u->rip; i++)
		;
	/* Who steps through the program is to see the instruction as a step. */
	if (i >= traps || i >= MV_MAX_TRAPS || u->eflags & FLAG_TF)
		return 0;
	for (k = 0; k < known && k < MV_MAX_ANSWERS; k++) {
		const struct identification *a = &x->answer[k];

		if (a->leaf != (u32)u->rax || (!a->any && a->subleaf != (u32)u->rcx))
			continue;
		u->rax = a->registers[0];
		u->rbx = a->registers[1];
		u->rcx = a->registers[2];
		u->rdx = a->registers[3];
		u->rip += CPUID_SIZE;
		return 1;
	}
	return 0;
}

/* A signal that came in the program. */
static void stopped(struct block *b, int sig, const struct siginfo *i, struct ucontext *u)
{
	u64 stub = stub_of(b, u->rip);
	u8 code[3];

	if (dispatched(sig, i)) {
		if (stub)
			called_from(b, u, stub);
		else
			called(b, u);
		return;
	}
	if (stub && b->jumped) {
		agent_late(agent_of(b), sig);
		return;
	}
	/* What an instruction may not do where no memory is concerned. */
	if (sig == SIGSEGV && i->code == FROM_KERNEL && u->trapno == TRAP_PROTECTION && !stub && agent_stamp(b, u, code, agent_code(u->rip, code))) {
		tell_late(b, u);
		return;
	}
	if (sig == SIGILL && i->code > 0 && !stub && identified(b, u)) {
		tell_late(b, u);
		return;
	}
	if (stub && !stub_there(stub))
		stub = 0;
	if (stub && sig == SIGTRAP && i->code > 0 && stub_steps(stub, u))
		return;
	if (stub)
		u->rip = stub_original(stub, u->rip);
	note(b, i);
	agent_stops(b);
	trapped(b, sig, u);
}

int vhost_faulted(int sig, const struct siginfo *i, const struct ucontext *u)
{
	if (i->code <= 0)
		return 0;
	if (sig != SIGSEGV && sig != SIGBUS)
		return MV_TRAPS >> (sig - 1) & 1;
	/* Who has descriptors or children tell of themselves by these has codes of such numbers. */
	return i->code == FROM_KERNEL || u->trapno == TRAP_ALIGNMENT || i->addr == u->cr2;
}

int vhost_native_signal(struct block *b, int sig, const struct siginfo *i, struct ucontext *u)
{
	leave_door(b, u);
	if (in_program(b, u)) {
		stopped(b, sig, i, u);
		return 1;
	}
	if (vhost_faulted(sig, i, u)) {
		if (!vhost_repair(u))
			vhost_call(SYS_exit_group, 128 + SIGKILL, 0, 0, 0, 0, 0);
		return 1;
	}
	if (u->rip >= (u64)vhost_gate_first && u->rip <= (u64)vhost_gate_last)
		u->rip = (u64)vhost_gate_again;
	if (u->mask != (u64)MV_BLOCKED && u->mask != (u64)MV_LEAVING && b->jumped < MV_GATE_CALL)
		return 0;
	/* Only those are let in here that faults are told by. */
	agent_late(agent_of(b), sig);
	return 1;
}

/* Reports a signal that came while nobody could. */
static void report_late(struct block *b)
{
	u32 k;

	for (k = 0; k < sizeof(b->info); k++)
		b->info[k] = 0;
	b->run = (i64)agent_take_late(agent_of(b));
	((struct siginfo *)b->info)->signo = (int32_t)b->run;
	vhost_serve(b, MV_EVENT_RUN);
}

void vhost_enter(struct block *b)
{
	struct ucontext *u = (struct ucontext *)b->frame;
	u64 *list[18], *run = run_word(b, MV_RUN_REGS), *dirty = run_word(b, MV_RUN_DIRTY);
	u32 i;

	if (agent_of(b)->late)
		report_late(b);
	general(u, list);
	if (*dirty & MV_SYNC_REGS)
		for (i = 0; i < 18; i++)
			*list[i] = run[i];
	if (*dirty & MV_SYNC_SPECIAL)
		store_bases(b);
	if (b->rewritten)
		lend_base(b);
	if (b->onward)
		u->rip = b->onward;
	*dirty = 0;
	u->mask = b->open;
	agent_resumes(b);
	vhost_resume(u);
}
