/*
 * Processes that close files of a file system which does not answer, until their parent
 * makes it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(c) do { if (!(c)) { \
	fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #c, errno); exit(1); } } while (0)

static char name[4096];
static const char *dir;

static const char *in_dir(const char *file)
{
	snprintf(name, sizeof name, "%s/%s", dir, file);
	return name;
}

static void *sleeper(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* The ways to close a file. None comes back before the file system answers. */
static void closes(int how)
{
	pthread_t t;
	int fd;

	if (how == 5) {
		execl(in_dir("program"), "program", (char *)NULL);
		CHECK(0);
	}
	if (how == 4)
		CHECK(pthread_create(&t, NULL, sleeper, NULL) == 0);
	CHECK((fd = open(in_dir("file"), O_RDONLY)) >= 0);
	switch (how) {
	case 0:
		close(fd);
		break;
	case 1:
		CHECK(dup2(0, fd) == fd);
		break;
	case 2:
		CHECK(syscall(SYS_close_range, fd, ~0U, 0) == 0);
		break;
	case 3: /* its end closes it */
		break;
	case 4: /* the open has closed another descriptor */
		close(fd);
		break;
	case 6:
		raise(SIGKILL);
	}
	_exit(7);
}

int main(int argc, char **argv)
{
	enum { WAYS = 7 };
	pid_t pids[WAYS];
	int status;

	if (argc < 2)
		return 7;
	dir = argv[1];
	for (int how = 0; how < WAYS; how++) {
		CHECK(access(in_dir("mark"), F_OK) == -1 && errno == ENOENT);
		CHECK((pids[how] = fork()) >= 0);
		if (pids[how] == 0)
			closes(how);
		while (access(in_dir("more"), F_OK) == -1) {
			CHECK(errno == ENOENT);
			usleep(1000);
		}
		/* A process that is made, and ends. */
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0)
			_exit(3);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 3);
	}
	CHECK(access(in_dir("answer"), F_OK) == -1 && errno == ENOENT);
	for (int how = 0; how < WAYS; how++) {
		CHECK(waitpid(pids[how], &status, 0) == pids[how]);
		if (how == 6)
			CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		else
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	return 0;
}
