/* SIGPIPE: death by default, a handler, ignored, and the flag that avoids it. */
#include "check.h"
#include <sys/socket.h>

static volatile sig_atomic_t hits;

static void handler(int sig)
{
	UNUSED(sig);
	hits++;
}

int main(void)
{
	begin();
	int p[2], s[2];
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(close(p[0]) == 0 && close(s[1]) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(write(p[1], "x", 1) == -2);
		_exit(0);
	}
	reap_signal(child, SIGPIPE);
	ok("default");

	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
	CHECK(sigaction(SIGPIPE, &sa, NULL) == 0);
	CHECK_ERR(write(p[1], "x", 1), EPIPE);
	CHECK(hits == 1);
	CHECK_ERR(send(s[0], "x", 1, 0), EPIPE);
	CHECK(hits == 2);
	CHECK_ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK(hits == 2);
	ok("handler");

	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(write(p[1], "x", 1), EPIPE);
	CHECK(hits == 2);
	ok("ignored");

	/* A writer whose reader goes away in the middle, as in `yes | head`. */
	signal(SIGPIPE, SIG_DFL);
	CHECK(pipe(p) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		close(p[0]);
		for (;;)
			if (write(p[1], "y\n", 2) != 2)
				_exit(1);
	}
	CHECK(close(p[1]) == 0);
	char buf[100];
	CHECK(read_all(p[0], buf, sizeof buf) == sizeof buf && close(p[0]) == 0);
	reap_signal(child, SIGPIPE);
	ok("reader gone");
	return 0;
}
