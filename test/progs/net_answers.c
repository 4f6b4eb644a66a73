/*
 * Messages received so often that agents receive them: the bytes of a TCP connection, in several
 * parts, and all that is more than that.
 */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

enum { ROUNDS = 100, UNSET = 0x5a5a };

static int ends[2];

static void connect_ends(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof addr;
	int one = 1, l = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(l >= 0 && bind(l, (struct sockaddr *)&addr, len) == 0 && listen(l, 1) == 0);
	CHECK(getsockname(l, (struct sockaddr *)&addr, &len) == 0);
	CHECK((ends[0] = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && connect(ends[0], (struct sockaddr *)&addr, len) == 0);
	CHECK((ends[1] = accept(l, NULL, NULL)) >= 0 && close(l) == 0);
	CHECK(setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
}

static void put(const char *text)
{
	CHECK(send(ends[0], text, strlen(text), 0) == (ssize_t)strlen(text));
}

/* One, several and many parts. */
static void parts(void)
{
	char a[4], b[4], c[64];
	struct iovec v[3] = {{a, 4}, {b, 4}, {c, 64}}, many[20];
	for (int i = 0; i < ROUNDS; i++) {
		struct msghdr m = {.msg_iov = v, .msg_iovlen = 3, .msg_flags = UNSET, .msg_namelen = 77};
		put("onetwothree");
		CHECK(recvmsg(ends[1], &m, 0) == 11 && m.msg_flags == 0 && m.msg_controllen == 0 && m.msg_namelen == 77);
		CHECK(memcmp(a, "onet", 4) == 0 && memcmp(b, "woth", 4) == 0 && memcmp(c, "ree", 3) == 0);
		m = (struct msghdr){.msg_iov = &v[2], .msg_iovlen = 1, .msg_flags = UNSET};
		put("four");
		CHECK(recvmsg(ends[1], &m, MSG_NOSIGNAL) == 4 && m.msg_flags == 0 && memcmp(c, "four", 4) == 0);
		/* What is left comes next. */
		m.msg_iov = v;
		put("fivesix");
		CHECK(recvmsg(ends[1], &m, 0) == 4 && recvmsg(ends[1], &m, 0) == 3 && memcmp(a, "sixe", 4) == 0);
	}
	for (int i = 0; i < 20; i++)
		many[i] = (struct iovec){c + i, 1};
	struct msghdr m = {.msg_iov = many, .msg_iovlen = 20};
	put("012345678901234567890123456789");
	CHECK(recvmsg(ends[1], &m, 0) == 20 && recv(ends[1], c, 64, 0) == 10);
}

/* With a name, control data and other flags. */
static void more(void)
{
	char a[8], control[128];
	struct sockaddr_in from;
	struct iovec v = {a, 8};
	for (int i = 0; i < ROUNDS / 10; i++) {
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_name = &from, .msg_namelen = sizeof from, .msg_flags = UNSET};
		put("name");
		/* A connection tells none. */
		CHECK(recvmsg(ends[1], &m, 0) == 4 && m.msg_namelen == 0 && m.msg_flags == 0);
		m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		put("control");
		CHECK(recvmsg(ends[1], &m, 0) == 7 && m.msg_controllen == 0);
		m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1};
		put("peek");
		CHECK(recvmsg(ends[1], &m, MSG_PEEK) == 4 && recvmsg(ends[1], &m, MSG_DONTWAIT) == 4);
		CHECK(m.msg_flags == 0);
		CHECK_ERR(recvmsg(ends[1], &m, MSG_DONTWAIT), EAGAIN);
		put("close");
		CHECK(recvmsg(ends[1], &m, MSG_CMSG_CLOEXEC) == 5 && m.msg_flags == MSG_CMSG_CLOEXEC);
		m.msg_iovlen = 0;
		m.msg_flags = UNSET;
		put("none");
		CHECK(recvmsg(ends[1], &m, 0) == 0 && m.msg_flags == 0 && recv(ends[1], a, 8, 0) == 4);
	}
}

static void fails(void)
{
	char a[8];
	int p[2];
	struct iovec v = {a, 8}, bad[2] = {{a, 2}, {bad_address, 2}};
	char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pipe(p) == 0 && write(p[1], "pipe", 4) == 4 && page != MAP_FAILED);
	for (int i = 0; i < ROUNDS / 10; i++) {
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}, broken = {.msg_iov = bad, .msg_iovlen = 2};
		CHECK_ERR(recvmsg(p[0], &m, 0), ENOTSOCK);
		CHECK_ERR(recvmsg(99, &m, 0), EBADF);
		CHECK_ERR(syscall(SYS_recvmsg, ends[1], bad_address, 0), EFAULT);
		/* A part that is not there gets nothing. */
		put("xy");
		CHECK(recvmsg(ends[1], &broken, 0) == 2 && memcmp(a, "xy", 2) == 0);
		m.msg_iov = (struct iovec *)bad_address;
		CHECK_ERR(recvmsg(ends[1], &m, 0), EFAULT);
		bad[0].iov_base = page;
		put("z");
		CHECK_ERR(recvmsg(ends[1], &broken, 0), EFAULT);
		CHECK(recv(ends[1], a, 8, 0) == 1 && a[0] == 'z');
		bad[0].iov_base = a;
	}
}

/* A packet of a local socket may carry a descriptor, and says so where that is not taken. */
static void local(void)
{
	int s[2];
	char a[8], space[CMSG_SPACE(sizeof(int))];
	struct iovec v = {a, 8}, out = {"fd", 2};
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	for (int i = 0; i < ROUNDS / 10; i++) {
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}, w = {.msg_iov = &out, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
		struct cmsghdr *h = CMSG_FIRSTHDR(&w);
		memset(space, 0, sizeof space);
		h->cmsg_len = CMSG_LEN(sizeof(int));
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(h), &s[0], sizeof(int));
		CHECK(sendmsg(s[0], &w, 0) == 2 && recvmsg(s[1], &m, 0) == 2 && m.msg_flags == MSG_CTRUNC);
	}
	CHECK(close(s[0]) == 0 && close(s[1]) == 0);
}

static void *sends(void *arg)
{
	UNUSED(arg);
	for (int i = 0; i < ROUNDS; i++) {
		char c;
		CHECK(send(ends[0], "t", 1, 0) == 1 && recv(ends[0], &c, 1, 0) == 1);
	}
	return NULL;
}

/* A thread waits for another one's. */
static void threads(void)
{
	pthread_t id;
	char c;
	struct iovec v = {&c, 1};
	CHECK(pthread_create(&id, NULL, sends, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_flags = UNSET};
		CHECK(recvmsg(ends[1], &m, 0) == 1 && c == 't' && m.msg_flags == 0 && send(ends[1], "u", 1, 0) == 1);
	}
	CHECK(pthread_join(id, NULL) == 0);
}

static void ignores(int sig) { UNUSED(sig); }

/* A signal ends a wait, and what is asked for by an option comes. */
static void ends_by(void)
{
	char c, control[128];
	int one = 1;
	struct iovec v = {&c, 1};
	struct sigaction sa = {.sa_handler = ignores};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	for (int i = 0; i < 3; i++) {
		/* The first may come before the call. */
		ualarm(20000, 20000);
		CHECK_ERR(recvmsg(ends[1], &m, 0), EINTR);
		ualarm(0, 0);
	}
	CHECK(setsockopt(ends[1], SOL_SOCKET, SO_TIMESTAMP, &one, sizeof one) == 0);
	/* It takes the kernel a moment to begin with it. */
	do {
		sleep_ms(1);
		put("s");
		m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		CHECK(recvmsg(ends[1], &m, 0) == 1);
	} while (m.msg_controllen == 0);
	for (int i = 0; i < 5; i++) {
		put("s");
		m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1};
		CHECK(recvmsg(ends[1], &m, 0) == 1 && m.msg_flags == MSG_CTRUNC);
	}
	CHECK(shutdown(ends[0], SHUT_WR) == 0);
	m.msg_flags = UNSET;
	CHECK(recvmsg(ends[1], &m, 0) == 0 && m.msg_flags == 0);
}

int main(void)
{
	begin();
	for (int i = 0; i < 200; i++)
		CHECK(getppid() > 0);
	connect_ends();
	parts();
	more();
	fails();
	local();
	threads();
	ends_by();
	return 0;
}
