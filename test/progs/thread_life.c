/*
 * Threads come and go: a hundred at a time, hundreds in turn, threads that fork, execute
 * programs or end the process, a first thread that ends before the others; signals for
 * one of them, on its own stack, blocked in some, waited for by another.
 */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

enum { MANY = 100, TURNS = 200, SMALL = 128 << 10 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int here, released;
static __thread int own = 7;

static void *stay(void *arg)
{
	CHECK(own == 7);
	own = (int)(long)arg;
	CHECK(pthread_mutex_lock(&lock) == 0);
	here++;
	CHECK(pthread_cond_broadcast(&changed) == 0);
	while (!released)
		CHECK(pthread_cond_wait(&changed, &lock) == 0);
	CHECK(pthread_mutex_unlock(&lock) == 0);
	CHECK(own == (int)(long)arg);
	return arg;
}

static void many(void)
{
	static pthread_t thread[MANY];
	pthread_attr_t a;
	CHECK(pthread_attr_init(&a) == 0 && pthread_attr_setstacksize(&a, SMALL) == 0);
	for (long i = 0; i < MANY; i++)
		CHECK(pthread_create(&thread[i], &a, stay, (void *)i) == 0);
	CHECK(pthread_mutex_lock(&lock) == 0);
	while (here < MANY)
		CHECK(pthread_cond_wait(&changed, &lock) == 0);
	released = 1;
	CHECK(pthread_cond_broadcast(&changed) == 0);
	CHECK(pthread_mutex_unlock(&lock) == 0);
	for (long i = 0; i < MANY; i++) {
		void *end;
		CHECK(pthread_join(thread[i], &end) == 0 && end == (void *)i);
	}
	printf("%d at a time\n", here);
}

static void *add(void *arg)
{
	++*(int *)arg;
	return arg;
}

static void in_turn(void)
{
	int sum = 0;
	for (int i = 0; i < TURNS; i++) {
		pthread_t thread;
		CHECK(pthread_create(&thread, NULL, add, &sum) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
	}
	printf("%d in turn\n", sum);
}

static void *fork_there(void *arg)
{
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		/* The only thread of its process. */
		pthread_t thread;
		int n = 0;
		CHECK(pthread_create(&thread, NULL, add, &n) == 0 && pthread_join(thread, NULL) == 0);
		_exit(40 + n);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 41);
	return arg;
}

static void *execute(void *arg)
{
	execl("/bin/sh", "sh", "-c", "echo executed by a thread; exit 5", (char *)NULL);
	return arg;
}

static void *leave(void *arg)
{
	CHECK(usleep(2000) == 0);
	exit((int)(long)arg);
}

/* musl joins no first thread. */
static void *outlive(void *arg)
{
	char path[64], state;
	CHECK(snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid()) > 0);
	do {
		FILE *f = fopen(path, "r");
		CHECK(arg == NULL && f && usleep(500) == 0);
		CHECK(fscanf(f, "%*d %*s %c", &state) == 1 && fclose(f) == 0);
	} while (state != 'Z');
	puts("the first thread has ended");
	exit(6);
}

static void child(const char *what, int want, void *(*start)(void *), void *arg, int first_ends)
{
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		pthread_t thread;
		CHECK(pthread_create(&thread, NULL, start, arg) == 0);
		if (first_ends)
			pthread_exit(NULL);
		for (;;)
			pause();
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == want);
	printf("%s: %d\n", what, want);
}

static char other_stack[SMALL];
static volatile int handled, on_own_stack;
static pthread_t handled_by;

static void handler(int n)
{
	char here_now;
	handled += n;
	handled_by = pthread_self();
	on_own_stack = &here_now > other_stack && &here_now < other_stack + sizeof other_stack;
}

static void *get_signals(void *arg)
{
	sigset_t set;
	int n;
	stack_t ss = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
	CHECK(sigaltstack(&ss, NULL) == 0);
	CHECK(pthread_mutex_lock(&lock) == 0);
	here = 1;
	CHECK(pthread_cond_broadcast(&changed) == 0);
	CHECK(pthread_mutex_unlock(&lock) == 0);
	while (!handled)
		usleep(500);
	CHECK(handled == SIGUSR1 && on_own_stack && pthread_equal(handled_by, pthread_self()));
	CHECK(sigemptyset(&set) == 0 && sigaddset(&set, SIGUSR2) == 0);
	CHECK(sigwait(&set, &n) == 0 && n == SIGUSR2);
	return arg;
}

static void signals(void)
{
	struct sigaction a = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
	pthread_t thread;
	sigset_t set;
	CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
	CHECK(sigemptyset(&set) == 0 && sigaddset(&set, SIGUSR2) == 0);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	here = 0;
	CHECK(pthread_create(&thread, NULL, get_signals, NULL) == 0);
	CHECK(sigaddset(&set, SIGUSR1) == 0 && pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	CHECK(pthread_mutex_lock(&lock) == 0);
	while (!here)
		CHECK(pthread_cond_wait(&changed, &lock) == 0);
	CHECK(pthread_mutex_unlock(&lock) == 0);
	CHECK(pthread_kill(thread, SIGUSR1) == 0);
	/* Nobody has it unblocked: it waits for the one that asks for it. */
	CHECK(kill(getpid(), SIGUSR2) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	puts("signals");
}

int main(void)
{
	pthread_t thread;
	many();
	in_turn();
	CHECK(pthread_create(&thread, NULL, fork_there, NULL) == 0 && pthread_join(thread, NULL) == 0);
	puts("forked");
	child("exec", 5, execute, NULL, 0);
	for (int i = 0; i < 3; i++)
		child("exec while the first thread ends", 5, execute, NULL, 1);
	child("exit", 4, leave, (void *)4, 0);
	child("outlived", 6, outlive, NULL, 1);
	signals();
	return 0;
}
