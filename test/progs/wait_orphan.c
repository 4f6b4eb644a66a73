/* Orphans: a grandchild whose parent ends first, and a child that outlives the program. */
#include "check.h"

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int up[2];
	CHECK(pipe(up) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		pid_t middle = getpid(), grandchild = fork();
		CHECK(grandchild >= 0);
		if (grandchild != 0)
			_exit(0);
		/* The reaper is not told from the middle process until that is gone. */
		while (getppid() == middle)
			sleep_ms(5);
		pid_t id = getpid();
		CHECK(write(up[1], &id, sizeof id) == sizeof id);
		_exit(0);
	}
	CHECK(close(up[1]) == 0);
	reap_exit(child, 0);
	pid_t grandchild;
	CHECK(read_all(up[0], &grandchild, sizeof grandchild) == sizeof grandchild);
	CHECK(grandchild != child && grandchild > 0);
	CHECK_ERR(waitpid(grandchild, NULL, 0), ECHILD);
	CHECK(read(up[0], &child, 1) == 0);
	ok("double fork");

	CHECK(pipe(up) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		char c;
		CHECK(close(up[1]) == 0);
		/* Ends when the last process that could write has ended. */
		CHECK(read(up[0], &c, 1) == 0);
		put_file("late", "written by the orphan\n", 22, 0644);
		ok("the orphan goes on");
		_exit(0);
	}
	ok("the program ends first");
	return 3;
}
