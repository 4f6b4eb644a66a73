/* Signals of a native program: where it is when one comes, and what those are that come while
 * the variant host is at work. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../src/agent.h"
#include "check.h"

/* Struct ucontext of kernel.h, which the system's headers do not go with. */
enum { CONTEXT = 512 };
enum { R8 = 5, R11 = 8, RCX = 19, RIP = 21, TRAPNO = 25, CR2 = 27, MASK = 37 };

/* Of struct siginfo. */
enum { CODE = 2, ADDR = 4 };

enum {
	SITE = 0x400120, /* behind the call */
	PREFIX = 5,	 /* bytes in front of it are in the stub */
	AT = 3 * MV_STUB_SIZE,
	CALL = MV_STUB_CODE + PREFIX + MV_STUB_REACH, /* of the stub: its system call instruction */
	SIGNAL = SIGUSR1,
	NOWHERE = 0x12345678,
};

static struct block *the_block;
static u64 context[CONTEXT / 8];
static int32_t info[32];
static int the_signal;
static u8 *room;

/* A task that waits for the monitor has reported; a fault that cannot be mended ends it. */
static i64 reports(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_futex && a == (u64)&the_block->turn)
		_exit(0);
	if (nr == SYS_exit_group)
		_exit((int)a);
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

static u32 handle(struct block *b)
{
	(void)b;
	vhost_signal(the_signal, info, context);
	return 0;
}

/* How a process ends that gets the signal: 0 when it reports something, 1 when it goes on. */
static int get(int sig)
{
	int pid;

	the_signal = sig;
	info[0] = sig;
	the_block->run = 0;
	hook = reports;
	pid = fork();
	CHECK(pid >= 0, "%m");
	if (pid == 0) {
		on_block_stack(the_block, handle);
		_exit(1);
	}
	hook = NULL;
	return wait_status(pid);
}

static u64 reported_ip(void) { return ((u64 *)((u8 *)the_block + MV_RUN + MV_RUN_REGS))[16]; }
static u64 reported_rcx(void) { return ((u64 *)((u8 *)the_block + MV_RUN + MV_RUN_REGS))[2]; }

/* A native task with one stub, in the first of its room's pages, the only one there is. */
static void prepare(void)
{
	u8 *stub;

	the_block = block(1);
	memset(the_block, 0, MV_CALLS);
	memset(agent_of(the_block), 0, sizeof(struct agent));
	the_block->native = 1;
	the_block->frame = (u64)context;
	room = mmap(NULL, 4 * MV_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(room != MAP_FAILED && munmap(room + MV_PAGE, 3 * MV_PAGE) == 0, "%m");
	the_block->stubs[0].start = (u64)room;
	the_block->stubs[0].size = 4 * MV_PAGE;
	stub = room + AT;
	*(u64 *)(stub + MV_STUB_RETURN) = SITE;
	stub[MV_STUB_PREFIX] = PREFIX;
	stub[MV_STUB_SUFFIX] = 0;
	CHECK(mprotect(room, MV_PAGE, PROT_READ | PROT_EXEC) == 0, "%m");
	memset(context, 0, sizeof(context));
	memset(info, 0, sizeof(info));
}

static void expect(u64 ip, u64 want)
{
	int status;

	context[RIP] = ip;
	status = get(SIGNAL);
	CHECK(status == 0 && the_block->run == SIGNAL, "at %lx: status %d, reported %ld", ip, status, the_block->run);
	CHECK(reported_ip() == want, "at %lx: the program is said to be at %lx, not %lx", ip, reported_ip(), want);
}

/* A signal in a stub, or at the gate's door, comes in the program where its call is. */
void test_native_door(void)
{
	u64 ip, call;

	prepare();
	expect((u64)room + AT + MV_STUB_CODE, SITE - 2 - PREFIX);
	call = (u64)room + AT + CALL;
	expect(call, SITE - 2);
	expect(call + 2, SITE);
	context[R11] = call;
	expect((u64)vhost_door, SITE - 2);
	CHECK(reported_rcx() == SITE, "rcx is %lx", reported_rcx());
	for (ip = (u64)vhost_gate; ip < (u64)vhost_gate_known; ip++)
		expect(ip, SITE - 2);
	CHECK(vhost_gate_known - vhost_gate > 8, "the gate knows at once");
}

/* A program that has jumped to where no stub is, or to the gate with nothing of a stub's, is
 * where it is. */
void test_native_wild(void)
{
	u64 wild[] = { 0, NOWHERE, 0, 0 };
	u32 i;

	prepare();
	wild[2] = (u64)room + 2 * MV_PAGE + CALL;
	wild[3] = (u64)room + AT + MV_STUB_SIZE + CALL;
	expect(wild[2], wild[2]);
	expect(wild[3], wild[3]);
	for (i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		context[R11] = wild[i];
		expect((u64)vhost_gate + 1, (u64)vhost_gate + 1);
	}
}

/* Has a signal come in the variant host while a call of its agent's is made, or just in front of
 * what sends a call to the monitor. */
static int in_host(int sig, int code, u64 addr, u64 cr2, u64 mask)
{
	context[RIP] = MV_SLOT + 8;
	context[MASK] = mask;
	context[CR2] = cr2;
	context[TRAPNO] = 14;
	info[CODE] = code;
	memcpy(&info[ADDR], &addr, sizeof(addr));
	return get(sig);
}

/* What a fault is of the variant host's own ends the process; what others send by the
 * same names is told later, each of them. */
void test_native_late(void)
{
	const u64 masks[] = { (u64)MV_BLOCKED, (u64)MV_LEAVING };
	struct agent *a;
	u32 i, native;

	prepare();
	a = agent_of(the_block);
	for (native = 0; native < 2; native++) {
		the_block->native = native;
		CHECK(in_host(SIGSEGV, SEGV_MAPERR, NOWHERE, NOWHERE, masks[0]) == 128 + SIGKILL, "a fault is let pass");
		CHECK(in_host(SIGBUS, SI_KERNEL, 0, NOWHERE, masks[0]) == 128 + SIGKILL, "a fault is let pass");
		CHECK(a->late == 0, "a fault is told");
		/* As fcntl(2) has F_SETSIG tell, and waitid(2) of a child; and kill(2). */
		CHECK(in_host(SIGSEGV, POLL_IN, 0x41, NOWHERE, masks[0]) == 1, "a signal is a fault");
		CHECK(in_host(SIGBUS, CLD_EXITED, 4711, NOWHERE, masks[0]) == 1, "a signal is a fault");
		CHECK(in_host(SIGILL, SI_USER, 0, 0, masks[0]) == 1, "a signal is a fault");
		CHECK(a->late == (signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGILL)), "late: %x", a->late);
		CHECK(agent_take_late(a) == SIGILL && agent_take_late(a) == SIGBUS && agent_take_late(a) == SIGSEGV && !a->late, "lost");
	}
	/* The calls of the program are told by a signal, which is not to be blocked then. */
	for (i = 0; i < 2; i++) {
		CHECK(in_host(SIGFPE, SI_USER, 0, 0, masks[i]) == 1, "reported");
		CHECK(a->late == signal_bit(SIGFPE) && context[MASK] == masks[i], "mask %u: late: %x", i, a->late);
		a->late = 0;
	}
}

enum { RBX = 16, RDX = 17, RAX = 18, EFLAGS = 22, UNKNOWN_LEAF = 99 };

/* Puts where CPUID was exchanged, and two answers, into the block as the monitor does. */
static void identify(u64 at, u32 traps, u32 known)
{
	u8 *x = (u8 *)the_block + MV_IDENTITY;
	u32 i, answers[2][8] = { { 1, 0, 1, 0, 11, 12, 13, 14 }, { 4, 2, 0, 0, 41, 42, 43, 44 } };

	memset(x, 0, MV_PAGE);
	((u32 *)x)[0] = traps;
	((u32 *)x)[1] = known;
	for (i = 0; i < MV_MAX_TRAPS; i++)
		((u64 *)(x + MV_IDENTITY_AT))[i] = i == MV_MAX_TRAPS - 1 ? at : 0x1000 + i;
	memcpy(x + MV_IDENTITY_KNOWN + (MV_MAX_ANSWERS - 2) * MV_ANSWER_SIZE, answers, sizeof(answers));
	for (i = 0; i < MV_MAX_ANSWERS - 2; i++)
		*(u32 *)(x + MV_IDENTITY_KNOWN + i * MV_ANSWER_SIZE) = UNKNOWN_LEAF + 1;
}

/* What the program gets when it asks at ip; 0 when the monitor is asked. */
static int asks(u64 ip, u32 leaf, u32 subleaf, int32_t code, int sig)
{
	int pid;

	context[RIP] = ip;
	context[RAX] = 0xffffffff00000000 | leaf;
	context[RCX] = subleaf;
	info[CODE] = code;
	the_signal = info[0] = sig;
	hook = reports;
	pid = fork();
	CHECK(pid >= 0, "%m");
	if (pid == 0) {
		on_block_stack(the_block, handle);
		_exit(context[RIP] == ip + 2 ? (int)context[RAX] + (int)(context[RBX] + context[RCX] + context[RDX] == 3 * context[RAX] + 6) : 2);
	}
	hook = NULL;
	return wait_status(pid);
}

/* CPUID that was exchanged is answered by what is known of it, whatever the block says of how much that is. */
void test_native_identity(void)
{
	prepare();
	identify(SITE, MV_MAX_TRAPS, MV_MAX_ANSWERS);
	CHECK(asks(SITE, 1, 77, 2, SIGILL) == 12, "a leaf without subleaves");
	CHECK(asks(SITE, 4, 2, 2, SIGILL) == 42, "a subleaf");
	CHECK(asks(SITE, 4, 3, 2, SIGILL) == 0, "another one");
	CHECK(asks(SITE, UNKNOWN_LEAF, 0, 2, SIGILL) == 0, "a leaf that is not known");
	CHECK(asks(SITE + 1, 1, 0, 2, SIGILL) == 0, "an invalid instruction of the program's");
	CHECK(asks(SITE, 1, 0, 0, SIGILL) == 0, "a signal that somebody sends");
	CHECK(asks(SITE, 1, 0, 2, SIGTRAP) == 0, "another signal");
	context[EFLAGS] = 1 << 8;
	CHECK(asks(SITE, 1, 0, 2, SIGILL) == 0, "a step");
	context[EFLAGS] = 0;
	identify(SITE, ~0U, ~0U);
	CHECK(asks(SITE, 1, 0, 2, SIGILL) == 12 && asks(SITE + 1, 1, 0, 2, SIGILL) == 0, "numbers without bounds");
	identify(SITE, MV_MAX_TRAPS - 1, MV_MAX_ANSWERS);
	CHECK(asks(SITE, 1, 0, 2, SIGILL) == 0, "a place that was taken back");
	identify(SITE, MV_MAX_TRAPS, MV_MAX_ANSWERS - 2);
	CHECK(asks(SITE, 1, 0, 2, SIGILL) == 0, "nothing is known");
}
