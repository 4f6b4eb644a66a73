/*
 * Handlers that run once (SA_RESETHAND) and have the signal sent again, by which their process
 * ends: with threads that do this and that, for signals from the thread itself, from another
 * process, and for faults.
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static int to[2], never[2];

static void again(int sig)
{
	struct sigaction now;
	CHECK(sigaction(sig, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
	CHECK(fcntl(to[1], F_GETFL) >= 0 && write(to[1], "h", 1) == 1);
	raise(sig);
}

/* The instruction faults again. */
static void back(int sig)
{
	(void)sig;
	CHECK(write(to[1], "f", 1) == 1);
}

static void *waits(void *mutex)
{
	char c;
	if (mutex)
		pthread_mutex_lock(mutex);
	CHECK(read(never[0], &c, 1) == 1);
	return NULL;
}

static void *calls(void *unused)
{
	for (;;)
		CHECK(getppid() > 0);
	return unused;
}

enum how { BY_ITSELF, BY_THREAD, BY_PARENT, BY_FAULT };

static void *acts(void *how)
{
	if (*(enum how *)how == BY_THREAD)
		raise(SIGTERM);
	*(volatile int *)NULL = 1;
	return NULL;
}

static void child(enum how how, int threads)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct sigaction a = {.sa_handler = again, .sa_flags = (int)SA_RESETHAND};
	pthread_t t;
	sigfillset(&a.sa_mask);
	CHECK(sigaction(SIGTERM, &a, NULL) == 0);
	a.sa_handler = back;
	CHECK(sigaction(SIGSEGV, &a, NULL) == 0);
	CHECK(pthread_mutex_lock(&mutex) == 0);
	for (int i = 0; i < threads; i++)
		CHECK(pthread_create(&t, NULL, i == 2 ? calls : waits, i == 1 ? &mutex : NULL) == 0);
	CHECK(write(to[1], "r", 1) == 1);
	if (how == BY_ITSELF)
		raise(SIGTERM);
	if (how == BY_THREAD || how == BY_FAULT)
		CHECK(pthread_create(&t, NULL, acts, &how) == 0);
	waits(NULL);
}

int main(void)
{
	for (enum how how = BY_ITSELF; how <= BY_FAULT; how++)
		for (int threads = 0; threads < 4; threads++) {
			char got[3];
			int status, sig = how == BY_FAULT ? SIGSEGV : SIGTERM;
			CHECK(pipe(to) == 0 && pipe(never) == 0);
			pid_t pid = fork();
			CHECK(pid >= 0);
			if (pid == 0)
				child(how, threads);
			CHECK(close(to[1]) == 0 && read(to[0], got, 1) == 1 && got[0] == 'r');
			if (how == BY_PARENT)
				CHECK(kill(pid, SIGTERM) == 0);
			CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == sig);
			CHECK(read(to[0], got, sizeof got) == 1 && got[0] == (how == BY_FAULT ? 'f' : 'h'));
			CHECK(close(to[0]) == 0 && close(never[0]) == 0 && close(never[1]) == 0);
		}
	ok("sig_once");
	return 0;
}
