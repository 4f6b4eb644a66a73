/* poll and ppoll: every kind of descriptor, ignored and bad ones, time out, masks. */
#include "check.h"
#include <poll.h>
#include <sys/socket.h>

static volatile sig_atomic_t hits;

static void handler(int sig)
{
	UNUSED(sig);
	hits++;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int p[2], s[2];
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	int file = open("file", O_RDWR | O_CREAT, 0644);

	struct pollfd pf[7] = {{p[0], POLLIN, 99}, {p[1], POLLOUT, 99}, {s[0], POLLIN | POLLOUT, 99}, {-1, POLLIN, 99},
			       {file, POLLIN | POLLOUT, 99}, {77, POLLIN, 99}, {s[1], 0, 99}};
	CHECK(poll(pf, 7, 1000) == 4);
	for (int i = 0; i < 7; i++)
		printf("%d: %x\n", i, pf[i].revents);
	CHECK(write(p[1], "x", 1) == 1);
	CHECK(poll(pf, 1, -1) == 1 && pf[0].revents == POLLIN);
	CHECK(close(p[1]) == 0);
	CHECK(poll(pf, 1, -1) == 1 && pf[0].revents == (POLLIN | POLLHUP));
	char c;
	CHECK(read(p[0], &c, 1) == 1);
	CHECK(poll(pf, 1, -1) == 1 && pf[0].revents == POLLHUP);
	CHECK(close(s[1]) == 0);
	CHECK(poll(pf + 2, 1, -1) == 1);
	printf("closed peer: %x\n", pf[2].revents);
	ok("kinds");

	CHECK(pipe(p) == 0);
	pf[0].fd = p[0];
	double t = now();
	CHECK(poll(pf, 1, 30) == 0 && pf[0].revents == 0);
	CHECK(now() - t >= 0.029);
	CHECK(poll(NULL, 0, 10) == 0);
	CHECK(poll(pf, 1, 0) == 0);
	ok("time out");

	pid_t self = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		wait_until_blocked(self);
		CHECK(write(p[1], "y", 1) == 1);
		_exit(0);
	}
	CHECK(poll(pf, 1, -1) == 1 && pf[0].revents == POLLIN);
	reap_exit(child, 0);
	struct timespec ts = {100, 0};
	CHECK(ppoll(pf, 1, &ts, NULL) == 1);
	ok("woken by a child");

	/* ppoll lets a blocked, pending signal in: handler runs, EINTR, mask restored. */
	struct sigaction sa = {.sa_handler = handler};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	sigset_t block, none, cur;
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
	CHECK(raise(SIGUSR1) == 0 && hits == 0);
	CHECK(read(p[0], &c, 1) == 1);
	CHECK_ERR(ppoll(pf, 1, NULL, &none), EINTR);
	CHECK(hits == 1);
	CHECK(sigprocmask(SIG_BLOCK, NULL, &cur) == 0 && sigismember(&cur, SIGUSR1) == 1);
	ts = (struct timespec){0, 1000000};
	CHECK(ppoll(pf, 1, &ts, &none) == 0);
	ts.tv_nsec = -1;
	CHECK_ERR(ppoll(pf, 1, &ts, NULL), EINVAL);
	ok("ppoll");

	static struct pollfd many[300];
	for (int i = 0; i < 300; i++)
		many[i] = (struct pollfd){i % 2 ? p[1] : -1, POLLOUT, 0};
	CHECK(poll(many, 300, -1) == 150);
	ok("many");
	return 0;
}
