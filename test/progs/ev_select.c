/* select and pselect over mixed descriptors, high numbers, masks. */
#include "check.h"
#include <sys/select.h>
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
	int file = open("file", O_RDWR | O_CREAT, 0644), high = dup2(p[0], 900);
	CHECK(high == 900);
	fd_set r, w;
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(p[0], &r);
	FD_SET(s[0], &r);
	FD_SET(file, &r);
	FD_SET(high, &r);
	FD_SET(p[1], &w);
	FD_SET(s[1], &w);
	FD_SET(file, &w);
	CHECK(select(901, &r, &w, NULL, NULL) == 4);
	CHECK(FD_ISSET(file, &r) && FD_ISSET(p[1], &w) && FD_ISSET(s[1], &w) && FD_ISSET(file, &w));
	CHECK(!FD_ISSET(p[0], &r) && !FD_ISSET(high, &r) && !FD_ISSET(s[0], &r));

	CHECK(write(p[1], "x", 1) == 1);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	FD_SET(high, &r);
	CHECK(select(901, &r, NULL, NULL, NULL) == 2);
	CHECK(FD_ISSET(p[0], &r) && FD_ISSET(high, &r));
	CHECK(select(0, NULL, NULL, NULL, &(struct timeval){0, 1000}) == 0);
	ok("select");

	struct sigaction sa = {.sa_handler = handler};
	CHECK(sigaction(SIGUSR2, &sa, NULL) == 0);
	sigset_t block, none;
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR2);
	CHECK(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
	CHECK(raise(SIGUSR2) == 0 && hits == 0);
	char c;
	CHECK(read(p[0], &c, 1) == 1);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	CHECK_ERR(pselect(p[0] + 1, &r, NULL, NULL, NULL, &none), EINTR);
	CHECK(hits == 1);
	struct timespec ts = {0, 2000000};
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	CHECK(pselect(p[0] + 1, &r, NULL, NULL, &ts, &none) == 0 && !FD_ISSET(p[0], &r));
	ok("pselect");

	pid_t self = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		wait_until_blocked(self);
		CHECK(write(s[1], "y", 1) == 1);
		_exit(0);
	}
	FD_ZERO(&r);
	FD_SET(s[0], &r);
	FD_SET(p[0], &r);
	CHECK(select(901, &r, NULL, NULL, NULL) == 1 && FD_ISSET(s[0], &r) && !FD_ISSET(p[0], &r));
	reap_exit(child, 0);
	ok("woken by a child");
	return 0;
}
