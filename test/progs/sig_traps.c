/*
 * SIGBUS that somebody sends beside what instructions do: a front-end may use that signal, and SIGSEGV,
 * itself, and let them in while it deals with a fault. None of the program's is lost, or comes while it
 * is blocked.
 */
#include "check.h"
#include <poll.h>
#include <ucontext.h>

static volatile sig_atomic_t came, faults;
static int acks[2];

static void on_bus(int sig)
{
	(void)sig;
	came++;
	if (acks[1] > 0 && write(acks[1], "x", 1) != 1)
		_exit(9);
}

#ifdef __x86_64__
/* Both instructions that fault have two bytes. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	faults++;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void read_at(unsigned long at)
{
	__asm__ volatile("mov (%%rax), %%eax" : "+a"(at) : : "memory");
}

/* Waits in the kernel while the instruction faults that has no address. */
static void blocked(void)
{
	sigset_t bus, pending;
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	for (int i = 0; i < 60; i++) {
		int before = came;
		CHECK(sigprocmask(SIG_BLOCK, &bus, NULL) == 0 && kill(getpid(), SIGBUS) == 0);
		for (int k = 0; k < 20; k++)
			getppid();
		read_at(0x1234567812345678);
		for (int k = 0; k < 20; k++)
			getppid();
		CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGBUS) == 1 && came == before);
		CHECK(sigprocmask(SIG_UNBLOCK, &bus, NULL) == 0 && came == before + 1);
	}
	CHECK(faults == 60);
	ok("blocked");
}

/* Comes from outside, one after the other, while the program does what step does, until the child that
 * sends them has had all of them acknowledged. */
static void beside(void (*step)(int), int signals)
{
	CHECK(pipe(acks) == 0);
	pid_t parent = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		for (int i = 0; i < signals; i++) {
			struct pollfd p = {.fd = acks[0], .events = POLLIN};
			char c;
			if (kill(parent, SIGBUS) || poll(&p, 1, 20000) != 1 || read(acks[0], &c, 1) != 1)
				_exit(1);
			usleep(300 + i % 7 * 100);
		}
		_exit(0);
	}
	int status;
	for (int i = 0; waitpid(child, &status, WNOHANG) == 0; i++)
		step(i);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(acks[0]);
	close(acks[1]);
	acks[1] = 0;
}

static void fault_and_call(int i)
{
	(void)i;
	for (int k = 0; k < 20; k++) {
		read_at(8);
		getppid();
	}
}

static void read_counter(int i)
{
	(void)i;
	for (int k = 0; k < 64; k++)
		__asm__ volatile("rdtsc" : : : "rax", "rdx");
	getppid();
}
#endif

int main(void)
{
	begin();
#ifdef __x86_64__
	struct sigaction bus = {.sa_handler = on_bus, .sa_flags = SA_RESTART}, fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(SIGBUS, &bus, NULL) == 0 && sigaction(SIGSEGV, &fault, NULL) == 0);
	for (int i = 0; i < 100; i++)
		getppid();
	blocked();
	beside(fault_and_call, 150);
	ok("faults");
	beside(read_counter, 60);
	ok("counter");
#endif
	return 0;
}
