/*
 * A process that gets its own root for another one, or may not, again and again, with children,
 * threads and programs that go on as if nothing were.
 *
 * usage: id_root [NUMBER]
 */
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

static void *opens(void *unused)
{
	for (int i = 0; i < 50; i++) {
		int fd = open("/etc/passwd", O_RDONLY);
		CHECK(fd >= 0 && close(fd) == 0 && open("/etc/none", O_RDONLY) == -1 && errno == ENOENT);
		CHECK((fd = open("/proc/self/stat", O_RDONLY)) >= 0 && close(fd) == 0);
	}
	return unused;
}

static void with_thread(void)
{
	pthread_t t;
	CHECK(pthread_create(&t, NULL, opens, NULL) == 0);
	opens(NULL);
	CHECK(pthread_join(t, NULL) == 0);
}

int main(int argc, char **argv)
{
	char exe[200], number[] = "0";
	int status, depth = argc > 1 ? atoi(argv[1]) : 3;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	CHECK(n > 0);
	exe[n] = 0;
	with_thread();
	for (int i = 0; i < 2; i++) {
		CHECK(chroot("/") == 0 || errno == EPERM);
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			CHECK(chroot("/") == 0 || errno == EPERM);
			with_thread();
			number[0] = (char)('0' + depth - 1);
			if (depth > 0)
				execl(exe, exe, number, (char *)NULL);
			_exit(depth > 0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	if (argc == 1)
		ok("id_root");
	return 0;
}
