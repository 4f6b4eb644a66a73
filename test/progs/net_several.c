/*
 * Arrays of messages sent and received so often that agents deal with them: a few datagrams at once,
 * one message of a connection, and all that is more than that.
 */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

enum { ROUNDS = 100, UNSET = 0x5a5a };

/* A pair of connected sockets of datagrams, the first of which does not block, and one of TCP. */
static int datagrams[2], ends[2];

static void connect_datagrams(void)
{
	struct sockaddr_in addr[2];
	socklen_t len = sizeof addr[0];
	for (int i = 0; i < 2; i++) {
		addr[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		CHECK((datagrams[i] = socket(AF_INET, SOCK_DGRAM | (i ? 0 : SOCK_NONBLOCK), 0)) >= 0);
		CHECK(bind(datagrams[i], (struct sockaddr *)&addr[i], len) == 0);
		CHECK(getsockname(datagrams[i], (struct sockaddr *)&addr[i], &len) == 0);
	}
	for (int i = 0; i < 2; i++)
		CHECK(connect(datagrams[i], (struct sockaddr *)&addr[!i], len) == 0);
}

static void connect_pair(int pair[2])
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof addr;
	int l = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(l >= 0 && bind(l, (struct sockaddr *)&addr, len) == 0 && listen(l, 1) == 0);
	CHECK(getsockname(l, (struct sockaddr *)&addr, &len) == 0);
	CHECK((pair[0] = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && connect(pair[0], (struct sockaddr *)&addr, len) == 0);
	CHECK((pair[1] = accept(l, NULL, NULL)) >= 0 && close(l) == 0);
}

/* Three messages: of one part, of two, and of none. */
static struct iovec parts[3] = {{"one", 3}, {"two", 3}, {"three", 5}};
static struct mmsghdr three[3];

static void make_three(void)
{
	for (int i = 0; i < 3; i++)
		three[i] = (struct mmsghdr){.msg_hdr.msg_flags = 0, .msg_len = UNSET};
	three[0].msg_hdr.msg_iov = parts;
	three[0].msg_hdr.msg_iovlen = 1;
	three[1].msg_hdr.msg_iov = parts + 1;
	three[1].msg_hdr.msg_iovlen = 2;
}

static void came(int fd, const char *text)
{
	char got[32];
	CHECK(recv(fd, got, sizeof got, 0) == (ssize_t)strlen(text) && memcmp(got, text, strlen(text)) == 0);
}

/* Several at once, of a socket that does not block and of one that does. */
static void sends(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		make_three();
		CHECK(sendmmsg(datagrams[0], three, 3, MSG_NOSIGNAL) == 3);
		CHECK(three[0].msg_len == 3 && three[1].msg_len == 8 && three[2].msg_len == 0);
		came(datagrams[1], "one");
		came(datagrams[1], "twothree");
		came(datagrams[1], "");
		make_three();
		CHECK(sendmmsg(datagrams[1], three, 2, i % 2 ? MSG_DONTWAIT : 0) == 2 && three[1].msg_len == 8 && three[2].msg_len == UNSET);
		came(datagrams[0], "one");
		came(datagrams[0], "twothree");
		CHECK(sendmmsg(datagrams[1], three + 1, 1, 0) == 1 && three[1].msg_len == 8);
		came(datagrams[0], "twothree");
	}
}

/* Those for which there is no room are not sent, and nothing is sent twice. */
static void full(void)
{
	int s[2], sent = 0, got = 0, n;
	char c;
	struct iovec v = {&c, 1};
	struct mmsghdr m[8];
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s) == 0);
	for (int i = 0; i < 8; i++)
		m[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
	for (int i = 0; i < ROUNDS / 10; i++) {
		do {
			c = (char)sent;
			n = sendmmsg(s[0], m, 8, 0);
			CHECK(n > 0 || errno == EAGAIN);
			sent += n > 0 ? n : 0;
		} while (n > 0);
		while (recv(s[1], &c, 1, 0) == 1)
			got++;
		CHECK(got == sent && errno == EAGAIN);
	}
	CHECK(close(s[1]) == 0);
	CHECK_ERR(sendmmsg(s[0], m, 8, MSG_NOSIGNAL), ECONNREFUSED);
	CHECK(close(s[0]) == 0);
}

/* One of a connection, which comes in parts as it went. */
static void receives(void)
{
	char a[4], b[8];
	struct iovec v[2] = {{a, 4}, {b, 8}};
	for (int i = 0; i < ROUNDS; i++) {
		struct mmsghdr m = {.msg_hdr = {.msg_iov = v, .msg_iovlen = 2, .msg_flags = UNSET}, .msg_len = UNSET};
		make_three();
		CHECK(sendmmsg(ends[0], three + 1, 1, 0) == 1 && three[1].msg_len == 8);
		CHECK(recvmmsg(ends[1], &m, 1, i % 2 ? MSG_WAITFORONE : MSG_NOSIGNAL, NULL) == 1);
		CHECK(m.msg_len == 8 && m.msg_hdr.msg_flags == 0 && memcmp(a, "twot", 4) == 0 && memcmp(b, "hree", 4) == 0);
	}
}

/* What is more than that: several, with flags, a limit in time, names and control data. */
static void more(void)
{
	char a[8], b[8], control[64];
	struct iovec v[2] = {{a, 8}, {b, 8}};
	struct sockaddr_in from;
	for (int i = 0; i < ROUNDS / 10; i++) {
		struct timespec limit = {5, 0};
		struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = v, .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = v + 1, .msg_iovlen = 1}}};
		make_three();
		CHECK(sendmmsg(datagrams[0], three, 2, 0) == 2 && recvmmsg(datagrams[1], m, 2, MSG_WAITFORONE, NULL) == 2);
		CHECK(m[0].msg_len == 3 && m[1].msg_len == 8 && memcmp(b, "twothree", 8) == 0);
		CHECK(sendmmsg(datagrams[0], three, 1, 0) == 1);
		m[0].msg_hdr.msg_name = &from;
		m[0].msg_hdr.msg_namelen = sizeof from;
		CHECK(recvmmsg(datagrams[1], m, 1, 0, &limit) == 1 && m[0].msg_hdr.msg_namelen == sizeof from && limit.tv_sec <= 5);
		CHECK_ERR(recvmmsg(datagrams[1], m, 2, MSG_DONTWAIT, NULL), EAGAIN);
		socklen_t len = sizeof from;
		CHECK(getpeername(datagrams[0], (struct sockaddr *)&from, &len) == 0);
		three[1].msg_hdr.msg_name = &from;
		three[1].msg_hdr.msg_namelen = sizeof from;
		three[1].msg_hdr.msg_flags = MSG_EOR;
		CHECK(sendmmsg(datagrams[0], three, 2, 0) == 2);
		came(datagrams[1], "one");
		came(datagrams[1], "twothree");
		v[0].iov_len = 2;
		m[0] = (struct mmsghdr){.msg_hdr = {.msg_iov = v, .msg_iovlen = 1}};
		CHECK(sendmmsg(datagrams[0], three, 1, 0) == 1 && recvmmsg(datagrams[1], m, 1, 0, NULL) == 1);
		CHECK(m[0].msg_hdr.msg_flags == MSG_TRUNC && m[0].msg_len == 2);
		v[0].iov_len = 8;
		m[0] = (struct mmsghdr){.msg_hdr = {.msg_iov = v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control}};
		CHECK(sendmmsg(ends[0], three, 1, MSG_DONTWAIT) == 1 && recvmmsg(ends[1], m, 1, 0, NULL) == 1 && m[0].msg_hdr.msg_controllen == 0);
		m[0] = (struct mmsghdr){.msg_hdr = {.msg_iov = v, .msg_iovlen = 1}};
		CHECK_ERR(recvmmsg(ends[1], m, 1, MSG_DONTWAIT, NULL), EAGAIN);
	}
}

/* What is not there: nothing is sent of a message, but those in front of it are. */
static void fails(void)
{
	int p[2];
	struct iovec bad = {bad_address, 2};
	CHECK(pipe(p) == 0);
	for (int i = 0; i < ROUNDS / 10; i++) {
		make_three();
		CHECK_ERR(sendmmsg(p[1], three, 2, 0), ENOTSOCK);
		CHECK_ERR(sendmmsg(99, three, 2, 0), EBADF);
		CHECK_ERR(syscall(SYS_sendmmsg, datagrams[0], bad_address, 1, 0), EFAULT);
		CHECK_ERR(syscall(SYS_recvmmsg, ends[1], bad_address, 1, 0, NULL), EFAULT);
		CHECK(sendmmsg(datagrams[0], three, 0, 0) == 0);
		three[1].msg_hdr.msg_iov = &bad;
		three[1].msg_hdr.msg_iovlen = 1;
		CHECK(sendmmsg(datagrams[0], three, 2, 0) == 1 && three[0].msg_len == 3 && three[1].msg_len == UNSET);
		came(datagrams[1], "one");
		CHECK_ERR(sendmmsg(datagrams[0], three + 1, 2, 0), EFAULT);
		CHECK_ERR(recv(datagrams[1], &bad, 1, MSG_DONTWAIT), EAGAIN);
	}
	CHECK(close(p[0]) == 0 && close(p[1]) == 0);
}

static volatile sig_atomic_t broken;

static void notes(int sig) { broken += sig == SIGPIPE; }

/* A signal ends a wait. An error of a connection comes before what has been received, and who sends on
 * one that is closed gets a signal. */
static void ends_by(void)
{
	char c;
	struct iovec v = {&c, 1};
	struct sigaction sa = {.sa_handler = notes};
	struct mmsghdr none = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}, .msg_len = UNSET};
	CHECK(sigaction(SIGPIPE, &sa, NULL) == 0 && sigaction(SIGALRM, &sa, NULL) == 0);
	for (int i = 0; i < 3; i++) {
		/* The first may come before the call. */
		ualarm(20000, 20000);
		CHECK_ERR(recvmmsg(ends[1], &none, 1, 0, NULL), EINTR);
		ualarm(0, 0);
		CHECK(none.msg_len == UNSET);
	}
	for (int i = 0; i < 5; i++) {
		int pair[2];
		struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}, .msg_len = UNSET};
		connect_pair(pair);
		/* What it has not read makes it a reset. */
		make_three();
		CHECK(sendmmsg(pair[1], three, 1, 0) == 1 && sendmmsg(pair[0], three, 1, 0) == 1);
		struct pollfd p = {.fd = pair[0], .events = POLLIN};
		CHECK(poll(&p, 1, -1) == 1 && close(pair[0]) == 0);
		p = (struct pollfd){.fd = pair[1]};
		CHECK(poll(&p, 1, -1) == 1 && p.revents & POLLERR);
		CHECK_ERR(recvmmsg(pair[1], &m, 1, 0, NULL), ECONNRESET);
		CHECK(m.msg_len == UNSET && close(pair[1]) == 0);
		connect_pair(pair);
		CHECK(shutdown(pair[0], SHUT_WR) == 0 && recvmmsg(pair[1], &m, 1, 0, NULL) == 1 && m.msg_len == 0);
		CHECK_ERR(sendmmsg(pair[0], three, 1, 0), EPIPE);
		CHECK_ERR(sendmmsg(pair[0], three, 3, MSG_DONTWAIT), EPIPE);
		CHECK(broken == 2 * i + 2);
		CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
	}
}

static void *answers(void *arg)
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
	CHECK(pthread_create(&id, NULL, answers, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1, .msg_flags = UNSET}};
		CHECK(recvmmsg(ends[1], &m, 1, 0, NULL) == 1 && c == 't' && m.msg_len == 1 && m.msg_hdr.msg_flags == 0);
		CHECK(sendmmsg(ends[1], &m, 1, 0) == 1);
	}
	CHECK(pthread_join(id, NULL) == 0);
}

int main(void)
{
	begin();
	for (int i = 0; i < 200; i++)
		CHECK(getppid() > 0);
	connect_datagrams();
	connect_pair(ends);
	sends();
	full();
	receives();
	more();
	fails();
	ends_by();
	threads();
	return 0;
}
