/* Unix sockets by path, abstract and unnamed: stream and datagram, peers and their ids. */
#include "check.h"
#include <sys/socket.h>
#include <sys/un.h>

static socklen_t address(struct sockaddr_un *a, const char *path)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	strcpy(a->sun_path, path);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

static void stream(void)
{
	struct sockaddr_un a, got;
	socklen_t len = address(&a, "stream.sock");
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&a, len) == 0);
	CHECK(listen(listener, 5) == 0);
	struct stat st;
	CHECK(stat("stream.sock", &st) == 0 && S_ISSOCK(st.st_mode));
	pid_t parent = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int c = socket(AF_UNIX, SOCK_STREAM, 0);
		CHECK(connect(c, (struct sockaddr *)&a, len) == 0);
		struct ucred cred;
		socklen_t clen = sizeof cred;
		CHECK(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &clen) == 0 && cred.pid == parent);
		CHECK(write(c, "request", 7) == 7);
		char buf[16];
		CHECK(read_all(c, buf, 8) == 8 && memcmp(buf, "response", 8) == 0);
		_exit(0);
	}
	socklen_t glen = sizeof got;
	int s = accept(listener, (struct sockaddr *)&got, &glen);
	CHECK(s == listener + 1);
	CHECK(glen == sizeof(sa_family_t) && got.sun_family == AF_UNIX);
	glen = sizeof got;
	CHECK(getsockname(s, (struct sockaddr *)&got, &glen) == 0 && strcmp(got.sun_path, "stream.sock") == 0);
	CHECK(glen == len);
	struct ucred cred;
	socklen_t clen = sizeof cred;
	CHECK(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &clen) == 0);
	CHECK(cred.pid == child && cred.uid == getuid() && cred.gid == getgid());
	char buf[16];
	CHECK(read_all(s, buf, 7) == 7 && memcmp(buf, "request", 7) == 0);
	CHECK(write(s, "response", 8) == 8);
	reap_exit(child, 0);
	CHECK(read(s, buf, 1) == 0);
	CHECK_ERR(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a, len), EADDRINUSE);
	CHECK(close(listener) == 0);
	CHECK_ERR(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a, len), ECONNREFUSED);
	CHECK(unlink("stream.sock") == 0);
	CHECK_ERR(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a, len), ENOENT);
	ok("stream");
}

static void datagram(void)
{
	struct sockaddr_un a, b, from;
	socklen_t alen = address(&a, "a.sock"), blen = address(&b, "b.sock"), flen = sizeof from;
	int s = socket(AF_UNIX, SOCK_DGRAM, 0), c = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(bind(s, (struct sockaddr *)&a, alen) == 0 && bind(c, (struct sockaddr *)&b, blen) == 0);
	CHECK(sendto(c, "to a", 4, 0, (struct sockaddr *)&a, alen) == 4);
	char buf[16];
	CHECK(recvfrom(s, buf, sizeof buf, 0, (struct sockaddr *)&from, &flen) == 4);
	CHECK(flen == blen && strcmp(from.sun_path, "b.sock") == 0);
	CHECK(connect(s, (struct sockaddr *)&from, flen) == 0);
	CHECK(send(s, "back", 4, 0) == 4 && recv(c, buf, sizeof buf, 0) == 4);
	flen = sizeof from;
	CHECK(getpeername(s, (struct sockaddr *)&from, &flen) == 0 && strcmp(from.sun_path, "b.sock") == 0);
	CHECK_ERR(getpeername(c, (struct sockaddr *)&from, &flen), ENOTCONN);
	CHECK(close(s) == 0 && close(c) == 0 && unlink("a.sock") == 0 && unlink("b.sock") == 0);
	ok("datagram");
}

static void abstract_name(void)
{
	/* The name holds zero bytes and the process id, so that runs do not meet. */
	struct sockaddr_un a = {.sun_family = AF_UNIX}, got;
	int n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "mv%cname-%d", 0, (int)getpid());
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n), glen = sizeof got;
	int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	CHECK(bind(listener, (struct sockaddr *)&a, len) == 0 && listen(listener, 1) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&got, &glen) == 0);
	CHECK(glen == len && memcmp(&a, &got, len) == 0);
	int c = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	CHECK(connect(c, (struct sockaddr *)&a, len) == 0);
	int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(send(c, "x", 1, 0) == 1);
	char x;
	CHECK(recv(s, &x, 1, 0) == 1 && x == 'x');
	a.sun_path[1] = 'w';
	CHECK_ERR(connect(socket(AF_UNIX, SOCK_SEQPACKET, 0), (struct sockaddr *)&a, len), ECONNREFUSED);

	/* The kernel picks a name when only the family is given. */
	int d = socket(AF_UNIX, SOCK_DGRAM, 0);
	sa_family_t family = AF_UNIX;
	CHECK(bind(d, (struct sockaddr *)&family, sizeof family) == 0);
	glen = sizeof got;
	CHECK(getsockname(d, (struct sockaddr *)&got, &glen) == 0 && glen == sizeof family + 6 && got.sun_path[0] == 0);
	ok("abstract");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	stream();
	datagram();
	abstract_name();
	return 0;
}
