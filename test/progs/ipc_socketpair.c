/* Socket pairs of each type: boundaries, peeking, shutdown, options, non-blocking. */
#include "check.h"
#include <sys/ioctl.h>
#include <sys/socket.h>

static void stream(void)
{
	int s[2];
	char buf[64];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0);
	CHECK(s[0] == 3 && s[1] == 4 && fcntl(s[1], F_GETFD) == FD_CLOEXEC);
	CHECK(write(s[0], "hello", 5) == 5 && send(s[0], "world", 5, 0) == 5);
	CHECK(recv(s[1], buf, sizeof buf, MSG_PEEK) == 10);
	int n;
	CHECK(ioctl(s[1], FIONREAD, &n) == 0 && n == 10);
	CHECK(recv(s[1], buf, 3, 0) == 3 && memcmp(buf, "hel", 3) == 0);
	CHECK(read(s[1], buf, sizeof buf) == 7 && memcmp(buf, "loworld", 7) == 0);
	CHECK_ERR(recv(s[1], buf, 1, MSG_DONTWAIT), EAGAIN);
	CHECK(write(s[1], "back", 4) == 4 && read(s[0], buf, sizeof buf) == 4);
	CHECK(shutdown(s[0], SHUT_WR) == 0);
	CHECK(read(s[1], buf, 1) == 0);
	CHECK_ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK(write(s[1], "still", 5) == 5 && read(s[0], buf, sizeof buf) == 5);
	CHECK(close(s[1]) == 0);
	CHECK(read(s[0], buf, 1) == 0);
	CHECK(close(s[0]) == 0);
	ok("stream");
}

static void packets(int type, const char *name)
{
	int s[2];
	char buf[64];
	CHECK(socketpair(AF_UNIX, type, 0, s) == 0);
	CHECK(send(s[0], "one", 3, 0) == 3 && send(s[0], "", 0, 0) == 0 && send(s[0], "three", 5, 0) == 5);
	CHECK(recv(s[1], buf, sizeof buf, 0) == 3);
	CHECK(recv(s[1], buf, sizeof buf, 0) == 0);
	CHECK(recv(s[1], buf, 2, MSG_TRUNC) == 5 && memcmp(buf, "th", 2) == 0);
	CHECK_ERR(recv(s[1], buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
	int t = 0;
	socklen_t len = sizeof t;
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &t, &len) == 0 && t == type && len == sizeof t);
	CHECK(close(s[0]) == 0 && close(s[1]) == 0);
	ok(name);
}

int main(void)
{
	begin();
	stream();
	packets(SOCK_DGRAM, "datagram");
	packets(SOCK_SEQPACKET, "sequenced packets");

	int s[2], v = 0;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
	socklen_t len = sizeof v;
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_DOMAIN, &v, &len) == 0 && v == AF_UNIX);
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_ERROR, &v, &len) == 0 && v == 0);
	v = 100000;
	CHECK(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof v) == 0);
	CHECK(getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, &len) == 0);
	printf("send buffer %d\n", v);
	/* Fill it up: how much fits is the kernel's business, but the same for all. */
	char *block = calloc(1, 10000);
	long total = 0;
	ssize_t n;
	while ((n = write(s[0], block, 10000)) > 0)
		total += n;
	CHECK(errno == EAGAIN && total > 0);
	long got = 0;
	while ((n = read(s[1], block, 10000)) > 0)
		got += n;
	CHECK(errno == EAGAIN && got == total);
	printf("held %ld\n", total);

	struct timeval tv = {0, 20000};
	CHECK(fcntl(s[1], F_SETFL, 0) == 0);
	CHECK(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0);
	CHECK_ERR(read(s[1], block, 1), EAGAIN);
	ok("receive timeout");

	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(close(s[0]) == 0);
		CHECK(write(s[1], "child", 5) == 5);
		_exit(0);
	}
	CHECK(close(s[1]) == 0);
	reap_exit(child, 0);
	CHECK(read(s[0], block, 10) == 5 && read(s[0], block, 10) == 0);
	ok("with a child");
	return 0;
}
