/* The agent in the ring 0 of a guest: what the variant host does about the guest's stops, and what the
 * agent does about calls and exceptions. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../src/agent.h"
#include "../src/guest.h"
#include "check.h"

enum {
	ENTRY = 0x300200, /* of ring 0, where the agent is not */
	BACK = ENTRY + 0x20,
	STUB = ENTRY - 0x100, /* of an exception */
	STACK_AT = 0x320000,
	SET_MASK = 0x4004ae8b,
	RUN_GUEST = 0xae80,
	IN_RING0 = 1 << 1,
	IN_PROGRAM = 1 << 9 | 1 << 1,
	ANSWER = 4711,
	OPEN = 0x1234,
	MOST = 8,
};

static struct block *the_block;
static struct trap trap;
static int runs;
static u64 masks[MOST];
static u32 masked;

/* What the guest does one after the other, and what its registers were when it went on. */
static void (*steps[MOST])(void);
static struct {
	u64 ip, rax;
	u32 hurry;
} seen[MOST];

static u64 *run_at(u32 off) { return (u64 *)((u8 *)the_block + MV_RUN + off); }
static u64 *regs(void) { return run_at(MV_RUN_REGS); }
static uint16_t *port(void) { return (uint16_t *)((u8 *)the_block + MV_RUN + MV_RUN_PORT); }

static void stop(u64 ip, u64 flags, i64 ran, u32 why)
{
	regs()[RIP] = ip;
	regs()[RFLAGS] = flags;
	the_block->run = ran;
	*(u32 *)((u8 *)the_block + MV_RUN + MV_RUN_REASON) = why;
}

static void tell(u32 by)
{
	stop((u64)vhost_call, IN_RING0, 0, 2);
	*port() = (uint16_t)by;
}

static i64 machine(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_getppid)
		return ANSWER;
	if (nr != SYS_ioctl)
		return __real_vhost_call(nr, a, b, c, d, e, f);
	if (b == SET_MASK) {
		CHECK(masked < MOST, "too many masks");
		masks[masked++] = *(const u64 *)(c + 4);
		return 0;
	}
	CHECK(b == RUN_GUEST, "%lx", b);
	if (runs) {
		seen[runs - 1].ip = regs()[RIP];
		seen[runs - 1].rax = regs()[RAX];
		seen[runs - 1].hurry = the_block->hurry;
	}
	if (runs == MOST || !steps[runs]) {
		runs++;
		stop(ENTRY + 0x1000, IN_PROGRAM, -EINTR, 10);
		return -EINTR;
	}
	steps[runs++]();
	return the_block->run;
}

static u32 run(struct block *b)
{
	vhost_run_guest(b);
	return 0;
}

/* Runs the guest, which does these things before it stops for the monitor. */
static void run_guest(void (*a)(void), void (*b)(void))
{
	the_block = block(1);
	memset(agent_of(the_block), 0, sizeof(struct agent));
	memset(run_at(0), 0, 4096);
	memset(seen, 0, sizeof(seen));
	runs = 0;
	masked = 0;
	steps[0] = a;
	steps[1] = b;
	steps[2] = NULL;
	the_block->entry = the_block->gate = ENTRY;
	the_block->trap = (u64)&trap;
	the_block->trap_return = BACK;
	the_block->trap_stack = STACK_AT;
	the_block->open = OPEN;
	the_block->hurry = 0;
	the_block->tries = 0;
	the_block->signalled = 0;
	hook = machine;
	on_block_stack(the_block, run);
	hook = NULL;
}

static void asks_kernel(void) { tell(MV_PORT_KERNEL); regs()[RAX] = SYS_getppid; }

static u32 signalled_once;
static struct call pid_call = { .nr = SYS_getpid };
static u64 no_args[6];

static void asks_unless(void)
{
	tell(MV_PORT_UNLESS);
	regs()[RDI] = (u64)&signalled_once;
	regs()[RSI] = (u64)&pid_call;
	regs()[RDX] = (u64)no_args;
}

/* Calls of the kernel are made where the agent is not, and it goes on behind. */
void test_ring0_kernel(void)
{
	run_guest(asks_kernel, NULL);
	CHECK(runs == 2 && seen[0].rax == ANSWER && seen[0].ip == (u64)vhost_call, "%d runs, %lx at %lx", runs, seen[0].rax, seen[0].ip);
	CHECK(*run_at(MV_RUN_DIRTY) & MV_SYNC_REGS, "the result is lost");
	signalled_once = 0;
	run_guest(asks_unless, NULL);
	CHECK(runs == 2 && seen[0].rax == (u64)getpid(), "%lx", seen[0].rax);
	signalled_once = 1;
	run_guest(asks_unless, NULL);
	CHECK(runs == 2 && (i64)seen[0].rax == MV_NOT_EXECUTED, "%lx", seen[0].rax);
}

static void comes_out(u32 how) { tell(MV_PORT_OUT); the_block->out = how; }
static void refused(void) { comes_out(MV_OUT_REFUSED); }
static void answered(void) { comes_out(MV_OUT_ANSWERED); }
static void returned(void) { comes_out(MV_OUT_RETURNED); }
static void faulted(void) { comes_out(MV_OUT_FAULT); trap.cs = MV_USER_CS; trap.ip = 0x400000; }
static void answered_late(void) { answered(); the_block->signalled = 1; }

/* The monitor finds the program where it would be if there were no agent. */
void test_ring0_out(void)
{
	run_guest(refused, NULL);
	CHECK(runs == 1 && the_block->run == 0 && *port() == MV_PORT_CALL && regs()[RIP] == ENTRY + 2, "%d runs, port %x at %lx", runs, *port(), regs()[RIP]);
	run_guest(faulted, NULL);
	CHECK(runs == 1 && the_block->run == 0 && *port() == MV_PORT_PROTECTION && regs()[RAX] == 0, "%d runs, port %x", runs, *port());
	run_guest(answered, NULL);
	CHECK(runs == 2 && seen[0].ip == ENTRY + 2, "%d runs, at %lx", runs, seen[0].ip);
	run_guest(answered_late, NULL);
	CHECK(runs == 1 && the_block->run == MV_RAN_SIGNALLED && regs()[RIP] == ENTRY + 2, "%d runs, %ld at %lx", runs, the_block->run, regs()[RIP]);
	run_guest(returned, NULL);
	CHECK(runs == 2 && seen[0].ip == BACK, "%d runs, at %lx", runs, seen[0].ip);
	CHECK(masked == 0, "%u masks", masked);
}

static u64 stopped_at;
static void interrupted(void) { stop(stopped_at, IN_RING0, -EINTR, 10); }

/* A signal does not come before the agent has come out. */
void test_ring0_interrupted(void)
{
	const u64 again[][2] = {
		{ (u64)vhost_copy, (u64)vhost_copy },
		{ (u64)vhost_ring0_call + 1, (u64)vhost_ring0_call + 1 },
		{ (u64)vhost_ring0_call_first, (u64)vhost_ring0_call_first },
		{ (u64)vhost_ring0_call_last - 1, (u64)vhost_ring0_call_first },
		{ (u64)vhost_ring0_fault_first + 1, (u64)vhost_ring0_fault_first },
		{ (u64)vhost_ring0_fault_last - 1, (u64)vhost_ring0_fault_first },
	};
	const u64 at_once[][2] = {
		{ (u64)vhost_ring0_door_call, ENTRY },
		{ (u64)vhost_ring0_call, ENTRY },
		{ (u64)vhost_ring0_call_last, ENTRY + 2 },
		{ (u64)vhost_ring0_fault_last, BACK },
	};
	u32 i;

	for (i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
		stopped_at = again[i][0];
		run_guest(interrupted, answered);
		CHECK(runs == 3 && seen[0].ip == again[i][1] && seen[0].hurry == 1, "%u: %d runs, at %lx, hurry %u", i, runs, seen[0].ip, seen[0].hurry);
		CHECK(seen[1].ip == ENTRY + 2 && seen[1].hurry == 0, "%u: at %lx, hurry %u", i, seen[1].ip, seen[1].hurry);
		CHECK(masked == 2 && masks[0] == ~0ULL && masks[1] == OPEN, "%u: %u masks, %lx %lx", i, masked, masks[0], masks[1]);
	}
	for (i = 0; i < sizeof(at_once) / sizeof(at_once[0]); i++) {
		stopped_at = at_once[i][0];
		run_guest(interrupted, NULL);
		CHECK(runs == 1 && the_block->run == -EINTR && regs()[RIP] == at_once[i][1] && !masked, "%u: %d runs, at %lx", i, runs, regs()[RIP]);
	}
}

static u8 *pages, copied[64];
static void missing_page(u64 ip, u64 from, u64 n)
{
	tell(MV_PORT_PAGE_FAULT);
	regs()[RIP] = STUB;
	trap = (struct trap){ .ip = ip, .cs = 0x10, .flags = IN_RING0 };
	regs()[RDI] = (u64)copied;
	regs()[RSI] = from;
	regs()[RCX] = regs()[RAX] = n;
}

static void there(void) { missing_page((u64)vhost_copy_at, (u64)pages, 8); }
static void not_there(void) { missing_page((u64)vhost_copy_at, (u64)pages + 4096 - 4, 8); }
static void compared(void) { missing_page(vhost_compare_at[1], (u64)pages, 8); }
static void of_the_host(void) { there(); stop((u64)vhost_copy_at, IN_RING0, -EFAULT, 0); }

/* What the guest does not have yet the process may have; what neither has is left. */
void test_ring0_copies(void)
{
	pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pages != MAP_FAILED && !munmap(pages + 4096, 4096), "%m");
	memcpy(pages, "12345678", 8);
	memcpy(pages + 4096 - 4, "abcd", 4);
	handle_signal(SIGSEGV, 0);
	block_all_signals();
	run_guest(there, NULL);
	CHECK(runs == 2 && !memcmp(copied, "12345678", 8) && regs()[RCX] == 0, "%d runs, %lu left", runs, regs()[RCX]);
	CHECK(trap.ip == (u64)vhost_copy_out && seen[0].ip == BACK && regs()[RSP] == STACK_AT, "at %lx", seen[0].ip);
	run_guest(not_there, NULL);
	CHECK(runs == 2 && !memcmp(copied, "abcd", 4) && regs()[RCX] == 4, "%d runs, %lu left", runs, regs()[RCX]);
	memcpy(copied, "12345678", 8);
	run_guest(compared, NULL);
	CHECK(runs == 2 && seen[0].rax == 0 && trap.ip == (u64)vhost_compare_out, "%d runs, %lu left", runs, seen[0].rax);
	memset(copied, 0, sizeof(copied));
	run_guest(of_the_host, NULL);
	CHECK(runs == 2 && !memcmp(copied, "12345678", 8) && regs()[RCX] == 0 && seen[0].ip == (u64)vhost_copy_out, "%d runs, at %lx", runs, seen[0].ip);
}

static u64 stepped_at;
static void stepped(void)
{
	tell(MV_PORT_DEBUG);
	regs()[RIP] = STUB;
	trap = (struct trap){ .ip = stepped_at, .cs = 0x10, .flags = IN_RING0 };
}

/* A program that steps through itself is told of its call as if there were no agent. */
void test_ring0_step(void)
{
	const u64 entries[] = { (u64)vhost_ring0_door_call, (u64)vhost_ring0_call };
	u32 i;

	for (i = 0; i < 2; i++) {
		stepped_at = entries[i];
		run_guest(stepped, NULL);
		CHECK(runs == 1 && *port() == MV_PORT_DEBUG && trap.ip == ENTRY, "%d runs, at %lx", runs, trap.ip);
	}
}

static void of_the_code(void) { there(); trap.ip = *run_at(MV_RUN_CR2) = (u64)vhost_ring0_call; }
static void of_a_read(void) { there(); *run_at(MV_RUN_CR2) = (u64)vhost_copy_at; }
static void no_memory(void) { stop((u64)vhost_ring0_call, IN_RING0, -EFAULT, 0); }
static void not_emulated(void) { stop((u64)vhost_ring0_call, IN_RING0, 0, 17); }

/* What the monitor takes away for a moment is there again. */
void test_ring0_tries(void)
{
	void (*const list[])(void) = { of_the_code, of_a_read, no_memory, not_emulated };
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		memset(copied, 0, sizeof(copied));
		run_guest(list[i], NULL);
		CHECK(runs == 2 && the_block->tries == 1 && !copied[0], "%u: %d runs, %u tries", i, runs, the_block->tries);
		CHECK(seen[0].ip == (i < 2 ? BACK : (u64)vhost_ring0_call), "%u: at %lx", i, seen[0].ip);
	}
	the_block->tries = MV_RING0_TRIES;
	CHECK(vhost_ring0_stopped(the_block, regs()) == RING0_NOT, "it is not in ring 0");
	no_memory();
	CHECK(vhost_ring0_stopped(the_block, regs()) == RING0_BROKEN, "it is never there");
}

static u64 caught_at, caught_for;
static void caught(void)
{
	there();
	trap.ip = caught_for;
	stop(caught_at, IN_RING0, -EINTR, 10);
}

/* A signal may come where ring 0 has caused an exception, too. */
void test_ring0_signalled(void)
{
	const u64 at[] = { STUB, STUB + 2, BACK };
	u32 i;

	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		caught_at = at[i];
		caught_for = (u64)vhost_copy_at;
		run_guest(caught, answered);
		CHECK(runs == 3 && seen[0].ip == at[i] && seen[0].hurry == 1 && masks[0] == ~0ULL, "%u: %d runs, at %lx", i, runs, seen[0].ip);
		CHECK(seen[1].ip == ENTRY + 2 && !seen[1].hurry && masks[1] == OPEN, "%u: at %lx", i, seen[1].ip);
		caught_for = (u64)vhost_ring0_call;
		run_guest(caught, NULL);
		CHECK(runs == 1 && the_block->run == -EINTR && trap.ip == ENTRY && regs()[RIP] == at[i], "%u: %d runs", i, runs);
	}
	/* What comes there without an exception leaves the last one's frame as it was. */
	caught_for = (u64)vhost_copy_at;
	for (i = 0; i < 2; i++) {
		caught_at = ENTRY + 2 * i;
		run_guest(caught, NULL);
		CHECK(runs == 1 && the_block->run == -EINTR && regs()[RIP] == caught_at && !masked, "%u: %d runs", i, runs);
	}
}

static void other_exception(void) { there(); *port() = MV_PORT_PROTECTION; }
static void unknown_port(void) { tell(MV_PORT_OUT + 1); }
static void other_stop(void) { stop((u64)vhost_call, IN_RING0, 0, 6); }
static void stop_at_exception(void) { there(); stop(STUB, IN_RING0, -EFAULT, 0); }
static void stepped_inside(void) { stepped_at = (u64)vhost_call; stepped(); }
static void with_its_base(void) { stop(0x400000, IN_PROGRAM, -EINTR, 10); *run_at(MV_RUN_GS_BASE) = (u64)the_block; }

/* What ring 0 does that nobody has foreseen ends it. */
void test_ring0_fails(void)
{
	void (*const list[])(void) = { other_exception, unknown_port, other_stop, stop_at_exception, stepped_inside, with_its_base };
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		run_guest(list[i], NULL);
		CHECK(runs == 1 && the_block->run == MV_RAN_BROKEN, "%u: %d runs, %ld", i, runs, the_block->run);
	}
}

static void jumped(void) { stop((u64)vhost_call, IN_PROGRAM, -EINTR, 10); }
static void jumped_and_failed(void)
{
	tell(MV_PORT_PAGE_FAULT);
	regs()[RIP] = STUB;
	trap = (struct trap){ .ip = (u64)vhost_copy_at, .cs = MV_USER_CS, .flags = IN_PROGRAM };
}

static void no_agent(void) { refused(); the_block->entry = 0; }

/* A program that has jumped to the agent's addresses has not got there. */
void test_ring0_program(void)
{
	void (*const list[])(void) = { jumped, jumped_and_failed, no_agent };
	u32 i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		u64 ip = 0;

		run_guest(list[i], NULL);
		ip = regs()[RIP];
		CHECK(runs == 1 && !masked && !the_block->hurry && !*run_at(MV_RUN_DIRTY), "%u: %d runs", i, runs);
		CHECK(ip == (u64)vhost_call || ip == STUB, "%u: at %lx", i, ip);
	}
}

static struct hot_call table[MV_HOT_CALLS];

/* The program's registers, where struct ucontext has them. */
static u64 *saved(u32 at) { return (u64 *)((u8 *)the_block + MV_RING0_CONTEXT + at); }
enum { SAVED_R11 = 64, SAVED_RDX = 136, SAVED_RAX = 144 };

static void begin_call(u64 flags)
{
	struct agent *a;

	the_block = block(1);
	a = agent_of(the_block);
	table[SYS_getppid].flags = MV_HOT_CALL;
	memset(a, 0, sizeof(*a));
	a->table = (u64)table;
	a->lease = a->interval = 1;
	a->fds = 1 << 20;
	a->scale = MV_SCALE_OWN;
	the_block->gate = ENTRY;
	the_block->hurry = 0;
	*saved(SAVED_RAX) = 0xffffffff00000000 | SYS_getppid;
	*saved(SAVED_R11) = flags;
}

static i64 answers(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	return nr == SYS_getppid ? ANSWER : __real_vhost_call(nr, a, b, c, d, e, f);
}

static i64 answers_late(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	the_block->signalled = 1;
	return answers(nr, a, b, c, d, e, f);
}

/* Calls are dealt with that are plainly some, and with which no signal comes. */
void test_ring0_calls(void)
{
	begin_call(IN_PROGRAM);
	hook = answers;
	CHECK(vhost_ring0_called(the_block) == 1 && *saved(SAVED_RAX) == ANSWER && the_block->out == MV_OUT_ANSWERED && !the_block->hurry, "%lx", *saved(SAVED_RAX));
	hook = answers_late;
	begin_call(IN_PROGRAM);
	CHECK(vhost_ring0_called(the_block) == 1 && *saved(SAVED_RAX) == ANSWER && the_block->hurry == 1, "a signal is lost");
	hook = answers;
	begin_call(IN_PROGRAM | FLAG_TF);
	CHECK(!vhost_ring0_called(the_block) && the_block->out == MV_OUT_REFUSED && agent_of(the_block)->interval, "a step");
	begin_call(IN_PROGRAM);
	the_block->gate = 0;
	CHECK(!vhost_ring0_called(the_block) && the_block->out == MV_OUT_REFUSED && agent_of(the_block)->interval, "all are the monitor's");
	begin_call(IN_PROGRAM);
	agent_of(the_block)->lease = 0;
	CHECK(!vhost_ring0_called(the_block) && the_block->out == MV_OUT_REFUSED && !agent_of(the_block)->interval, "the lease has gone");
}

static const u8 counter[] = { 0x0f, 0x31, 0x90, 0x0f, 0x30, 0x90 };

/* Reads of the counter are dealt with, and no other exception. */
void test_ring0_stamps(void)
{
	u64 *frame, last, now;

	begin_call(IN_PROGRAM);
	frame = (u64 *)((u8 *)the_block + MV_RING0_FRAME);
	table[MV_STAMP_ENTRY].flags = MV_HOT_STAMP;
	frame[1] = (u64)counter;
	frame[3] = IN_PROGRAM | FLAG_RF;
	last = __builtin_ia32_rdtsc();
	CHECK(vhost_ring0_faulted(the_block) == 1 && the_block->out == MV_OUT_RETURNED, "out %u", the_block->out);
	now = *saved(SAVED_RDX) << 32 | *saved(SAVED_RAX);
	CHECK(now >= last && now <= __builtin_ia32_rdtsc(), "%lx", now);
	CHECK(frame[1] == (u64)counter + 2 && frame[3] == IN_PROGRAM, "at %lx with %lx", frame[1], frame[3]);
	begin_call(IN_PROGRAM);
	frame[1] = (u64)counter + 3;
	CHECK(!vhost_ring0_faulted(the_block) && the_block->out == MV_OUT_FAULT && frame[1] == (u64)counter + 3, "another instruction");
	begin_call(IN_PROGRAM);
	frame[1] = (u64)counter;
	the_block->gate = 0;
	CHECK(!vhost_ring0_faulted(the_block) && the_block->out == MV_OUT_FAULT, "all are the monitor's");
}
