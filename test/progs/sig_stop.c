/* Processes that are stopped and continued: what their parent is told. */
#include "check.h"

static volatile sig_atomic_t hits, code, status;
static volatile pid_t sender;

static void informed(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(sig);
	UNUSED(ctx);
	hits++;
	code = si->si_code;
	status = si->si_status;
	sender = si->si_pid;
}

static void catches(int sig)
{
	CHECK(write(1, sig == SIGTSTP ? "caught SIGTSTP\n" : "caught SIGCONT\n", 15) == 15);
}

static void handle(int sig, void (*f)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};
	CHECK(sigaction(sig, &sa, NULL) == 0);
	hits = 0;
}

/* Waits for one SIGCHLD. */
static void told(pid_t child, int want_code, int want_status)
{
	sigset_t none;
	sigemptyset(&none);
	hits = 0;
	while (hits == 0)
		CHECK_ERR(sigsuspend(&none), EINTR);
	CHECK(sender == child && code == want_code && status == want_status);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
		for (;;)
			pause();
	}
	return pid;
}

int main(void)
{
	begin();
	sigset_t chld, none;
	sigemptyset(&none);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	CHECK(sigprocmask(SIG_BLOCK, &chld, NULL) == 0);
	handle(SIGCHLD, informed, 0);
	int st;
	siginfo_t si;

	pid_t child = sleeper();
	CHECK(kill(child, SIGSTOP) == 0);
	told(child, CLD_STOPPED, SIGSTOP);
	CHECK(waitpid(child, &st, WUNTRACED) == child && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
	CHECK(waitpid(child, &st, WUNTRACED | WNOHANG) == 0);
	CHECK(kill(child, SIGCONT) == 0);
	told(child, CLD_CONTINUED, SIGCONT);
	CHECK(waitpid(child, &st, WCONTINUED) == child && WIFCONTINUED(st));
	CHECK(waitpid(child, &st, WUNTRACED | WCONTINUED | WNOHANG) == 0);
	ok("stopped, continued");

	CHECK(kill(child, SIGSTOP) == 0);
	told(child, CLD_STOPPED, SIGSTOP);
	memset(&si, 0, sizeof si);
	CHECK(waitid(P_PID, (id_t)child, &si, WSTOPPED | WNOWAIT) == 0 && si.si_code == CLD_STOPPED && si.si_status == SIGSTOP);
	CHECK(waitid(P_PID, (id_t)child, &si, WSTOPPED) == 0 && si.si_pid == child && si.si_signo == SIGCHLD);
	/* Other signals wait until it goes on, but for SIGKILL. */
	CHECK(kill(child, SIGTERM) == 0 && kill(child, SIGCONT) == 0);
	CHECK(waitid(P_PID, (id_t)child, &si, WEXITED | WNOWAIT) == 0 && si.si_code == CLD_KILLED && si.si_status == SIGTERM);
	reap_signal(child, SIGTERM);
	child = sleeper();
	CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &st, WUNTRACED) == child && WIFSTOPPED(st));
	CHECK(kill(child, SIGKILL) == 0);
	reap_signal(child, SIGKILL);
	ok("waitid, killed while stopped");

	/* SA_NOCLDSTOP: only the end is told. */
	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
	handle(SIGCHLD, informed, SA_NOCLDSTOP);
	child = sleeper();
	CHECK(kill(child, SIGTSTP) == 0 && waitpid(child, &st, WUNTRACED) == child && WSTOPSIG(st) == SIGTSTP);
	CHECK(kill(child, SIGCONT) == 0 && waitpid(child, &st, WCONTINUED) == child && WIFCONTINUED(st));
	CHECK(hits == 0 && kill(child, SIGKILL) == 0);
	reap_signal(child, SIGKILL);
	CHECK(hits == 1 && code == CLD_KILLED);
	ok("SA_NOCLDSTOP");

	/* A handler for SIGTSTP keeps it from stopping; one for SIGCONT runs when it goes on. */
	int p[2];
	char c;
	CHECK(pipe(p) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(signal(SIGTSTP, catches) == SIG_DFL && signal(SIGCONT, catches) == SIG_DFL);
		CHECK(write(p[1], "r", 1) == 1);
		pause();
		raise(SIGSTOP);
		CHECK(write(p[1], "g", 1) == 1);
		_exit(7);
	}
	CHECK(read(p[0], &c, 1) == 1);
	wait_until_blocked(child);
	CHECK(kill(child, SIGTSTP) == 0);
	CHECK(waitpid(child, &st, WUNTRACED) == child && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
	CHECK(kill(child, SIGCONT) == 0 && read(p[0], &c, 1) == 1 && c == 'g');
	reap_exit(child, 7);
	ok("handlers");

	/* A child stops its parent and lets it go on. */
	pid_t parent = getpid();
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		char path[64], buf[1024];
		CHECK(kill(parent, SIGSTOP) == 0);
		snprintf(path, sizeof path, "/proc/%d/stat", (int)parent);
		do {
			sleep_ms(10);
			buf[get_file(path, buf, sizeof buf - 1)] = 0;
		} while (strchr("Tt", strrchr(buf, ')')[2]) == NULL);
		CHECK(kill(parent, SIGCONT) == 0);
		_exit(0);
	}
	reap_exit(child, 0);
	ok("a parent");

	/* In the middle of a computation, and of a sleep, which goes on. */
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		double end = now() + 0.5;
		for (volatile unsigned i = 0; i < 100000000u; i++)
			;
		sleep_ms(200);
		_exit(now() >= end - 0.3 ? 0 : 1);
	}
	for (int i = 0; i < 5; i++) {
		sleep_ms(20);
		CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &st, WUNTRACED) == child && WIFSTOPPED(st));
		CHECK(kill(child, SIGCONT) == 0);
	}
	reap_exit(child, 0);
	ok("while it computes");
	return 0;
}
