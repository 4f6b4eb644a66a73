/* A read of an empty pipe and SIGCHLD: EINTR without SA_RESTART, restarted with it. */
#include "check.h"

static volatile sig_atomic_t hits;

static void handler(int sig)
{
	UNUSED(sig);
	hits++;
}

/* Starts a child that, once its parent sleeps in the kernel, writes n bytes and exits. */
static pid_t child_after_sleep(int fd, int n)
{
	pid_t self = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		wait_until_blocked(self);
		CHECK(n == 0 || write(fd, "data", (size_t)n) == n);
		_exit(0);
	}
	return child;
}

int main(void)
{
	begin();
	int p[2];
	char buf[8];
	CHECK(pipe(p) == 0);
	struct sigaction sa = {.sa_handler = handler};
	CHECK(sigaction(SIGCHLD, &sa, NULL) == 0);
	pid_t child = child_after_sleep(p[1], 0);
	CHECK_ERR(read(p[0], buf, sizeof buf), EINTR);
	CHECK(hits == 1);
	reap_exit(child, 0);
	ok("EINTR");

	sa.sa_flags = SA_RESTART;
	CHECK(sigaction(SIGCHLD, &sa, NULL) == 0);
	hits = 0;
	/* The first child's end interrupts; the second writes once it saw that. */
	child = child_after_sleep(p[1], 0);
	pid_t self = getpid(), second = fork();
	CHECK(second >= 0);
	if (second == 0) {
		char path[64], state[1024];
		snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
		for (;;) {
			size_t n = get_file(path, state, sizeof state - 1);
			state[n] = 0;
			if (strrchr(state, ')')[2] == 'Z')
				break;
			sleep_ms(5);
		}
		wait_until_blocked(self);
		CHECK(write(p[1], "data", 4) == 4);
		_exit(0);
	}
	CHECK(read(p[0], buf, sizeof buf) == 4);
	CHECK(hits >= 1);
	reap_exit(child, 0);
	reap_exit(second, 0);
	ok("SA_RESTART");

	/* waitpid of one child is not ended by another's SIGCHLD if it restarts. */
	hits = 0;
	child = child_after_sleep(p[1], 0);
	second = fork();
	CHECK(second >= 0);
	if (second == 0) {
		CHECK(read(p[0], buf, 1) == 1);
		_exit(4);
	}
	pid_t third = fork();
	CHECK(third >= 0);
	if (third == 0) {
		wait_until_blocked(self);
		sleep_ms(50);
		CHECK(write(p[1], "z", 1) == 1);
		_exit(0);
	}
	reap_exit(second, 4);
	reap_exit(child, 0);
	reap_exit(third, 0);
	ok("waitpid");
	return 0;
}
