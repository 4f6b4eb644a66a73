/*
 * A robust mutex in memory that processes share: its owner is killed while others wait for
 * it, by one of them, which shares the memory, and by a process that does not; or it is a
 * thread that ends, and its process lives on; or its process executes a program. The first of those that wait is told, and what
 * each finds is the same in all variants.
 */
#include "check.h"
#include <pthread.h>
#include <sched.h>

enum { HEIRS = 2, ROUNDS = 12 };

struct shared {
	pthread_mutex_t mutex, other;
	volatile int waiting;
	int order, dead;
};

static struct shared *s;

/* Kills whom it reads of, so that it need not share memory to know of them. */
static pid_t killer(int victims[2])
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		pid_t victim;
		CHECK(close(victims[1]) == 0);
		while (read(victims[0], &victim, sizeof victim) == sizeof victim)
			CHECK(kill(victim, SIGKILL) == 0);
		_exit(0);
	}
	return pid;
}

static void inherit(int id)
{
	/* The C library may tell the kernel of its list with the first such mutex only. */
	CHECK(pthread_mutex_lock(&s->other) == 0 && pthread_mutex_unlock(&s->other) == 0);
	/* Where threads take turns, who sees this finds the process at the call in which it waits. */
	s->waiting++;
	int e = pthread_mutex_lock(&s->mutex);
	CHECK(e == 0 || e == EOWNERDEAD);
	if (e == EOWNERDEAD) {
		s->dead++;
		CHECK(pthread_mutex_consistent(&s->mutex) == 0);
	}
	s->order = s->order * 8 + id + 1;
	/* What it has come to is compared here. */
	CHECK(lseek(-1, (off_t)s->order, SEEK_SET) == -1);
	CHECK(pthread_mutex_unlock(&s->mutex) == 0);
	_exit(0);
}

/* What an owner says, and what it is told when it is to end. */
static int ready[2], go[2];

/* This program. */
static const char *self;

/* How one owner ends: by this process, by the one that reads of it, as a thread, by an exec
 * of its own and by another thread's. */
enum end { THIS, OTHER, THREAD, EXEC, EXEC_OF_OTHER };

/* What it executes ends at once. */
static void leave(void)
{
	execl(self, self, "--gone", (char *)NULL);
	CHECK(!"executed");
}

static void *own(void *arg)
{
	char c;
	CHECK(pthread_mutex_lock(&s->mutex) == 0);
	CHECK(write(ready[1], "o", 1) == 1);
	enum end how = (enum end)(intptr_t)arg;
	if (how == EXEC_OF_OTHER)
		for (;;)
			pause();
	CHECK(read(go[0], &c, 1) == 1);
	if (how != THREAD)
		leave();
	return NULL;
}

static void end(enum end how, int victims)
{
	char c;
	pid_t owner, heir[HEIRS];
	s->waiting = s->order = s->dead = 0;
	CHECK(pipe(ready) == 0 && pipe(go) == 0);
	owner = fork();
	CHECK(owner >= 0);
	if (owner == 0) {
		pthread_t thread;
		CHECK(close(go[1]) == 0);
		void *arg = (void *)(intptr_t)how;
		if (how < THREAD || how == EXEC)
			own(arg);
		CHECK(pthread_create(&thread, NULL, own, arg) == 0);
		if (how == EXEC_OF_OTHER) {
			CHECK(read(go[0], &c, 1) == 1);
			leave();
		}
		CHECK(pthread_join(thread, NULL) == 0);
		/* Until its parent is done. */
		CHECK(read(go[0], &c, 1) == 0);
		_exit(0);
	}
	CHECK(read(ready[0], &c, 1) == 1);
	for (int i = 0; i < HEIRS; i++) {
		heir[i] = fork();
		CHECK(heir[i] >= 0);
		if (heir[i] == 0)
			inherit(i);
		while (s->waiting <= i)
			sched_yield();
	}
	switch (how) {
	case THIS:
		CHECK(kill(owner, SIGKILL) == 0);
		break;
	case OTHER:
		CHECK(write(victims, &owner, sizeof owner) == sizeof owner);
		break;
	default:
		CHECK(write(go[1], "g", 1) == 1);
	}
	for (int i = 0; i < HEIRS; i++)
		CHECK(reap(heir[i]) == 0);
	CHECK(close(go[0]) == 0 && close(go[1]) == 0);
	if (how == THIS || how == OTHER)
		reap_signal(owner, SIGKILL);
	else
		CHECK(reap(owner) == 0);
	CHECK(s->dead == 1 && (s->order == 8 + 2 || s->order == 2 * 8 + 1));
	CHECK(close(ready[0]) == 0 && close(ready[1]) == 0);
}

int main(int argc, char **argv)
{
	int victims[2];
	self = argv[0];
	if (argc > 1 && strcmp(argv[1], "--gone") == 0)
		return 0;
	begin();
	CHECK(pipe(victims) == 0);
	pid_t outsider = killer(victims);
	s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(s != MAP_FAILED);
	pthread_mutexattr_t a;
	CHECK(pthread_mutexattr_init(&a) == 0);
	CHECK(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) == 0);
	CHECK(pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutex_init(&s->mutex, &a) == 0 && pthread_mutex_init(&s->other, &a) == 0);
	for (int i = 0; i < ROUNDS; i++)
		end(THIS, -1);
	ok("killed by one that shares it");
	for (int i = 0; i < ROUNDS; i++)
		end(OTHER, victims[1]);
	ok("killed by another");
	for (int i = 0; i < ROUNDS; i++)
		end(THREAD, -1);
	ok("left by a thread");
	for (int i = 0; i < ROUNDS / 3; i++) {
		end(EXEC, -1);
		end(EXEC_OF_OTHER, -1);
	}
	ok("left by an exec");
	CHECK(close(victims[0]) == 0 && close(victims[1]) == 0);
	/* The owners and heirs are gone, so nobody else has the other end. */
	CHECK(reap(outsider) == 0);
	return 0;
}
