/*
 * A process that has all the descriptors that it may have has children and threads all the same, which
 * execute programs and end.
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void *thread(void *unused)
{
	CHECK(getppid() > 0 && open("/", O_RDONLY) == -1 && errno == EMFILE);
	return unused;
}

static void child(int first)
{
	pthread_t t;
	CHECK(pthread_create(&t, NULL, thread, NULL) == 0 && pthread_join(t, NULL) == 0);
	for (int fd = first; fd < first + 5; fd++)
		CHECK(close(fd) == 0);
	execl("/bin/true", "true", (char *)NULL);
	_exit(1);
}

int main(void)
{
	struct rlimit l;
	int first, fd, last = -1, status;
	begin();
	CHECK(getrlimit(RLIMIT_NOFILE, &l) == 0);
	l.rlim_cur = l.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &l) == 0 && getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur == l.rlim_max);
	CHECK((first = dup(0)) >= 0);
	while ((fd = dup(0)) >= 0)
		last = fd;
	CHECK(errno == EMFILE && last > first + 50);
	for (int i = 0; i < 3; i++) {
		pid_t pid = i < 2 ? fork() : vfork();
		CHECK(pid >= 0);
		if (pid == 0 && i < 2)
			child(first);
		if (pid == 0)
			_exit(0);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
		/* The table stays as full as it is. */
		l.rlim_cur = 20;
		CHECK(setrlimit(RLIMIT_NOFILE, &l) == 0);
	}
	ok("full_table");
	return 0;
}
