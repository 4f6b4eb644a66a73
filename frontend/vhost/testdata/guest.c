/* Calls of a guest with which its agent deals. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../src/agent.h"
#include "check.h"

enum {
	GATE = 0x12345000,
	RETURN = 0x23456000,
	STACK = 0x34567000,
	BEHIND = 0x400123, /* where the program goes on */
	FLAGS = 1 << 9 | 1 << 6 | 1 << 1,
	ANSWER = 4711,
};

/* In the order of struct kvm_regs. */
enum { RAX, RCX = 2, RDX, RSP = 6, R11 = 11, RIP = 16, RFLAGS };

static struct {
	u64 ip, cs, flags, sp, ss;
} trap;

static struct hot_call table[MV_HOT_CALLS];
static struct block *the_block;
static int runs, calls;
static u64 mask_in_call;

static u64 *run_at(u32 off) { return (u64 *)((u8 *)the_block + MV_RUN + off); }
static u64 *regs(void) { return run_at(MV_RUN_REGS); }

/* What the guest does when it is entered; the last entry is a stop that is no call. */
static void (*first)(void);

static void stop(i64 run, u32 reason, u32 port)
{
	the_block->run = run;
	*(u32 *)((u8 *)the_block + MV_RUN + MV_RUN_REASON) = reason;
	*(uint16_t *)((u8 *)the_block + MV_RUN + MV_RUN_PORT) = (uint16_t)port;
}

static i64 machine(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_getppid) {
		calls++;
		mask_in_call = blocked_signals();
		return ANSWER;
	}
	if (nr != SYS_ioctl)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	if (runs++)
		return -EINTR;
	first();
	return the_block->run;
}

/* The program has called getppid(). */
static void at_call(void)
{
	regs()[RAX] = SYS_getppid;
	regs()[RCX] = BEHIND;
	regs()[R11] = FLAGS;
	regs()[RSP] = 0x7000;
	regs()[RFLAGS] = 2;
}

static void by_port(void)
{
	at_call();
	regs()[RIP] = GATE;
	stop(0, 2, MV_PORT_CALL);
}

static void by_fetch(void)
{
	at_call();
	regs()[RIP] = GATE;
	stop(-EFAULT, 0, 0);
}

static void by_fault(void)
{
	at_call();
	trap.ip = GATE;
	trap.cs = MV_USER_CS;
	trap.flags = 2;
	trap.sp = 0x7000;
	*run_at(MV_RUN_CR2) = GATE;
	stop(0, 2, MV_PORT_PAGE_FAULT);
}

/* A signal has come first. */
static void not_yet(void)
{
	by_fetch();
	stop(-EINTR, 10, 0);
}

static void not_yet_by_port(void)
{
	not_yet();
	the_block->arrived = GATE + 2;
}

/* The program has read the time stamp counter. */
static const u8 counter[] = { 0x0f, 0x01, 0xf9 };

static void by_protection(void)
{
	regs()[RAX] = 1;
	regs()[RFLAGS] = 2;
	trap.ip = (u64)counter;
	trap.cs = MV_USER_CS;
	trap.flags = FLAGS;
	trap.sp = 0x7000;
	stop(0, 2, MV_PORT_PROTECTION);
}

static u32 run(struct block *b)
{
	vhost_run_guest(b);
	return 0;
}

/* Runs the guest until it stops for the monitor and returns how many calls were the
 * agent's. */
static int run_guest(void (*f)(void), void (*spoil)(void))
{
	struct agent *a = agent_of(the_block);

	memset(a, 0, sizeof(*a));
	a->table = (u64)table;
	a->lease = a->grant = 1;
	a->fds = 1 << 20;
	first = f;
	runs = calls = 0;
	memset(run_at(0), 0, 4096);
	the_block->gate = GATE;
	the_block->arrived = 0;
	the_block->trap = (u64)&trap;
	the_block->trap_return = RETURN;
	the_block->trap_stack = STACK;
	if (spoil)
		spoil();
	hook = machine;
	on_block_stack(the_block, run);
	hook = NULL;
	CHECK(blocked_signals() == (~0ULL & ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP))), "%lx", blocked_signals());
	return calls;
}

static void prepare(void)
{
	the_block = block(1);
	table[SYS_getppid].flags = MV_HOT_CALL;
}

void test_guest_calls(void)
{
	void (*const ways[])(void) = { by_port, by_fetch, by_fault, not_yet, not_yet_by_port };
	u32 i;

	prepare();
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		CHECK(run_guest(ways[i], NULL) == 1 && runs == 2, "way %u: %d calls, %d runs", i, calls, runs);
		CHECK(the_block->run == -EINTR, "%ld", the_block->run);
		CHECK(regs()[RAX] == ANSWER && *run_at(MV_RUN_DIRTY) == MV_SYNC_REGS, "way %u", i);
		CHECK(!(mask_in_call & (signal_bit(SIGSEGV) | signal_bit(SIGBUS))), "%lx", mask_in_call);
		CHECK(mask_in_call & signal_bit(SIGTERM), "%lx", mask_in_call);
		/* What is over does not come to the monitor as a call. */
		CHECK(agent_of(the_block)->interval == 0, "the interval goes on");
	}
	/* Ring 0 leads the program back, or the registers do. */
	run_guest(by_port, NULL);
	CHECK(regs()[RIP] == GATE && regs()[RFLAGS] == 2, "%lx %lx", regs()[RIP], regs()[RFLAGS]);
	run_guest(by_fetch, NULL);
	CHECK(regs()[RIP] == BEHIND && regs()[RFLAGS] == FLAGS && regs()[RSP] == 0x7000, "%lx %lx", regs()[RIP], regs()[RFLAGS]);
	run_guest(not_yet, NULL);
	CHECK(regs()[RIP] == BEHIND && regs()[RFLAGS] == FLAGS && regs()[RSP] == 0x7000, "%lx %lx", regs()[RIP], regs()[RFLAGS]);
	run_guest(not_yet_by_port, NULL);
	CHECK(regs()[RIP] == GATE + 2 && regs()[RFLAGS] == 2, "%lx %lx", regs()[RIP], regs()[RFLAGS]);
	run_guest(by_fault, NULL);
	CHECK(regs()[RIP] == RETURN && regs()[RSP] == STACK && regs()[RFLAGS] == 2, "%lx %lx", regs()[RIP], regs()[RSP]);
	CHECK(trap.ip == BEHIND && trap.cs == MV_USER_CS && trap.flags == FLAGS && trap.sp == 0x7000 && trap.ss == MV_USER_SS, "%lx", trap.ip);
}

static void no_gate(void) { the_block->gate = 0; }
static void no_trap(void) { the_block->trap = 0; }
static void no_lease(void) { agent_of(the_block)->lease = 0; }
static void no_interval(void) { agent_of(the_block)->grant = 0; }

/* What looks like a call, and is not plainly one. */
static void stepping(void) { by_port(); regs()[R11] |= 1 << 8; }
static void resuming(void) { by_port(); regs()[R11] |= 1 << 16; }
static void no_flags(void) { by_port(); regs()[R11] = 0; }
static void other_port(void) { by_port(); stop(0, 2, MV_PORT_CALL + 1); }
static void other_reason(void) { by_port(); stop(0, 6, MV_PORT_CALL); }
static void jumped(void) { by_fetch(); regs()[RFLAGS] |= 1 << 9; }
static void jumped_and_signalled(void) { not_yet(); regs()[RFLAGS] |= 1 << 9; }
static void signalled_elsewhere(void) { not_yet(); regs()[RIP] = GATE + 1; }
static void elsewhere(void) { by_fetch(); regs()[RIP] = GATE + 1; }
static void jumped_to_fault(void) { by_fault(); trap.flags |= 1 << 9; }
static void other_fault(void) { by_fault(); *run_at(MV_RUN_CR2) = GATE + 1; }
static void other_ip(void) { by_fault(); trap.ip = BEHIND; }
static void of_ring0(void) { by_fault(); trap.cs = 0x10; }
static void no_stack(void) { by_fault(); trap.sp = 1ULL << 47; }
static void cold(void) { by_port(); regs()[RAX] = SYS_getuid; }
static void negative(void) { by_port(); regs()[RAX] = ~0ULL; }

void test_guest_no_calls(void)
{
	static const struct {
		void (*way)(void), (*spoil)(void);
	} list[] = {
		{ by_port, no_gate }, { by_fault, no_trap }, { by_port, no_lease }, { by_port, no_interval },
		{ stepping, NULL }, { resuming, NULL }, { no_flags, NULL }, { other_port, NULL }, { other_reason, NULL },
		{ jumped, NULL }, { elsewhere, NULL }, { jumped_and_signalled, NULL }, { signalled_elsewhere, NULL }, { jumped_to_fault, NULL }, { other_fault, NULL }, { other_ip, NULL },
		{ of_ring0, NULL }, { no_stack, NULL }, { cold, NULL }, { negative, NULL },
	};
	u32 i;

	prepare();
	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		CHECK(run_guest(list[i].way, list[i].spoil) == 0 && runs == 1, "%u: %d calls, %d runs", i, calls, runs);
		CHECK(*run_at(MV_RUN_DIRTY) == 0, "%u: the registers were changed", i);
	}
}

/* A signal that came with the call is told behind it, when the program has the result. */
static i64 signalled_machine(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_getppid)
		agent_late(agent_of(the_block), SIGSEGV);
	return machine(nr, a, b, c, d, e, f);
}

void test_guest_signalled(void)
{
	static const struct {
		void (*way)(void);
		u64 ip;
	} list[] = { { by_port, GATE }, { by_fetch, BEHIND }, { by_fault, RETURN }, { not_yet, BEHIND }, { not_yet_by_port, GATE + 2 } };
	u32 i;

	prepare();
	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		run_guest(list[i].way, NULL);
		hook = signalled_machine;
		runs = calls = 0;
		agent_of(the_block)->lease = agent_of(the_block)->grant = 1;
		memset(the_block->info, 0xff, sizeof(the_block->info));
		the_block->signalled = 0;
		on_block_stack(the_block, run);
		hook = NULL;
		CHECK(calls == 1 && runs == 1 && the_block->run == MV_RAN_SIGNALLED, "way %u: %d %d %ld", i, calls, runs, the_block->run);
		CHECK(the_block->signalled == 1 && info_signal(the_block) == SIGSEGV && regs()[RAX] == ANSWER, "way %u: %d", i, info_signal(the_block));
		CHECK(regs()[RIP] == list[i].ip, "way %u: at %lx", i, regs()[RIP]);
		CHECK(agent_of(the_block)->late == 0, "told again");
	}
}

static struct timespec now;

static i64 ticking_machine(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_clock_gettime) {
		*(struct timespec *)b = now;
		return 0;
	}
	return machine(nr, a, b, c, d, e, f);
}

static void run_stamp(void (*way)(void), u32 flags, void (*spoil)(void))
{
	run_guest(way, NULL);
	table[MV_STAMP_ENTRY + 1].flags = flags;
	memset(the_block->info, 0xff, sizeof(the_block->info));
	the_block->signalled = 0;
	*run_at(MV_RUN_DIRTY) = 0;
	runs = 0;
	agent_of(the_block)->lease = agent_of(the_block)->grant = 1;
	agent_of(the_block)->scale = 1ULL << MV_SCALE_BITS;
	now = (struct timespec){ 3, 4 };
	if (spoil)
		spoil();
	hook = ticking_machine;
	on_block_stack(the_block, run);
	hook = NULL;
}

static void from_gate(void) { by_protection(); regs()[RFLAGS] |= 1 << 9; }
static void from_ring0(void) { by_protection(); trap.cs = 0x10; }
static void from_elsewhere(void) { by_protection(); trap.ip = (u64)counter + 1; }
static void by_another_fault(void) { by_protection(); stop(0, 2, MV_PORT_PROTECTION - 1); }
static void by_no_port(void) { by_protection(); stop(0, 6, MV_PORT_PROTECTION); }

/* Reads of the time stamp counter come as faults, and the program goes on behind them. */
void test_guest_stamps(void)
{
	static void (*const others[])(void) = { from_gate, from_ring0, from_elsewhere, by_another_fault, by_no_port };
	u32 i;

	prepare();
	run_stamp(by_protection, MV_HOT_STAMP, NULL);
	CHECK(runs == 2 && *run_at(MV_RUN_DIRTY) == MV_SYNC_REGS, "%d runs", runs);
	CHECK((regs()[RDX] << 32 | regs()[RAX]) == 3000000004, "%lx:%lx", regs()[RDX], regs()[RAX]);
	CHECK(regs()[RIP] == RETURN && regs()[RSP] == STACK && regs()[RFLAGS] == 2, "%lx %lx", regs()[RIP], regs()[RSP]);
	CHECK(trap.ip == (u64)counter + 3 && trap.cs == MV_USER_CS && trap.flags == FLAGS && trap.sp == 0x7000, "%lx", trap.ip);
	/* A signal that the program blocks is not let in for it, nor for any other fault. */
	for (i = 0; i < 2; i++) {
		const struct timespec none = { 0, 0 };
		sigset_t set;

		CHECK(!kill(getpid(), SIGBUS) && !sigemptyset(&set) && !sigaddset(&set, SIGBUS), "%m");
		run_stamp(i ? from_elsewhere : by_protection, MV_HOT_STAMP, NULL);
		CHECK(runs == (i ? 1 : 2) && !the_block->signalled && !agent_of(the_block)->late, "%u: %d runs", i, runs);
		CHECK(sigtimedwait(&set, NULL, &none) == SIGBUS, "%u: it is gone", i);
	}
	run_stamp(by_protection, 0, NULL);
	CHECK(runs == 1 && !the_block->run && !*run_at(MV_RUN_DIRTY) && trap.ip == (u64)counter, "without an entry: %d runs", runs);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		run_stamp(others[i], MV_HOT_STAMP, NULL);
		CHECK(runs == 1 && !the_block->run && !*run_at(MV_RUN_DIRTY), "%u: %d runs", i, runs);
	}
}
