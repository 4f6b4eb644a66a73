/* Message headers with many pieces, and many messages in one call. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(void)
{
	begin();
	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	char a[4], b[4], c[64];
	struct iovec out[4] = {{"one", 3}, {NULL, 0}, {"two", 3}, {"three", 5}}, in[3] = {{a, 4}, {b, 4}, {c, 64}};
	struct msghdr m = {.msg_iov = out, .msg_iovlen = 4}, r = {.msg_iov = in, .msg_iovlen = 3};
	CHECK(sendmsg(s[0], &m, 0) == 11);
	CHECK(recvmsg(s[1], &r, 0) == 11);
	CHECK(memcmp(a, "onet", 4) == 0 && memcmp(b, "woth", 4) == 0 && memcmp(c, "ree", 3) == 0);
	m.msg_iovlen = 0;
	CHECK(sendmsg(s[0], &m, 0) == 0 && recvmsg(s[1], &r, 0) == 0);
	r.msg_iovlen = 0;
	m.msg_iovlen = 1;
	CHECK(sendmsg(s[0], &m, 0) == 3 && recvmsg(s[1], &r, 0) == 0 && r.msg_flags == MSG_TRUNC);
	ok("pieces");

	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, names[8];
	socklen_t len = sizeof addr;
	int u = socket(AF_INET, SOCK_DGRAM, 0), v = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(bind(u, (struct sockaddr *)&addr, len) == 0 && getsockname(u, (struct sockaddr *)&addr, &len) == 0);

	char text[5][16], got[8][16];
	struct iovec tv[5][2], gv[8];
	struct mmsghdr send_[5], recv_[8];
	memset(send_, 0, sizeof send_);
	memset(recv_, 0, sizeof recv_);
	for (int i = 0; i < 5; i++) {
		int n = snprintf(text[i], sizeof text[i], "message %d", i * 111);
		tv[i][0] = (struct iovec){text[i], 4};
		tv[i][1] = (struct iovec){text[i] + 4, (size_t)n - 4};
		send_[i].msg_hdr = (struct msghdr){.msg_name = &addr, .msg_namelen = sizeof addr, .msg_iov = tv[i], .msg_iovlen = 2};
	}
	CHECK(sendmmsg(v, send_, 5, 0) == 5);
	for (int i = 0; i < 5; i++)
		CHECK(send_[i].msg_len == strlen(text[i]));
	for (int i = 0; i < 8; i++) {
		gv[i] = (struct iovec){got[i], sizeof got[i]};
		recv_[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &gv[i], .msg_iovlen = 1};
	}
	CHECK(recvmmsg(u, recv_, 8, MSG_DONTWAIT, NULL) == 5);
	struct sockaddr_in own;
	len = sizeof own;
	CHECK(getsockname(v, (struct sockaddr *)&own, &len) == 0);
	for (int i = 0; i < 5; i++) {
		CHECK(recv_[i].msg_len == strlen(text[i]) && memcmp(got[i], text[i], recv_[i].msg_len) == 0);
		CHECK(recv_[i].msg_hdr.msg_namelen == sizeof addr && names[i].sin_port == own.sin_port);
	}
	CHECK_ERR(recvmmsg(u, recv_, 8, MSG_DONTWAIT, NULL), EAGAIN);
	struct timespec ts = {5, 0};
	CHECK(sendmmsg(v, send_, 2, 0) == 2);
	CHECK(recvmmsg(u, recv_, 2, 0, &ts) == 2);
	CHECK(ts.tv_sec <= 5);
	ok("sendmmsg and recvmmsg");
	return 0;
}
