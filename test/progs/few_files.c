/*
 * A process that gives up for ever to have another descriptor, as those do that shut themselves
 * in, and goes on to make calls, alone and with threads.
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { OFTEN = 400 };

static int to[2];

static void calls(void)
{
	char c;
	for (int i = 0; i < OFTEN; i++) {
		CHECK(getppid() > 0 && write(to[1], "x", 1) == 1 && read(to[0], &c, 1) == 1 && c == 'x');
		CHECK(open("/etc/passwd", O_RDONLY) == -1 && errno == EMFILE);
		CHECK(open("/proc/self/maps", O_RDONLY) == -1 && errno == EMFILE);
		CHECK(open("/etc/none", O_RDONLY) == -1 && errno == EMFILE);
	}
}

static void *thread(void *unused)
{
	calls();
	return unused;
}

int main(void)
{
	CHECK(pipe(to) == 0);
	for (int most = 0; most < 2; most++) {
		pid_t pid = fork();
		int status;
		CHECK(pid >= 0);
		if (pid == 0) {
			struct rlimit l = {(rlim_t)most, (rlim_t)most};
			pthread_t t;
			CHECK(setrlimit(RLIMIT_NOFILE, &l) == 0);
			calls();
			CHECK(pthread_create(&t, NULL, thread, NULL) == 0);
			CHECK(pthread_join(t, NULL) == 0);
			_exit(7);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	ok("few_files");
	return 0;
}
