/* What happens between two instructions: a process that is traced stops before each
 * in turn, and something else takes place there. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interrupt.h"
#include "traced.h"

void await_trap(int pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid, "%m");
	if (WIFEXITED(status) && WEXITSTATUS(status) == MISSING)
		_exit(MISSING);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "%x", (unsigned)status);
}

int let_run(int pid)
{
	int status, sig = 0;

	for (;;) {
		CHECK(ptrace(PTRACE_CONT, pid, 0, sig) == 0, "%m");
		CHECK(waitpid(pid, &status, 0) == pid, "%m");
		if (!WIFSTOPPED(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
		sig = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
	}
}

bool at_breakpoint(int pid, u64 *ip)
{
	struct user_regs_struct regs;
	long word;

	CHECK(ptrace(PTRACE_GETREGS, pid, 0, &regs) == 0, "%m");
	*ip = regs.rip;
	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, pid, regs.rip, 0);
	CHECK(errno == 0, "%m");
	return (u8)word == 0xcc;
}

bool at_syscall(int pid, u64 ip)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, pid, ip, 0);
	CHECK(errno == 0, "%m");
	return (word & 0xffff) == 0x050f;
}

void step(int pid)
{
	CHECK(ptrace(PTRACE_SINGLESTEP, pid, 0, 0) == 0, "%m");
	await_trap(pid);
}

void be_traced(void)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) {
		fprintf(stderr, "a process that may be traced: %m\n");
		_exit(MISSING);
	}
}

/* What the process of one round tells the one that traces it. */
static struct {
	i64 ret;
	u32 signalled;
} *round_result;

/* Stops for the tracer before signals are let in and after they are kept out. */
static i64 trap_at_mask(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	static int masks;
	i64 ret;

	if (nr == SYS_rt_sigprocmask && masks++ == 0)
		__asm__ volatile("int3");
	ret = __real_vhost_call(nr, a, b, c, d, e, f);
	if (nr == SYS_rt_sigprocmask && masks == 2)
		__asm__ volatile("int3");
	return ret;
}

static void traced_round(int fd[2], int value)
{
	struct block *b = reading(fd[0]);
	bool consumed;

	hook = trap_at_mask;
	handle_signal(SIGUSR1, 0);
	CHECK(write(fd[1], "x", 1) == 1, "%m");
	be_traced();
	on_block_stack(b, vhost_batch);
	check_all_blocked(signal_bit(SIGTRAP));
	consumed = !readable(fd[0]);
	CHECK(calls_of(b)->ret == (consumed ? 1 : MV_NOT_EXECUTED), "%ld", calls_of(b)->ret);
	if (b->signalled) {
		check_kept(b, SIGUSR1, value);
		CHECK(!pending(SIGUSR1));
	} else {
		CHECK(pending(SIGUSR1) && consumed);
	}
	round_result->ret = calls_of(b)->ret;
	round_result->signalled = b->signalled;
	_exit(0);
}

/* A signal before each single instruction in turn, from before signals are let in
 * to after they are kept out. */
void test_signal_everywhere(void)
{
	int not_made = 0, made = 0, later = 0, window = 0, n, k;

	round_result = mmap(NULL, MV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(round_result != MAP_FAILED, "%m");
	for (n = 0;; n++) {
		int fd[2], pid;
		u64 ip;
		bool called = false, over;

		CHECK(pipe(fd) == 0, "%m");
		memset(round_result, 0, sizeof(*round_result));
		pid = fork();
		CHECK(pid >= 0, "%m");
		if (pid == 0)
			traced_round(fd, n);
		await_trap(pid);
		over = at_breakpoint(pid, &ip);
		for (k = 0; k < n; k++) {
			called |= ip == (u64)vhost_unless_last;
			step(pid);
			over = at_breakpoint(pid, &ip);
		}
		window += ip >= (u64)vhost_unless_first && ip <= (u64)vhost_unless_last;
		queue(pid, SIGUSR1, n);
		CHECK(let_run(pid) == 0, "signal before instruction %d, at %lx", n, ip);
		CHECK(round_result->ret == (called ? 1 : MV_NOT_EXECUTED), "signal before instruction %d, at %lx: %ld",
			n, ip, round_result->ret);
		not_made += !called;
		made += called && round_result->signalled;
		later += !round_result->signalled;
		close(fd[0]);
		close(fd[1]);
		if (over)
			break;
	}
	printf("%d instructions: call not made %d times, made %d times, signal later %d times\n", n, not_made, made, later);
	CHECK(window == 3, "%d", window);
	CHECK(not_made > 10 && made > 1 && later > 1);
}

/* Whether the task has woken the monitor. */
static struct {
	int wakes;
} *report_result;

static i64 count_wakes(i64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	if (nr == SYS_futex && a == (u64)&the_bell->rung && b == 1)
		report_result->wakes++;
	return __real_vhost_call(nr, a, b, c, d, e, f);
}

static u32 report_between_breakpoints(struct block *b)
{
	__asm__ volatile("int3");
	vhost_report(b, MV_EVENT_DONE);
	__asm__ volatile("int3");
	return 0;
}

/* The monitor has looked, found no report and falls asleep, before each single
 * instruction of a report in turn. */
void test_report_everywhere(void)
{
	int slept = 0, awake = 0, n, k;

	report_result = mmap(NULL, MV_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(report_result != MAP_FAILED, "%m");
	hook = count_wakes;
	for (n = 0;; n++) {
		struct block *b = block(1);
		u32 seen = the_bell->rung;
		bool sleeps, over;
		u64 ip;
		int pid;

		report_result->wakes = 0;
		the_bell->asleep = 0;
		b->turn = MV_TURN_HOST;
		pid = fork();
		CHECK(pid >= 0, "%m");
		if (pid == 0) {
			be_traced();
			on_block_stack(b, report_between_breakpoints);
			_exit(0);
		}
		await_trap(pid);
		over = at_breakpoint(pid, &ip);
		for (k = 0; k < n; k++) {
			step(pid);
			over = at_breakpoint(pid, &ip);
		}
		__atomic_store_n(&the_bell->asleep, 1, __ATOMIC_SEQ_CST);
		sleeps = __atomic_load_n(&the_bell->rung, __ATOMIC_SEQ_CST) == seen;
		CHECK(let_run(pid) == 0);
		CHECK(b->turn == MV_TURN_MONITOR && b->event == MV_EVENT_DONE && the_bell->rung == seen + 1);
		CHECK(!sleeps || report_result->wakes == 1, "asleep before instruction %d, at %lx: not woken", n, ip);
		slept += sleeps;
		awake += !sleeps;
		if (over)
			break;
	}
	CHECK(slept > 2 && awake > 2, "%d %d", slept, awake);
}
