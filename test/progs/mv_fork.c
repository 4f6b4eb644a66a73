/* MvArmor's fork: a pipe between parent and child, ids seen on both sides. */
#include "check.h"

int main(void)
{
	begin();
	int p[2];
	CHECK(pipe(p) == 0);
	pid_t parent = getpid();
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		char buf[8];
		close(p[1]);
		CHECK(read_all(p[0], buf, sizeof buf) == 4);
		CHECK(memcmp(buf, "foo", 4) == 0);
		CHECK(getppid() == parent);
		CHECK(getpid() != parent);
		puts("child: 0, foo");
		_exit(3);
	}
	close(p[0]);
	write_all(p[1], "foo", 4);
	close(p[1]);
	int status;
	pid_t got = wait(&status);
	CHECK(got == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	CHECK(getpid() == parent);
	puts("parent: child's id, 3");
	CHECK_ERR(wait(NULL), ECHILD);
	return 0;
}
