/*
 * Handlers of SIGCONT, in a process that is stopped and continued so often that one signal meets
 * the other on its way: the last of both has its effect.
 */
#include "check.h"
#include <pthread.h>

static int tell[2];

static void continued(int sig)
{
	int e = errno;
	CHECK(sig == SIGCONT && (write(tell[1], "c", 1) == 1 || errno == EAGAIN));
	errno = e;
}

static void *calls(void *arg)
{
	UNUSED(arg);
	for (;;)
		getppid();
	return NULL;
}

static void *computes(void *arg)
{
	UNUSED(arg);
	for (;;)
		for (volatile unsigned i = 0; i < 100000; i++)
			;
	return NULL;
}

static void *pauses(void *arg)
{
	UNUSED(arg);
	for (;;)
		CHECK_ERR(pause(), EINTR);
	return NULL;
}

static void *suspends(void *arg)
{
	UNUSED(arg);
	sigset_t all;
	sigfillset(&all);
	sigdelset(&all, SIGCONT);
	for (;;)
		CHECK_ERR(sigsuspend(&all), EINTR);
	return NULL;
}

static void drain(void)
{
	char buf[4096];
	while (read(tell[0], buf, sizeof buf) > 0)
		;
}

/* Waits until the child tells that. */
static void await(char what)
{
	char c = 0;
	while (read(tell[0], &c, 1) != 1)
		sleep_ms(1);
	CHECK(c == what);
}

/* A child of which the first thread does one thing, and another one, if there is one, another. */
static void turns(void *(*first)(void *), void *(*second)(void *), const sigset_t *blocked, int rounds)
{
	drain();
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		struct sigaction sa = {.sa_handler = continued};
		sigfillset(&sa.sa_mask);
		CHECK(sigaction(SIGCONT, &sa, NULL) == 0);
		CHECK(sigprocmask(SIG_SETMASK, blocked, NULL) == 0);
		pthread_t t;
		CHECK(second == NULL || pthread_create(&t, NULL, second, NULL) == 0);
		CHECK(write(tell[1], "r", 1) == 1);
		first(NULL);
	}
	char c;
	await('r');
	for (int i = 0; i < rounds; i++) {
		int st;
		for (int n = 0; n < 5; n++) {
			CHECK(kill(child, SIGSTOP) == 0);
			if (n % 2)
				sleep_ms(n % 3);
			CHECK(kill(child, SIGCONT) == 0);
			if (i % 2)
				sleep_ms(n % 3);
		}
		CHECK(kill(child, SIGSTOP) == 0);
		CHECK(waitpid(child, &st, WUNTRACED) == child && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
		drain();
		sleep_ms(2);
		CHECK_ERR(read(tell[0], &c, 1), EAGAIN);
		CHECK(kill(child, SIGCONT) == 0);
		await('c');
	}
	CHECK(kill(child, SIGKILL) == 0);
	reap_signal(child, SIGKILL);
}

/*
 * A child that makes calls for which more than one is made beside it. It is stopped in the middle of
 * them, by SIGSTOP alone, goes on by SIGCONT alone, and its parent is told of nothing else.
 */
static void *sets_actions(void *arg)
{
	struct sigaction ignored = {.sa_handler = SIG_IGN}, by_default = {.sa_handler = SIG_DFL};
	for (;;) {
		CHECK(sigaction(SIGUSR1, &ignored, NULL) == 0);
		CHECK(sigaction(SIGUSR1, &by_default, NULL) == 0);
	}
	return arg;
}

static void in_parts(void)
{
	for (int i = 0; i < 10; i++) {
		drain();
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			struct sigaction sa = {.sa_handler = continued};
			CHECK(sigaction(SIGCONT, &sa, NULL) == 0);
			pthread_t t;
			CHECK(pthread_create(&t, NULL, pauses, NULL) == 0);
			CHECK(write(tell[1], "r", 1) == 1);
			sets_actions(NULL);
		}
		char c;
		await('r');
		for (int n = 0; n < 3; n++) {
			int st;
			CHECK(kill(child, SIGSTOP) == 0);
			CHECK(waitpid(child, &st, WUNTRACED) == child && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
			sleep_ms(1);
			CHECK(waitpid(child, &st, WNOHANG | WUNTRACED | WCONTINUED) == 0);
			CHECK_ERR(read(tell[0], &c, 1), EAGAIN);
			CHECK(kill(child, SIGCONT) == 0);
			CHECK(waitpid(child, &st, WCONTINUED) == child && WIFCONTINUED(st));
			await('c');
			sleep_ms(1);
			CHECK_ERR(read(tell[0], &c, 1), EAGAIN);
		}
		CHECK(kill(child, SIGKILL) == 0);
		reap_signal(child, SIGKILL);
	}
	ok("in the middle of calls");
}

static void with_threads(void)
{
	sigset_t none;
	sigemptyset(&none);
	turns(calls, pauses, &none, 5);
	turns(pauses, calls, &none, 5);
	turns(computes, calls, &none, 2);
	ok("with threads");
}

static void alone(void)
{
	sigset_t none, most;
	sigemptyset(&none);
	sigfillset(&most);
	sigdelset(&most, SIGCONT);
	turns(pauses, NULL, &none, 10);
	ok("asleep");
	turns(calls, NULL, &none, 10);
	ok("with calls");
	turns(computes, NULL, &none, 2);
	ok("while it computes");
	turns(suspends, NULL, &most, 10);
	ok("in sigsuspend");
	turns(calls, NULL, &most, 10);
	ok("with others blocked");
}

int main(int argc, char **argv)
{
	begin();
	CHECK(pipe2(tell, O_NONBLOCK) == 0);
	if (argc > 1 && strcmp(argv[1], "threads") == 0) {
		with_threads();
		in_parts();
	} else {
		alone();
	}
	return 0;
}
