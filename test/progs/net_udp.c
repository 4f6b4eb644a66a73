/* UDP on the loopback: connected and not, truncation, errors, packet information. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int bound(struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	memset(a, 0, sizeof *a);
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)a, sizeof *a) == 0);
	socklen_t len = sizeof *a;
	CHECK(getsockname(fd, (struct sockaddr *)a, &len) == 0);
	return fd;
}

int main(void)
{
	begin();
	struct sockaddr_in a, b, from;
	int s = bound(&a), c = bound(&b);
	char buf[70000];
	socklen_t len = sizeof from;

	CHECK(sendto(c, "ping", 4, 0, (struct sockaddr *)&a, sizeof a) == 4);
	CHECK(recvfrom(s, buf, sizeof buf, 0, (struct sockaddr *)&from, &len) == 4 && from.sin_port == b.sin_port);
	CHECK(sendto(s, "pong", 4, 0, (struct sockaddr *)&from, len) == 4);
	CHECK(recv(c, buf, sizeof buf, 0) == 4 && memcmp(buf, "pong", 4) == 0);
	ok("unconnected");

	CHECK(connect(c, (struct sockaddr *)&a, sizeof a) == 0);
	CHECK(send(c, "1", 1, 0) == 1 && write(c, "22", 2) == 2);
	CHECK(recv(s, buf, sizeof buf, 0) == 1 && recv(s, buf, sizeof buf, 0) == 2);
	len = sizeof from;
	CHECK(getpeername(c, (struct sockaddr *)&from, &len) == 0 && from.sin_port == a.sin_port);
	struct sockaddr un = {.sa_family = AF_UNSPEC};
	CHECK(connect(c, &un, sizeof un) == 0);
	CHECK_ERR(send(c, "x", 1, 0), EDESTADDRREQ);
	ok("connected");

	fill(buf, 60000, 2);
	uint64_t sum = checksum(buf, 60000);
	CHECK(sendto(c, buf, 60000, 0, (struct sockaddr *)&a, sizeof a) == 60000);
	memset(buf, 0, sizeof buf);
	CHECK(recv(s, buf, sizeof buf, 0) == 60000 && checksum(buf, 60000) == sum);
	CHECK_ERR(sendto(c, buf, 66000, 0, (struct sockaddr *)&a, sizeof a), EMSGSIZE);
	CHECK(sendto(c, "truncated", 9, 0, (struct sockaddr *)&a, sizeof a) == 9);
	memset(buf, '.', 16);
	struct iovec iov = {buf, 5};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	CHECK(recvmsg(s, &m, 0) == 5 && m.msg_flags == MSG_TRUNC && buf[5] == '.');
	ok("sizes");

	int one = 1;
	CHECK(setsockopt(s, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) == 0);
	CHECK(sendto(c, "info", 4, 0, (struct sockaddr *)&a, sizeof a) == 4);
	union {
		struct cmsghdr align;
		char buf[256];
	} u;
	iov.iov_len = 16;
	m = (struct msghdr){.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = &u, .msg_controllen = sizeof u};
	CHECK(recvmsg(s, &m, 0) == 4 && m.msg_namelen == sizeof from);
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	CHECK(h && h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_PKTINFO);
	struct in_pktinfo info;
	memcpy(&info, CMSG_DATA(h), sizeof info);
	CHECK(info.ipi_addr.s_addr == htonl(INADDR_LOOPBACK));
	CHECK((size_t)m.msg_controllen < sizeof u);
	ok("packet information");

	/* Nobody at the other end: the refusal arrives with the next call. */
	CHECK(close(s) == 0);
	CHECK(connect(c, (struct sockaddr *)&a, sizeof a) == 0);
	CHECK(send(c, "x", 1, 0) == 1);
	CHECK_ERR(recv(c, buf, 1, 0), ECONNREFUSED);
	ok("refused");
	return 0;
}
