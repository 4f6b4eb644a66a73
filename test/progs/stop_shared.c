/*
 * Processes that share memory, one of which is stopped: by another one where it makes calls or
 * computes, by itself, as one of threads. The others go on, and continue it.
 */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

static volatile int *shared;

enum { GO = 0, TURNS = 1, SEEN = 2 };

static pid_t start(void (*does)(void))
{
	pid_t pid;

	memset((void *)shared, 0, 4096);
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		does();
		_exit(shared[SEEN] == 7 ? 3 : 4);
	}
	return pid;
}

static void await(pid_t pid, int how, int want)
{
	int status;

	CHECK(waitpid(pid, &status, how) == pid);
	CHECK(status == want);
}

/* Lets go of a process that is stopped, after calls and changes of memory. */
static void release(pid_t pid, const char *what)
{
	for (int i = 0; i < 5; i++)
		CHECK(getppid() > 0 && shared[GO] == 0);
	shared[SEEN] = 7;
	shared[GO] = 1;
	CHECK(kill(pid, SIGCONT) == 0);
	await(pid, 0, 3 << 8);
	puts(what);
}

static void calls(void)
{
	while (!shared[GO]) {
		CHECK(getppid() > 0);
		shared[TURNS]++;
	}
}

static void computes(void)
{
	shared[TURNS] = 1;
	while (!shared[GO])
		;
}

static void sleeps(void)
{
	shared[TURNS] = 1;
	while (!shared[GO])
		usleep(1000);
}

static void *calls_too(void *arg)
{
	calls();
	return arg;
}

static void threads(void)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, calls_too, NULL) == 0);
	calls();
	CHECK(pthread_join(thread, NULL) == 0);
}

/* What the parent has written is there when raise returns. */
static void itself(void)
{
	shared[TURNS] = 1;
	CHECK(raise(SIGSTOP) == 0);
	if (!shared[GO])
		_exit(5);
}

static void stopped(void (*does)(void), const char *what, int at_once)
{
	pid_t pid = start(does);

	while (!at_once && !shared[TURNS])
		usleep(1000);
	if (does != itself)
		CHECK(kill(pid, SIGSTOP) == 0);
	await(pid, WUNTRACED, SIGSTOP << 8 | 0x7f);
	release(pid, what);
}

int main(void)
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		stopped(calls, "calls", 0);
		stopped(sleeps, "sleeps", 0);
		stopped(itself, "itself", 0);
		stopped(computes, "computes", 0);
		stopped(threads, "threads", 0);
		stopped(calls, "at once", 1);
	}
	return 0;
}
