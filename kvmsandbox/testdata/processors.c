/*
 * Has more threads than there are processors for, twice, or
 * children that share its memory and are killed, more than there are processors.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(x)                                                              \
	do {                                                                  \
		if (!(x)) {                                                   \
			fprintf(stderr, "%d: %s (%d)\n", __LINE__, #x, errno); \
			_exit(1);                                             \
		}                                                             \
	} while (0)

#define THREADS 40
#define CHILDREN 25

static void report(int what, long value) { syscall(SYS_lseek, -77, value, what); }

static int go[2];

static void *waits(void *arg)
{
	char c;
	CHECK(read(go[0], &c, 1) == 1);
	return arg;
}

/* Makes threads until there can be no more, and lets them end. */
static void threads(void)
{
	pthread_t t[THREADS];
	long n = 0;
	int err = 0;
	while (n < THREADS && (err = pthread_create(&t[n], NULL, waits, (void *)n)) == 0)
		n++;
	CHECK(n > 0 && (err == 0 || err == EAGAIN));
	/* Processes have memory of their own. */
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(5);
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 5 << 8);
	for (long i = 0; i < n; i++)
		CHECK(write(go[1], "", 1) == 1);
	for (long i = 0; i < n; i++) {
		void *result;
		CHECK(pthread_join(t[i], &result) == 0 && result == (void *)i);
	}
	report(1, n);
}

static volatile int turn;

/* What a child is killed in. */
static void endless(int how)
{
	static char memory[64 << 20];
	for (unsigned long i = 0;; i += 4096) {
		if (how == 1)
			(void)syscall(SYS_getppid);
		else if (how == 2)
			((volatile char *)memory)[i % sizeof memory] += 1;
		turn++;
	}
}

static int kill_child[2];

static void killer(void)
{
	for (pid_t pid; read(kill_child[0], &pid, sizeof pid) == sizeof pid;) {
		usleep(1000);
		CHECK(kill(pid, SIGKILL) == 0);
	}
	_exit(0);
}

static void children(void)
{
	CHECK(pipe(kill_child) == 0);
	pid_t other = fork();
	CHECK(other >= 0);
	if (other == 0) {
		close(kill_child[1]);
		killer();
	}
	int status;
	for (int i = 0; i < CHILDREN; i++) {
		pid_t pid = vfork();
		CHECK(pid >= 0);
		if (pid == 0) {
			pid_t self = getpid();
			CHECK(write(kill_child[1], &self, sizeof self) == sizeof self);
			endless(i % 3);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		/* The next one finds nothing of it. */
		pid = vfork();
		CHECK(pid >= 0);
		if (pid == 0) {
			volatile double d = 1.5;
			for (int k = 0; k < 4; k++)
				d *= 2;
			_exit(d == 24 ? 7 : 8);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 7 << 8);
	}
	close(kill_child[1]);
	CHECK(waitpid(other, &status, 0) == other && status == 0);
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	CHECK(pipe(go) == 0);
	if (!strcmp(argv[1], "threads")) {
		threads();
		threads();
	} else
		children();
	return 0;
}
