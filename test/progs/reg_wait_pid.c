/* waitpid of one child by its id, in every order; wait gives fork's id. */
#include "check.h"

static pid_t child_exits(int code)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(code);
	return pid;
}

int main(void)
{
	begin();
	int status;
	pid_t one = child_exits(7);
	CHECK(waitpid(one, &status, 0) == one);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	ok("waitpid of a child");

	pid_t two = child_exits(8);
	CHECK(wait(&status) == two);
	CHECK(WEXITSTATUS(status) == 8);
	ok("wait gives fork's id");

	pid_t many[10];
	for (int i = 0; i < 10; i++)
		many[i] = child_exits(20 + i);
	for (int i = 9; i >= 0; i--) {
		CHECK(waitpid(many[i], &status, 0) == many[i]);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 20 + i);
	}
	ok("waitpid in reverse");

	int sum = 0;
	for (int i = 0; i < 10; i++)
		many[i] = child_exits(i);
	for (int i = 0; i < 10; i++) {
		pid_t got = wait(&status);
		CHECK(got > 0 && WIFEXITED(status));
		CHECK(many[WEXITSTATUS(status)] == got);
		sum += WEXITSTATUS(status);
	}
	CHECK(sum == 45);
	ok("wait in any order");

	CHECK_ERR(waitpid(one, &status, 0), ECHILD);
	CHECK_ERR(waitpid(getpid(), &status, 0), ECHILD);
	CHECK_ERR(wait(&status), ECHILD);
	ok("no child");
	return 0;
}
