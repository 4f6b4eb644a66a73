/* Descriptors passed over a Unix socket: numbers, flags, truncation, credentials. */
#include "check.h"
#include <sys/socket.h>
#include <sys/un.h>

static void send_fds(int s, const int *fds, size_t n, const char *text)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(16 * sizeof(int))];
	} u;
	memset(&u, 0, sizeof u);
	char data[16];
	strcpy(data, text);
	struct iovec iov = {data, strlen(data)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
			   .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	CHECK(sendmsg(s, &m, 0) == (ssize_t)strlen(text));
}

/* Receives up to room descriptors, returns how many came; flags go in and come out. */
static size_t recv_fds(int s, int *fds, size_t room, int *flags)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(16 * sizeof(int))];
	} u;
	memset(&u, 0, sizeof u);
	char data[16];
	struct iovec iov = {data, sizeof data};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
			   .msg_controllen = CMSG_LEN(room * sizeof(int))};
	CHECK(recvmsg(s, &m, *flags) > 0);
	*flags = m.msg_flags;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (!c)
		return 0;
	CHECK(c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	return n;
}

static void credentials(void)
{
	int s[2], one = 1;
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	CHECK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(send(s[0], "me", 2, 0) == 2);
		_exit(0);
	}
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct ucred))];
	} u;
	char data[8];
	struct iovec iov = {data, sizeof data};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
			   .msg_controllen = sizeof u.buf};
	CHECK(recvmsg(s[1], &m, 0) == 2);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c && c->cmsg_type == SCM_CREDENTIALS);
	struct ucred cred;
	memcpy(&cred, CMSG_DATA(c), sizeof cred);
	CHECK(cred.pid == child && cred.uid == getuid() && cred.gid == getgid());
	reap_exit(child, 0);
	CHECK(close(s[0]) == 0 && close(s[1]) == 0);
	ok("credentials name the child");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int s[2], got[16], flags;
	char c;
	put_file("file", "abcdef", 6, 0644);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && s[0] == 3 && s[1] == 4);

	int fd = open("file", O_RDONLY);
	CHECK(fd == 5);
	send_fds(s[0], &fd, 1, "one");
	flags = 0;
	CHECK(recv_fds(s[1], got, 4, &flags) == 1 && got[0] == 6 && flags == 0);
	CHECK(read(5, &c, 1) == 1 && c == 'a' && read(6, &c, 1) == 1 && c == 'b');
	CHECK(fcntl(6, F_GETFD) == 0);
	ok("one to itself");

	int three[3] = {5, open("/dev/null", O_WRONLY), open("file", O_RDWR)};
	CHECK(three[1] == 7 && three[2] == 8);
	send_fds(s[0], three, 3, "three");
	CHECK(close(5) == 0);
	flags = MSG_CMSG_CLOEXEC;
	CHECK(recv_fds(s[1], got, 4, &flags) == 3);
	CHECK(got[0] == 5 && got[1] == 9 && got[2] == 10);
	CHECK(fcntl(9, F_GETFD) == FD_CLOEXEC);
	CHECK(read(5, &c, 1) == 1 && c == 'c');
	CHECK(read(10, &c, 1) == 1 && c == 'a');
	ok("three, the lowest free numbers, close-on-exec");

	send_fds(s[0], three, 3, "cut");
	flags = 0;
	CHECK(recv_fds(s[1], got, 1, &flags) <= 2 && (flags & MSG_CTRUNC));
	ok("truncated");

	int before = dup(0);
	CHECK(close(before) == 0);
	send_fds(s[0], three, 2, "lost");
	char plain[8];
	CHECK(read(s[1], plain, sizeof plain) == 4);
	int after = dup(0);
	CHECK(after == before && close(after) == 0);
	ok("a plain read drops them");

	/* Across processes: the child opens, the parent reads what the child wrote. */
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int p[2];
		CHECK(pipe(p) == 0);
		CHECK(write(p[1], "piped", 5) == 5);
		send_fds(s[0], &p[0], 1, "pipe");
		_exit(0);
	}
	flags = 0;
	CHECK(recv_fds(s[1], got, 1, &flags) == 1);
	char buf[8];
	CHECK(read_all(got[0], buf, sizeof buf) == 5 && memcmp(buf, "piped", 5) == 0);
	reap_exit(child, 0);
	CHECK(close(got[0]) == 0);
	ok("from a child");

	int bad = 99;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} u;
	memset(&u, 0, sizeof u);
	struct iovec iov = {"x", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof u.buf};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &bad, sizeof bad);
	CHECK_ERR(sendmsg(s[0], &m, 0), EBADF);
	ok("bad descriptor");

	credentials();
	return 0;
}
