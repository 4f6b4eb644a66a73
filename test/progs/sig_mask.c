/*
 * The mask of signals, changed so often that agents change it: what the program blocks stays
 * away, what it lets in again comes before the call returns, and what fails changes what it does
 * natively.
 */
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/time.h>

static volatile sig_atomic_t hits, last;
static sigset_t none, usr1, all;

static void counts(int sig)
{
	hits++;
	last = sig;
}

static void action(int sig, void (*f)(int))
{
	struct sigaction sa = {.sa_handler = f};
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGUSR2);
	CHECK(sigaction(sig, &sa, NULL) == 0);
}

static long raw(long how, const void *set, void *old, long size)
{
	return syscall(SYS_rt_sigprocmask, how, set, old, size);
}

#define BIT(sig) (1UL << ((sig) - 1))

/* What can be blocked, but for what C libraries keep to themselves. */
#define ALL ~(BIT(SIGKILL) | BIT(SIGSTOP) | BIT(32) | BIT(33) | BIT(34))

/* The signals that are blocked, as a set. */
static unsigned long blocked(void)
{
	unsigned long old = 0;
	CHECK(raw(SIG_BLOCK, NULL, &old, 8) == 0);
	return old & ~(BIT(32) | BIT(33) | BIT(34));
}

/* Calls that agents deal with once there have been enough of them. */
static void calls(int n)
{
	while (n--)
		CHECK(getppid() > 0);
}

static void pairs(void)
{
	sigset_t old;
	for (int i = 0; i < 300; i++) {
		CHECK(sigprocmask(SIG_BLOCK, &all, &old) == 0 && !sigismember(&old, SIGUSR1));
		CHECK(blocked() == ALL);
		CHECK(sigprocmask(SIG_UNBLOCK, &usr1, NULL) == 0 && !(blocked() & BIT(SIGUSR1)) && blocked() & BIT(SIGHUP));
		CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && blocked() == 0);
	}
}

/* A signal that waits comes with the call that lets it in. */
static void waits(int sig)
{
	sigset_t set, other;
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigemptyset(&other);
	sigaddset(&other, SIGHUP);
	action(sig, counts);
	for (int i = 0; i < 20; i++) {
		hits = 0;
		CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
		CHECK(kill(getpid(), sig) == 0);
		calls(10);
		CHECK(sigprocmask(SIG_BLOCK, &other, NULL) == 0 && sigprocmask(SIG_UNBLOCK, &other, NULL) == 0);
		CHECK(hits == 0 && blocked() == BIT(sig));
		CHECK((i % 2 ? sigprocmask(SIG_UNBLOCK, &set, NULL) : sigprocmask(SIG_SETMASK, &none, NULL)) == 0);
		CHECK(hits == 1 && last == sig && blocked() == 0);
	}
}

static void fails(void)
{
	unsigned long set = BIT(SIGUSR1), old = 7;
	char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	for (int i = 0; i < 20; i++) {
		CHECK(raw(77, NULL, &old, 8) == 0 && old == 0);
		CHECK_ERR(raw(77, &set, &old, 8), EINVAL);
		CHECK_ERR(raw(-1, &set, NULL, 8), EINVAL);
		CHECK_ERR(raw(SIG_BLOCK, &set, NULL, 16), EINVAL);
		CHECK_ERR(raw(SIG_BLOCK, NULL, NULL, 4), EINVAL);
		CHECK_ERR(raw(SIG_BLOCK, bad_address, &old, 8), EFAULT);
		CHECK(blocked() == 0);
		/* What cannot be told has been done. */
		CHECK_ERR(raw(SIG_BLOCK, &set, bad_address, 8), EFAULT);
		CHECK(blocked() == BIT(SIGUSR1));
		CHECK_ERR(raw(SIG_SETMASK, page, page, 8), EFAULT);
		CHECK(blocked() == 0);
		/* How counts in 32 bits. */
		CHECK(raw(SIG_BLOCK | 1L << 40, &set, NULL, 8) == 0 && blocked() == BIT(SIGUSR1));
		CHECK(raw(SIG_UNBLOCK, &set, &set, 8) == 0 && set == BIT(SIGUSR1) && blocked() == 0);
	}
}

/* Other calls that do what they are asked for and fail when they cannot tell what was before. */
static void halves(void)
{
	struct {
		unsigned long handler, flags, restorer, mask;
	} ignore = {1, 0, 0, 0};
	struct sigaction now;
	static char memory[16384];
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)}, old;

	CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR2, &ignore, bad_address, 8), EFAULT);
	CHECK(sigaction(SIGUSR2, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
	CHECK(raise(SIGUSR2) == 0);
	CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR2, bad_address, NULL, 8), EFAULT);
	CHECK_ERR(syscall(SYS_sigaltstack, &stack, bad_address), EFAULT);
	CHECK(sigaltstack(NULL, &old) == 0 && old.ss_sp == memory && old.ss_flags == 0);
}

static sigjmp_buf back;

static void changes(int sig)
{
	UNUSED(sig);
	CHECK(blocked() == (BIT(SIGUSR1) | BIT(SIGUSR2)));
	CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
	hits++;
}

static void leaves(int sig)
{
	UNUSED(sig);
	siglongjmp(back, 1);
}

/* A handler's mask is its own. */
static void handlers(void)
{
	for (int i = 0; i < 20; i++) {
		action(SIGUSR1, changes);
		hits = 0;
		CHECK(raise(SIGUSR1) == 0 && hits == 1);
		calls(3);
		CHECK(blocked() == 0);
		action(SIGUSR1, leaves);
		if (!sigsetjmp(back, 1)) {
			CHECK(raise(SIGUSR1) == 0);
			CHECK(!"raised");
		}
		CHECK(blocked() == 0);
	}
}

/* A timer's signals do not come where they are blocked, and come where they are not. */
static void timer(void)
{
	struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
	sigset_t alrm;
	struct timespec t;
	sigemptyset(&alrm);
	sigaddset(&alrm, SIGALRM);
	action(SIGALRM, counts);
	hits = 0;
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (int i = 0; i < 200 || hits < 10; i++) {
		CHECK(sigprocmask(SIG_BLOCK, &alrm, NULL) == 0);
		int before = hits;
		for (int k = 0; k < 20; k++)
			CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
		CHECK(hits == before);
		CHECK(sigprocmask(SIG_UNBLOCK, &alrm, NULL) == 0);
	}
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	calls(3);
	CHECK(blocked() == 0);
}

static void *thread(void *arg)
{
	UNUSED(arg);
	CHECK(blocked() == BIT(SIGUSR1));
	CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
	calls(200);
	CHECK(blocked() == ALL);
	return NULL;
}

/* What is made has the mask of who makes it, and one of its own then. */
static void heirs(void)
{
	int status;
	pthread_t id;
	CHECK(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(blocked() == BIT(SIGUSR1) && sigprocmask(SIG_SETMASK, &all, NULL) == 0);
		calls(200);
		CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0 && blocked() == 0);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(blocked() == BIT(SIGUSR1));
	CHECK(pthread_create(&id, NULL, thread, NULL) == 0);
	calls(200);
	CHECK(blocked() == BIT(SIGUSR1) && pthread_join(id, NULL) == 0 && blocked() == BIT(SIGUSR1));
	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

/* Another process sends what is blocked. */
static void sent(void)
{
	sigset_t pending;
	int status;
	action(SIGUSR1, counts);
	hits = 0;
	CHECK(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(kill(getppid(), SIGUSR1) != 0);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	calls(20);
	CHECK(hits == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
	calls(20);
	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0 && hits == 1);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	memset(&all, -1, sizeof(all));
	calls(200);
	pairs();
	waits(SIGUSR1);
	waits(SIGRTMAX - 1);
	/* By this one monitors ask programs to stop. */
	waits(SIGRTMAX - 2);
	/* By these instructions tell of themselves. */
	waits(SIGILL);
	waits(SIGSEGV);
	fails();
	halves();
	handlers();
	timer();
	heirs();
	sent();
	return 0;
}
