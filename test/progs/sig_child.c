/* SIGCHLD: a handler that reaps, the information it gets, automatic reaping. */
#include "check.h"

static volatile sig_atomic_t reaped, sum, last_status, last_code;
static volatile pid_t last_pid;

static void reaps(int sig)
{
	UNUSED(sig);
	int saved = errno, status;
	while (waitpid(-1, &status, WNOHANG) > 0) {
		CHECK(WIFEXITED(status));
		sum += WEXITSTATUS(status);
		reaped++;
	}
	errno = saved;
}

static void informed(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(sig);
	UNUSED(ctx);
	last_pid = si->si_pid;
	last_status = si->si_status;
	last_code = si->si_code;
}

int main(void)
{
	begin();
	sigset_t block, none;
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);

	struct sigaction sa = {.sa_handler = reaps, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
	CHECK(sigaction(SIGCHLD, &sa, NULL) == 0 && sigprocmask(SIG_BLOCK, &block, NULL) == 0);
	for (int i = 1; i <= 5; i++) {
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0)
			_exit(i);
	}
	while (reaped < 5)
		CHECK_ERR(sigsuspend(&none), EINTR);
	CHECK(sum == 15);
	CHECK_ERR(wait(NULL), ECHILD);
	ok("five children reaped by the handler");

	/* The same without a mask: the signal comes while other calls are made. */
	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
	reaped = sum = 0;
	for (int i = 1; i <= 5; i++) {
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0)
			_exit(i);
	}
	while (reaped < 5)
		sleep_ms(1);
	CHECK(sum == 15);
	ok("while sleeping");

	sa = (struct sigaction){.sa_sigaction = informed, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(SIGCHLD, &sa, NULL) == 0 && sigprocmask(SIG_BLOCK, &block, NULL) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(9);
	CHECK_ERR(sigsuspend(&none), EINTR);
	CHECK(last_pid == child && last_status == 9 && last_code == CLD_EXITED);
	reap_exit(child, 9);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		raise(SIGKILL);
		_exit(0);
	}
	CHECK_ERR(sigsuspend(&none), EINTR);
	CHECK(last_pid == child && last_status == SIGKILL && last_code == CLD_KILLED);
	reap_signal(child, SIGKILL);
	siginfo_t si;
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(3);
	CHECK(sigwaitinfo(&block, &si) == SIGCHLD && si.si_pid == child && si.si_status == 3);
	reap_exit(child, 3);
	ok("information");

	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 3; i++) {
		child = fork();
		CHECK(child >= 0);
		if (child == 0)
			_exit(1);
	}
	/* With SIGCHLD ignored wait returns only when all are gone. */
	CHECK_ERR(wait(NULL), ECHILD);
	sa = (struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
	CHECK(sigaction(SIGCHLD, &sa, NULL) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(1);
	CHECK_ERR(waitpid(child, NULL, 0), ECHILD);
	ok("automatic reaping");
	return 0;
}
