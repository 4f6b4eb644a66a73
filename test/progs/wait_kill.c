/* Children killed by the parent while they wait, and the status that tells of it. */
#include "check.h"
#include <sys/resource.h>

static pid_t sleeper(int self_mask)
{
	int ready[2];
	char c;
	CHECK(pipe(ready) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct rlimit none = {0, 0};
		CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
		sigset_t s;
		sigfillset(&s);
		if (self_mask)
			CHECK(sigprocmask(SIG_BLOCK, &s, NULL) == 0);
		CHECK(write(ready[1], "r", 1) == 1);
		for (;;)
			pause();
	}
	CHECK(read(ready[0], &c, 1) == 1);
	CHECK(close(ready[0]) == 0 && close(ready[1]) == 0);
	return pid;
}

int main(void)
{
	begin();
	static const int deadly[] = {SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGALRM, SIGUSR1, SIGQUIT};
	for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
		pid_t pid = sleeper(0);
		CHECK(kill(pid, deadly[i]) == 0);
		int status = reap(pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == deadly[i] && !WCOREDUMP(status));
		CHECK_ERR(kill(pid, 0), ESRCH);
	}
	ok("each signal");

	pid_t pid = sleeper(1);
	CHECK(kill(pid, SIGTERM) == 0 && kill(pid, SIGKILL) == 0);
	siginfo_t si;
	CHECK(waitid(P_PID, (id_t)pid, &si, WEXITED) == 0);
	CHECK(si.si_code == CLD_KILLED && si.si_status == SIGKILL);
	ok("masked, then SIGKILL");

	pid_t all[4];
	for (int i = 0; i < 4; i++) {
		all[i] = sleeper(0);
		CHECK(setpgid(all[i], all[0]) == 0);
	}
	CHECK(kill(-all[0], SIGTERM) == 0);
	for (int i = 0; i < 4; i++)
		reap_signal(all[i], SIGTERM);
	ok("a group");
	return 0;
}
