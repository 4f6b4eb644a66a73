/*
 * Children that are killed and stopped whenever it suits least, and clones that
 * make no sense.
 */
#include "hostile.h"
#include <sched.h>

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000
#endif

static unsigned seed = 12345;
static unsigned next(unsigned below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % below;
}

static void busy(unsigned how)
{
	char buf[64];
	int fds[2];
	for (unsigned i = 0;; i++)
		switch (how % 6) {
		case 0:
			getppid();
			break;
		case 1: {
			char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			*p = 1;
			munmap(p, PAGE);
			break;
		}
		case 2:
			if (pipe(fds) == 0) {
				if (write(fds[1], buf, 1) == 1 && read(fds[0], buf, 1) == 1)
					close(fds[0]);
				close(fds[0]);
				close(fds[1]);
			}
			break;
		case 3: {
			pid_t pid = fork();
			if (pid == 0)
				_exit(0);
			if (pid > 0)
				waitpid(pid, NULL, 0);
			break;
		}
		case 4: {
			int fd = open("/proc/self/exe", O_RDONLY);
			char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
			if (p != MAP_FAILED)
				munmap(p, PAGE);
			close(fd);
			break;
		}
		case 5:
			if (i == 3) {
				char *argv[] = {"sleep", "100", NULL};
				execv("/bin/sleep", argv);
			}
		}
}

static int killed(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			busy((unsigned)i);
		unsigned us = next(3000);
		if (i % 3 != 0)
			usleep(us);
		if (i % 4 == 0) {
			CHECK(kill(pid, SIGSTOP) == 0);
			if (i % 8 == 0)
				CHECK(kill(pid, SIGCONT) == 0);
		}
		CHECK(kill(pid, SIGKILL) == 0);
		reap_signal(pid, SIGKILL);
	}
	return 0;
}

static int own_end(int sig)
{
	/* A real-time signal needs room among those that its user has queued. */
	if (raise(sig) != 0)
		return errno;
	return 77;
}

static int stops(void)
{
	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			raise(SIGSTOP);
			_exit(4);
		}
		int status;
		CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
		CHECK(kill(pid, i % 2 ? SIGKILL : SIGCONT) == 0);
		if (i % 2)
			reap_signal(pid, SIGKILL);
		else
			reap_exit(pid, 4);
	}
	return 0;
}

static long clone_flags(unsigned long flags)
{
	pid_t tid = 0;
	long pid = raw6(SYS_clone, (long)flags, 0, (long)&tid, (long)&tid, 0, 0);
	if (pid == 0)
		raw3(SYS_exit_group, 3, 0, 0);
	if (pid > 0) {
		int status;
		CHECK(raw6(SYS_wait4, pid, (long)&status, 0x40000000, 0, 0, 0) == pid && WEXITSTATUS(status) == 3);
		return 0;
	}
	return pid;
}

static int clones(void)
{
	static const unsigned long invalid[] = {
		CLONE_SIGHAND, CLONE_THREAD, CLONE_THREAD | CLONE_SIGHAND, CLONE_THREAD | CLONE_VM,
		CLONE_FS | CLONE_NEWNS, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD,
	};
	for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
		CHECK(clone_flags(invalid[i]) == -EINVAL);
	CHECK(clone_flags(SIGCHLD) == 0);
	CHECK(clone_flags(SIGUSR1 & 0) == 0);
	CHECK(clone_flags(CLONE_FILES | CLONE_FS | SIGCHLD) == 0);
	CHECK(clone_flags(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID | SIGCHLD) == 0);
	CHECK(clone_flags(CLONE_VFORK | SIGCHLD) == 0);
	CHECK(clone_flags(255) == 0 || errno);
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		struct { unsigned long word[11]; } args = {{0}};
		raw3(SYS_clone3, bad_pointers[i], 88, 0);
		raw3(SYS_clone3, &args, bad_pointers[i], 0);
		args.word[0] = bad_pointers[i] | 1;
		CHECK(raw3(SYS_clone3, &args, sizeof args, 0) < 0);
		args.word[0] = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
		args.word[2] = args.word[3] = bad_pointers[i];
		args.word[4] = SIGCHLD;
		long pid = raw3(SYS_clone3, &args, sizeof args, 0);
		if (pid == 0)
			raw3(SYS_exit_group, 2, 0, 0);
		if (pid > 0)
			reap_exit((pid_t)pid, 2);
		/* No set of thread ids, no cgroup. */
		args.word[9] = 1000;
		CHECK(raw3(SYS_clone3, &args, sizeof args, 0) < 0);
	}
	return 0;
}

/* Makes a child of the caller's parent, which ends with a status or waits to be
 * killed. */
static long sister(int status)
{
	long pid = raw6(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		while (status < 0)
			raw3(SYS_pause, 0, 0, 0);
		raw3(SYS_exit_group, status, 0, 0);
	}
	CHECK(pid > 0);
	CHECK(waitpid((pid_t)pid, NULL, 0) == -1 && errno == ECHILD);
	return pid;
}

static int sisters(void)
{
	for (int i = 0; i < 30; i++) {
		pid_t maker = fork();
		CHECK(maker >= 0);
		if (maker == 0) {
			long pid = sister(i % 2 ? 3 : -1);
			if (i % 2 == 0)
				CHECK(kill((pid_t)pid, SIGKILL) == 0);
			_exit(1);
		}
		for (int n = 0; n < 2; n++) {
			int status;
			pid_t pid = wait(&status);
			CHECK(pid > 0);
			if (pid == maker)
				CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
			else if (i % 2)
				CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
			else
				CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		}
		CHECK(wait(NULL) == -1 && errno == ECHILD);
	}
	return 0;
}

static volatile int depth;
static void forks(int n)
{
	UNUSED(n);
	pid_t pid = fork();
	if (pid == 0)
		_exit(depth);
	depth++;
	reap_exit(pid, depth - 1);
}

static int in_handlers(void)
{
	struct sigaction a = {.sa_handler = forks, .sa_flags = SA_NODEFER};
	CHECK(sigaction(SIGUSR1, &a, NULL) == 0 && sigaction(SIGALRM, &a, NULL) == 0);
	for (int i = 0; i < 20; i++)
		raise(SIGUSR1);
	CHECK(depth == 20);
	return 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHILD("killed", killed(200));
	CHILD("stops", stops());
	for (int sig = 1; sig <= 64; sig++)
		if (sig < 18 || sig > 22)
			CHILD("own end", own_end(sig));
	CHILD("clones", clones());
	CHILD("forks in handlers", in_handlers());
	CHILD("sisters", sisters());
	/* The parent's parent is no part of the program. */
	sister(0);
	kill((pid_t)sister(-1), SIGKILL);
	/* Nobody asks for these any more. */
	pid_t left[6];
	for (int i = 0; i < 6; i++) {
		left[i] = fork();
		CHECK(left[i] >= 0);
		if (left[i] == 0) {
			if (i % 2)
				raise(SIGSTOP);
			for (;;)
				pause();
		}
	}
	for (int i = 0; i < 6; i++)
		CHECK(kill(left[i], SIGKILL) == 0);
	return sting();
}
