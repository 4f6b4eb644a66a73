/* Signals a process sends itself: order, masks, values, nesting, flags, exec. */
#include "check.h"

static volatile sig_atomic_t hits, depth, deepest, order[16];
static volatile int value, code;
static void *volatile pointer;
static volatile pid_t sender;

static void counts(int sig)
{
	order[hits++ & 15] = sig;
}

static void informed(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(ctx);
	order[hits++ & 15] = sig;
	value = si->si_value.sival_int;
	pointer = si->si_value.sival_ptr;
	sender = si->si_pid;
	code = si->si_code;
	CHECK(si->si_uid == getuid());
}

static void nests(int sig)
{
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (++hits < 5)
		raise(sig);
	depth--;
}

static void action(int sig, void (*f)(int), int flags)
{
	struct sigaction sa = {.sa_handler = f, .sa_flags = flags};
	sigemptyset(&sa.sa_mask);
	CHECK(sigaction(sig, &sa, NULL) == 0);
	hits = 0;
}

static void mask(int how, int sig)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, sig);
	CHECK(sigprocmask(how, &s, NULL) == 0);
}

static int after_exec(void)
{
	sigset_t s;
	struct sigaction sa;
	CHECK(sigprocmask(SIG_BLOCK, NULL, &s) == 0);
	CHECK(sigismember(&s, SIGUSR1) == 1 && sigismember(&s, SIGUSR2) == 0);
	CHECK(sigpending(&s) == 0 && sigismember(&s, SIGUSR1) == 1);
	CHECK(sigaction(SIGHUP, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
	CHECK(sigaction(SIGUSR2, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
	action(SIGUSR1, counts, 0);
	mask(SIG_UNBLOCK, SIGUSR1);
	CHECK(hits == 1);
	ok("after exec: mask, pending and ignored stay, handlers go");
	return 0;
}

int main(int argc, char **argv)
{
	begin();
	if (argc > 2)
		return after_exec();

	action(SIGUSR1, counts, 0);
	CHECK(raise(SIGUSR1) == 0 && hits == 1);
	CHECK(kill(getpid(), SIGUSR1) == 0 && hits == 2);
	CHECK(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1) == 0 && hits == 3);
	CHECK(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1) == 0 && hits == 4);
	ok("delivered before the call returns");

	struct sigaction sa = {.sa_sigaction = informed, .sa_flags = SA_SIGINFO}, old;
	sigemptyset(&sa.sa_mask);
	CHECK(sigaction(SIGUSR2, &sa, NULL) == 0);
	CHECK(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 4711}) == 0);
	CHECK(value == 4711 && sender == getpid() && code == SI_QUEUE);
	CHECK(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_ptr = &sa}) == 0);
	CHECK(pointer == &sa);
	CHECK(kill(getpid(), SIGUSR2) == 0 && code == SI_USER && sender == getpid());
	CHECK(raise(SIGUSR2) == 0 && code == SI_TKILL);
	CHECK(sigaction(SIGUSR2, NULL, &old) == 0);
	CHECK(old.sa_sigaction == informed && (old.sa_flags & SA_SIGINFO));
	ok("values, senders, codes");

	hits = 0;
	mask(SIG_BLOCK, SIGUSR2);
	for (int i = 0; i < 3; i++)
		CHECK(kill(getpid(), SIGUSR2) == 0);
	sigset_t s;
	CHECK(hits == 0 && sigpending(&s) == 0 && sigismember(&s, SIGUSR2) == 1 && sigismember(&s, SIGUSR1) == 0);
	mask(SIG_UNBLOCK, SIGUSR2);
	CHECK(hits == 1);
	ok("blocked, pending, once");

	/* Real-time signals queue, in order, lowest number first. */
	struct sigaction rt = {.sa_sigaction = informed, .sa_flags = SA_SIGINFO};
	sigfillset(&rt.sa_mask);
	CHECK(sigaction(SIGRTMIN + 1, &rt, NULL) == 0 && sigaction(SIGRTMIN + 2, &rt, NULL) == 0);
	mask(SIG_BLOCK, SIGRTMIN + 1);
	mask(SIG_BLOCK, SIGRTMIN + 2);
	CHECK(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 9}) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}) == 0);
	hits = 0;
	sigset_t none;
	sigemptyset(&none);
	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
	CHECK(hits == 4 && value == 9);
	CHECK(order[0] == SIGRTMIN + 1 && order[2] == SIGRTMIN + 1 && order[3] == SIGRTMIN + 2);
	ok("real-time signals");

	/* Taken by a call instead of a handler. */
	mask(SIG_BLOCK, SIGUSR1);
	mask(SIG_BLOCK, SIGUSR2);
	hits = 0;
	siginfo_t si;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigaddset(&s, SIGUSR2);
	struct timespec zero = {0, 0};
	CHECK_ERR(sigtimedwait(&s, &si, &zero), EAGAIN);
	CHECK(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 31}) == 0);
	CHECK(sigwaitinfo(&s, &si) == SIGUSR2 && si.si_value.sival_int == 31 && si.si_pid == getpid());
	CHECK(raise(SIGUSR1) == 0);
	int got;
	CHECK(sigwait(&s, &got) == 0 && got == SIGUSR1);
	CHECK(hits == 0);
	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
	ok("sigwaitinfo, sigtimedwait, sigwait");

	deepest = 0;
	action(SIGUSR1, nests, 0);
	CHECK(raise(SIGUSR1) == 0 && hits == 5 && deepest == 1);
	deepest = 0;
	action(SIGUSR1, nests, SA_NODEFER);
	CHECK(raise(SIGUSR1) == 0 && hits == 5 && deepest == 5);
	ok("nested");

	action(SIGUSR1, counts, (int)SA_RESETHAND);
	CHECK(raise(SIGUSR1) == 0 && hits == 1);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		raise(SIGUSR1);
		_exit(0);
	}
	reap_signal(child, SIGUSR1);
	ok("SA_RESETHAND");

	/* sigsuspend and pause return once a pending signal was handled. */
	action(SIGUSR1, counts, 0);
	mask(SIG_BLOCK, SIGUSR1);
	CHECK(raise(SIGUSR1) == 0 && hits == 0);
	CHECK_ERR(sigsuspend(&none), EINTR);
	CHECK(hits == 1 && sigprocmask(SIG_BLOCK, NULL, &s) == 0 && sigismember(&s, SIGUSR1) == 1);
	ok("sigsuspend");

	CHECK_ERR(sigaction(SIGKILL, &sa, NULL), EINVAL);
	CHECK_ERR(sigaction(SIGSTOP, &sa, NULL), EINVAL);
	CHECK(signal(SIGTERM, SIG_IGN) == SIG_DFL && raise(SIGTERM) == 0);
	CHECK(raise(SIGCHLD) == 0 && raise(SIGURG) == 0 && raise(SIGWINCH) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		abort();
	int status = reap(child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		kill(getpid(), SIGKILL);
		_exit(0);
	}
	reap_signal(child, SIGKILL);
	ok("ignored and deadly");

	signal(SIGHUP, SIG_IGN);
	action(SIGUSR2, counts, 0);
	CHECK(raise(SIGUSR1) == 0);
	execl("/proc/self/exe", argv[0], ".", "child", (char *)NULL);
	CHECK(!"exec");
}
