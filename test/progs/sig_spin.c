/*
 * A program that waits for its handlers without a call: flags, one after the other,
 * from timers, from a child, and from a handler that interrupts another loop.
 */
#include "check.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

static volatile sig_atomic_t seen, inner;

static void note(int sig) { seen = sig; }

static void outer(int sig)
{
	seen = sig;
	while (!inner)
		;
}

static void innermost(int sig) { inner = sig; }

static void on(int sig, void (*f)(int))
{
	struct sigaction sa = {.sa_handler = f};
	CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void spin_until(int sig)
{
	volatile unsigned long rounds = 0;
	while (seen != sig)
		rounds++;
	seen = 0;
	CHECK(rounds > 0);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	struct itimerval once = {.it_value = {.tv_usec = 20000}};

	on(SIGALRM, note);
	CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
	spin_until(SIGALRM);
	ok("timer");

	/* More of them than anybody waits for: each one finds the loop that the last one found. */
	struct itimerval often = {{0, 5000}, {0, 20000}}, none_more = {{0, 0}, {0, 0}};
	on(SIGVTALRM, note);
	CHECK(setitimer(ITIMER_VIRTUAL, &often, NULL) == 0);
	spin_until(SIGVTALRM);
	CHECK(setitimer(ITIMER_VIRTUAL, &none_more, NULL) == 0);
	ok("timers");

	on(SIGUSR1, note);
	pid_t parent = getpid(), pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct timespec nap = {0, 20000000};
		nanosleep(&nap, NULL);
		_exit(kill(parent, SIGUSR1));
	}
	spin_until(SIGUSR1);
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	ok("child");

	/* A handler that computes until another one has run. */
	on(SIGVTALRM, outer);
	on(SIGALRM, innermost);
	struct itimerval later = {.it_value = {.tv_usec = 600000}};
	CHECK(setitimer(ITIMER_VIRTUAL, &once, NULL) == 0 && setitimer(ITIMER_REAL, &later, NULL) == 0);
	spin_until(SIGVTALRM);
	CHECK(inner == SIGALRM);
	ok("nested");

	/* What is blocked does not come. None of it needs a place in a queue. */
	struct rlimit none = {0, 0};
	CHECK(setrlimit(RLIMIT_SIGPENDING, &none) == 0);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && raise(SIGUSR1) == 0);
	on(SIGALRM, note);
	CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
	spin_until(SIGALRM);
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 && seen == SIGUSR1);
	ok("blocked");
	return 0;
}
