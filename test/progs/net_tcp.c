/* TCP on the loopback: names, options, non-blocking connect, shutdown, refusal, volume. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

static int listening(struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	CHECK(fd >= 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
	memset(a, 0, sizeof *a);
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(fd, (struct sockaddr *)a, sizeof *a) == 0);
	CHECK(listen(fd, 8) == 0);
	socklen_t len = sizeof *a;
	CHECK(getsockname(fd, (struct sockaddr *)a, &len) == 0 && len == sizeof *a && a->sin_port != 0);
	return fd;
}

static void names_and_options(int listener, struct sockaddr_in *a)
{
	int c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(c, (struct sockaddr *)a, sizeof *a) == 0);
	struct sockaddr_in peer, own;
	socklen_t len = sizeof peer;
	int s = accept(listener, (struct sockaddr *)&peer, &len);
	CHECK(s == c + 1 && len == sizeof peer);
	CHECK(getsockname(c, (struct sockaddr *)&own, &len) == 0 && own.sin_port == peer.sin_port);
	CHECK(getpeername(c, (struct sockaddr *)&own, &len) == 0 && own.sin_port == a->sin_port);
	int v = 1;
	len = sizeof v;
	CHECK(setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &v, sizeof v) == 0);
	v = 0;
	CHECK(getsockopt(c, IPPROTO_TCP, TCP_NODELAY, &v, &len) == 0 && v == 1);
	v = 1;
	CHECK(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof v) == 0);
	CHECK(getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &v, &len) == 0 && v == 1);
	struct linger l = {1, 3}, got;
	len = sizeof got;
	CHECK(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0);
	CHECK(getsockopt(s, SOL_SOCKET, SO_LINGER, &got, &len) == 0 && got.l_onoff == 1 && got.l_linger == 3);
	char small[2];
	len = sizeof small;
	CHECK(getsockopt(s, SOL_SOCKET, SO_TYPE, small, &len) == 0 && len == 2 && small[0] == SOCK_STREAM);

	char buf[64];
	CHECK(send(c, "abc", 3, MSG_MORE) == 3 && send(c, "def", 3, 0) == 3);
	CHECK(recv(s, buf, 6, MSG_WAITALL) == 6 && memcmp(buf, "abcdef", 6) == 0);
	CHECK(send(s, "!", 1, MSG_OOB) == 1);
	CHECK(shutdown(s, SHUT_WR) == 0);
	struct pollfd pf = {c, POLLIN | POLLRDHUP, 0};
	CHECK(poll(&pf, 1, -1) == 1 && (pf.revents & POLLRDHUP));
	CHECK(close(s) == 0 && close(c) == 0);
	ok("names and options");
}

static void nonblocking(int listener, struct sockaddr_in *a)
{
	CHECK(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
	CHECK_ERR(accept(listener, NULL, NULL), EAGAIN);
	int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), err = -1;
	CHECK(connect(c, (struct sockaddr *)a, sizeof *a) == 0 || errno == EINPROGRESS);
	struct pollfd pf = {c, POLLOUT, 0};
	CHECK(poll(&pf, 1, -1) == 1 && pf.revents == POLLOUT);
	socklen_t len = sizeof err;
	CHECK(getsockopt(c, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == 0);
	/* A second connect learns of the first one's success, a third is refused. */
	CHECK(connect(c, (struct sockaddr *)a, sizeof *a) == 0 || errno == EISCONN);
	CHECK_ERR(connect(c, (struct sockaddr *)a, sizeof *a), EISCONN);
	pf = (struct pollfd){listener, POLLIN, 0};
	CHECK(poll(&pf, 1, -1) == 1 && pf.revents == POLLIN);
	int s = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	CHECK(s >= 0);
	char x;
	CHECK_ERR(recv(s, &x, 1, 0), EAGAIN);
	CHECK(close(s) == 0 && close(c) == 0);
	CHECK(fcntl(listener, F_SETFL, 0) == 0);
	ok("non-blocking");
}

static void volume(int listener, struct sockaddr_in *a)
{
	enum { SIZE = 3 << 20 };
	char *data = malloc(SIZE);
	CHECK(data != NULL);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int c = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(connect(c, (struct sockaddr *)a, sizeof *a) == 0);
		fill(data, SIZE, 11);
		write_all(c, data, SIZE);
		CHECK(shutdown(c, SHUT_WR) == 0);
		uint64_t sum;
		CHECK(read_all(c, &sum, sizeof sum) == sizeof sum && sum == checksum(data, SIZE));
		_exit(0);
	}
	int s = accept(listener, NULL, NULL);
	CHECK(read_all(s, data, SIZE) == SIZE);
	char x;
	CHECK(read(s, &x, 1) == 0);
	uint64_t sum = checksum(data, SIZE);
	write_all(s, &sum, sizeof sum);
	reap_exit(child, 0);
	CHECK(close(s) == 0);
	printf("3 MB %016llx\n", (unsigned long long)sum);
	free(data);
}

/* A server that forks for each client, as inetd did. */
static void forking(int listener, struct sockaddr_in *a)
{
	pid_t clients[5], servers[5];
	for (int i = 0; i < 5; i++) {
		clients[i] = fork();
		CHECK(clients[i] >= 0);
		if (clients[i] == 0) {
			int c = socket(AF_INET, SOCK_STREAM, 0);
			CHECK(connect(c, (struct sockaddr *)a, sizeof *a) == 0);
			int v = i;
			write_all(c, &v, sizeof v);
			CHECK(read_all(c, &v, sizeof v) == sizeof v && v == i * i);
			_exit(i);
		}
	}
	for (int i = 0; i < 5; i++) {
		int s = accept(listener, NULL, NULL);
		CHECK(s >= 0);
		servers[i] = fork();
		CHECK(servers[i] >= 0);
		if (servers[i] == 0) {
			int v;
			CHECK(read_all(s, &v, sizeof v) == sizeof v);
			v *= v;
			write_all(s, &v, sizeof v);
			_exit(0);
		}
		CHECK(close(s) == 0);
	}
	for (int i = 0; i < 5; i++) {
		reap_exit(clients[i], i);
		reap_exit(servers[i], 0);
	}
	ok("five clients, five servers");
}

int main(void)
{
	begin();
	struct sockaddr_in a;
	int listener = listening(&a);
	names_and_options(listener, &a);
	nonblocking(listener, &a);
	volume(listener, &a);
	forking(listener, &a);
	struct sockaddr_in same = a;
	CHECK_ERR(bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&same, sizeof same), EADDRINUSE);
	CHECK(close(listener) == 0);
	CHECK_ERR(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a), ECONNREFUSED);
	ok("refused");
	return 0;
}
