/* More children than any predecessor could count: 150 one by one, 25 at once, a deep chain. */
#include "check.h"

static int depth(int left)
{
	if (left == 0)
		return 0;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(depth(left - 1) + 1);
	int status = reap(child);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

int main(void)
{
	begin();
	for (int i = 0; i < 150; i++) {
		pid_t child = fork();
		CHECK(child > 0 || child == 0);
		if (child == 0)
			_exit(i);
		reap_exit(child, i);
	}
	ok("150 one by one");

	int gate[2], up[2];
	CHECK(pipe(gate) == 0 && pipe(up) == 0);
	pid_t pids[25];
	for (int i = 0; i < 25; i++) {
		pids[i] = fork();
		CHECK(pids[i] >= 0);
		if (pids[i] == 0) {
			char c;
			close(gate[1]);
			CHECK(read(gate[0], &c, 1) == 0);
			pid_t self = getpid();
			CHECK(write(up[1], &self, sizeof self) == sizeof self);
			_exit(100 + i);
		}
		for (int j = 0; j < i; j++)
			CHECK(pids[i] != pids[j]);
	}
	CHECK(close(gate[1]) == 0 && close(up[1]) == 0);
	char seen[25] = {0};
	for (int n = 0; n < 25; n++) {
		pid_t from;
		CHECK(read_all(up[0], &from, sizeof from) == sizeof from);
		for (int i = 0; i < 25; i++)
			if (pids[i] == from)
				seen[i]++;
	}
	for (int i = 24; i >= 0; i--) {
		CHECK(seen[i] == 1);
		reap_exit(pids[i], 100 + i);
	}
	ok("25 at once");

	CHECK(depth(12) == 11 + 1);
	ok("a chain of 12");
	return 0;
}
