/*
 * Processes of several threads that are stopped and continued: their parent is told, none of
 * their threads does anything meanwhile, and all of them go on.
 */
#include "check.h"
#include <pthread.h>

#define THREADS 4

/* What threads of a child do is told here, by a letter each. */
static int tell[2];
static volatile sig_atomic_t hits;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned long number;

static void counts(int sig)
{
	UNUSED(sig);
	hits++;
	while (write(tell[1], "h", 1) != 1)
		CHECK(errno == EAGAIN);
}

static void say(char c)
{
	CHECK(write(tell[1], &c, 1) == 1 || errno == EAGAIN);
}

/* Computes, and makes a call now and then. */
static void *computes(void *arg)
{
	UNUSED(arg);
	for (;;) {
		for (volatile unsigned i = 0; i < 100000; i++)
			;
		say('a');
	}
	return NULL;
}

/* Takes a lock for which others wait. */
static void *locks(void *arg)
{
	UNUSED(arg);
	for (;;) {
		CHECK(pthread_mutex_lock(&lock) == 0);
		number++;
		CHECK(pthread_cond_signal(&changed) == 0);
		CHECK(pthread_mutex_unlock(&lock) == 0);
		say('b');
	}
	return NULL;
}

/* Waits for the other one with the lock. */
static void *awaits(void *arg)
{
	UNUSED(arg);
	for (;;) {
		CHECK(pthread_mutex_lock(&lock) == 0);
		for (unsigned long seen = number; seen == number;)
			CHECK(pthread_cond_wait(&changed, &lock) == 0);
		CHECK(pthread_mutex_unlock(&lock) == 0);
		say('c');
	}
	return NULL;
}

/* Sleeps. */
static void *sleeps(void *arg)
{
	UNUSED(arg);
	for (;;) {
		sleep_ms(1);
		say('d');
	}
	return NULL;
}

static void begins(pthread_t *threads)
{
	static void *(*const work[THREADS])(void *) = {computes, locks, awaits, sleeps};
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, work[i], NULL) == 0);
}

static pid_t threaded(void)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		pthread_t threads[THREADS];
		begins(threads);
		for (;;)
			pause();
	}
	return pid;
}

static void drain(void)
{
	char buf[4096];
	ssize_t n;
	while ((n = read(tell[0], buf, sizeof buf)) > 0)
		;
	CHECK(n == -1 && errno == EAGAIN);
}

/* Waits until each of some threads has told something. */
static void hear(const char *from)
{
	for (; *from; from++) {
		char c = 0;
		while (c != *from)
			if (read(tell[0], &c, 1) == -1) {
				CHECK(errno == EAGAIN);
				sleep_ms(1);
			}
	}
}

/* Whom the monitor needed meanwhile it may have stopped again, with SIGSTOP. */
static void stops(pid_t pid, int sig)
{
	int st;
	CHECK(kill(pid, sig) == 0);
	CHECK(waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st));
	CHECK(WSTOPSIG(st) == sig || WSTOPSIG(st) == SIGSTOP);
}

static void goes_on(pid_t pid)
{
	int st;
	CHECK(kill(pid, SIGCONT) == 0);
	CHECK(waitpid(pid, &st, WCONTINUED) == pid && WIFCONTINUED(st));
}

static void silent(void)
{
	char c;
	drain();
	sleep_ms(20);
	CHECK_ERR(read(tell[0], &c, 1), EAGAIN);
}

static void *ends(void *arg)
{
	UNUSED(arg);
	sleep_ms(5);
	_exit(5);
}

static void *executes(void *arg)
{
	sleep_ms(5);
	execl("/proc/self/exe", "thread_stop", (char *)arg, "executed", (char *)NULL);
	_exit(1);
}

int main(int argc, char **argv)
{
	if (argc == 3)
		_exit(6);
	begin();
	CHECK(argc == 2);
	CHECK(pipe2(tell, O_NONBLOCK) == 0);

	pid_t child = threaded();
	for (int i = 0; i < 20; i++) {
		sleep_ms(i % 4);
		stops(child, i % 3 == 2 ? SIGTSTP : SIGSTOP);
		if (i % 5 == 0)
			silent();
		goes_on(child);
		if (i % 4 == 0)
			hear("abcd");
	}
	ok("stopped and continued");

	int st;
	stops(child, SIGSTOP);
	CHECK(kill(child, SIGSTOP) == 0 && kill(child, SIGTSTP) == 0);
	silent();
	CHECK(waitpid(child, &st, WUNTRACED | WNOHANG) == 0);
	goes_on(child);
	hear("abcd");
	ok("stopped twice");

	stops(child, SIGSTOP);
	CHECK(kill(child, SIGKILL) == 0);
	reap_signal(child, SIGKILL);
	ok("killed while it is stopped");

	child = threaded();
	hear("abcd");
	CHECK(kill(child, SIGSTOP) == 0 && kill(child, SIGKILL) == 0);
	reap_signal(child, SIGKILL);
	ok("killed before it has stopped");

	/* A signal with a handler waits until the process goes on. */
	struct sigaction sa = {.sa_handler = counts, .sa_flags = SA_RESTART}, old;
	CHECK(sigaction(SIGUSR1, &sa, &old) == 0);
	child = threaded();
	CHECK(sigaction(SIGUSR1, &old, NULL) == 0);
	for (int i = 0; i < 5; i++) {
		sleep_ms(i);
		stops(child, SIGSTOP);
		CHECK(kill(child, SIGUSR1) == 0);
		silent();
		goes_on(child);
		hear("habcd");
	}
	stops(child, SIGSTOP);
	CHECK(kill(child, SIGTERM) == 0);
	silent();
	CHECK(kill(child, SIGCONT) == 0);
	reap_signal(child, SIGTERM);
	ok("signals while it is stopped");

	for (int i = 0; i < 4; i++) {
		child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			pthread_t threads[THREADS + 1];
			begins(threads);
			CHECK(pthread_create(&threads[THREADS], NULL, i % 2 ? executes : ends, argv[1]) == 0);
			for (;;)
				pause();
		}
		/* It is given ever more time to end. */
		long more = 0;
		do {
			sleep_ms(more++);
			CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &st, WUNTRACED) == child);
			if (WIFSTOPPED(st))
				CHECK(kill(child, SIGCONT) == 0);
		} while (WIFSTOPPED(st));
		CHECK(WIFEXITED(st) && WEXITSTATUS(st) == (i % 2 ? 6 : 5));
	}
	ok("ends, executes");
	return 0;
}
