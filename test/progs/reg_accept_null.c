/* accept without an address, recvfrom with one, without, and with a short one; lengths of addresses
 * that cannot be written. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int bound(int type, struct sockaddr_in *a)
{
	int fd = socket(AF_INET, type, 0);
	CHECK(fd >= 0);
	memset(a, 0, sizeof *a);
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(fd, (struct sockaddr *)a, sizeof *a) == 0);
	socklen_t len = sizeof *a;
	CHECK(getsockname(fd, (struct sockaddr *)a, &len) == 0 && len == sizeof *a);
	return fd;
}

static void accepts(void)
{
	struct sockaddr_in a;
	int listener = bound(SOCK_STREAM, &a);
	CHECK(listen(listener, 4) == 0);
	for (int i = 0; i < 3; i++) {
		int c = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(connect(c, (struct sockaddr *)&a, sizeof a) == 0);
		int s;
		struct sockaddr_in peer;
		char small[4];
		socklen_t len;
		switch (i) {
		case 0:
			s = accept(listener, NULL, NULL);
			break;
		case 1:
			s = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			CHECK((fcntl(s, F_GETFD) & FD_CLOEXEC) && (fcntl(s, F_GETFL) & O_NONBLOCK));
			break;
		default:
			/* A short address is cut, its full length reported. */
			len = sizeof small;
			s = accept(listener, (struct sockaddr *)small, &len);
			CHECK(len == sizeof peer);
			memcpy(&peer, small, sizeof small);
			CHECK(peer.sin_family == AF_INET);
		}
		CHECK(s == c + 1);
		CHECK(write(c, "x", 1) == 1);
		CHECK(close(c) == 0);
		CHECK(close(s) == 0);
	}
	CHECK(close(listener) == 0);
	ok("accept");
}

static void receives(void)
{
	struct sockaddr_in a, b, from;
	int s = bound(SOCK_DGRAM, &a), c = bound(SOCK_DGRAM, &b);
	char buf[64];
	socklen_t len = sizeof from;

	CHECK(sendto(c, "hello", 5, 0, (struct sockaddr *)&a, sizeof a) == 5);
	memset(buf, '.', sizeof buf);
	CHECK(recvfrom(s, buf, sizeof buf, 0, (struct sockaddr *)&from, &len) == 5);
	CHECK(memcmp(buf, "hello.", 6) == 0);
	CHECK(len == sizeof from && from.sin_port == b.sin_port);

	CHECK(sendto(c, "again", 5, 0, (struct sockaddr *)&a, sizeof a) == 5);
	CHECK(recvfrom(s, buf, sizeof buf, 0, NULL, NULL) == 5);

	CHECK(sendto(c, "short", 5, 0, (struct sockaddr *)&a, sizeof a) == 5);
	memset(&from, 0x55, sizeof from);
	len = 2;
	CHECK(recvfrom(s, buf, 3, MSG_TRUNC, (struct sockaddr *)&from, &len) == 5);
	CHECK(len == sizeof from && from.sin_family == AF_INET && from.sin_port == 0x5555);

	CHECK(sendto(c, NULL, 0, 0, (struct sockaddr *)&a, sizeof a) == 0);
	len = sizeof from;
	CHECK(recvfrom(s, buf, sizeof buf, 0, (struct sockaddr *)&from, &len) == 0);
	CHECK_ERR(recvfrom(s, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&from, &len), EAGAIN);
	ok("recvfrom");
}

/* A peer whose address has nowhere to go is lost, and its descriptor with it. Where there is no
 * address the length of it does not matter. */
static void constants(void)
{
	struct sockaddr_in a, b, from;
	int listener = bound(SOCK_STREAM, &a), s = bound(SOCK_DGRAM, &b), c = socket(AF_INET, SOCK_DGRAM, 0);
	char buf[8];
	socklen_t *len = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(len != MAP_FAILED && listen(listener, 4) == 0);
	*len = sizeof from;
	CHECK(mprotect(len, PAGE, PROT_READ) == 0);
	for (int i = 0; i < 3; i++) {
		int peer = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(connect(peer, (struct sockaddr *)&a, sizeof a) == 0);
		CHECK_ERR(accept(listener, (struct sockaddr *)&from, len), EFAULT);
		int next = dup(peer);
		CHECK(next == peer + 1 && close(next) == 0);
		CHECK(read(peer, buf, 1) <= 0 && close(peer) == 0);
		peer = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(connect(peer, (struct sockaddr *)&a, sizeof a) == 0);
		int got = accept(listener, NULL, len);
		CHECK(got == peer + 1 && close(got) == 0 && close(peer) == 0);
		CHECK(sendto(c, "hello", 5, 0, (struct sockaddr *)&b, sizeof b) == 5);
		CHECK(recvfrom(s, buf, sizeof buf, 0, NULL, len) == 5);
		CHECK_ERR(getsockname(s, NULL, len), EFAULT);
	}
	CHECK(close(listener) == 0 && close(s) == 0 && close(c) == 0 && munmap(len, PAGE) == 0);
	ok("constants");
}

int main(void)
{
	begin();
	for (int i = 0; i < 2; i++) {
		accepts();
		receives();
		constants();
		/* Then it may be others than the engine that make the calls. */
		for (int k = 0; k < 150; k++)
			umask(022);
	}
	return 0;
}
