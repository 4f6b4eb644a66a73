/*
 * Threads that get a signal at the same time whose handler runs once (SA_RESETHAND), or is taken
 * away by another thread meanwhile: the first to come to it has it, and of the others their
 * process dies, or they notice nothing, as the signal says. They sleep, make calls or compute.
 */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static int to[2], never[2], go[2];

static void handler(int sig)
{
	(void)sig;
	CHECK(write(to[1], "h", 1) == 1);
}

static void *sleeps(void *unused)
{
	char c;
	/* The handler may have its call end. */
	while (read(never[0], &c, 1) < 0)
		;
	return unused;
}

static void *calls(void *unused)
{
	for (;;) {
		for (volatile int i = 0; i < 100000; i++)
			;
		CHECK(getppid() > 0);
	}
	return unused;
}

static void *computes(void *unused)
{
	for (volatile int i = 0;; i++)
		;
	return unused;
}

typedef void *work(void *);

static work *const pairs[][2] = {
	{sleeps, sleeps}, {sleeps, calls}, {calls, calls}, {computes, sleeps},
};
enum { PAIRS = sizeof pairs / sizeof *pairs };

static void child(int sig, int flags, int taken, work *const *does)
{
	struct sigaction a = {.sa_handler = handler, .sa_flags = flags}, none = {.sa_handler = SIG_DFL};
	pthread_t t[2];
	char c;
	CHECK(sigaction(sig, &a, NULL) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, does[i], NULL) == 0);
	CHECK(usleep(2000) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_kill(t[i], sig) == 0);
	if (taken)
		CHECK(sigaction(sig, &none, NULL) == 0);
	if (sig == SIGUSR1 && !taken)
		for (;;)
			pause();
	CHECK(read(go[0], &c, 1) == 1);
	_exit(7);
}

/* once returns how often the handler of a child has run, and in status how the child ended. */
static int once(int sig, int flags, int taken, work *const *does, int *status)
{
	char got[4];
	int n, ran = 0;
	CHECK(pipe(to) == 0 && pipe(never) == 0 && pipe(go) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		child(sig, flags, taken, does);
	CHECK(close(to[1]) == 0);
	if (sig == SIGURG)
		CHECK((ran = (int)read(to[0], got, 1)) == 1);
	CHECK(write(go[1], "g", 1) == 1);
	while ((n = (int)read(to[0], got, sizeof got)) > 0)
		ran += n;
	CHECK(n == 0 && waitpid(pid, status, 0) == pid);
	CHECK(close(to[0]) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(close(never[i]) == 0 && close(go[i]) == 0);
	return ran;
}

int main(void)
{
	int status, ran;
	for (int i = 0; i < 6 * PAIRS; i++) {
		work *const *does = pairs[i / 2 % PAIRS];
		int flags = i % 2 ? SA_RESTART : 0;
		ran = once(SIGUSR1, flags | (int)SA_RESETHAND, 0, does, &status);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1 && ran <= 1);
		if (i >= 2 * PAIRS)
			continue;
		ran = once(SIGURG, flags | (int)SA_RESETHAND, 0, does, &status);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7 && ran == 1);
		ran = once(SIGUSR1, flags, 1, does, &status);
		CHECK(WIFEXITED(status) ? WEXITSTATUS(status) == 7 && ran <= 2 : WTERMSIG(status) == SIGUSR1 && ran <= 1);
	}
	ok("sig_twice");
	return 0;
}
