/* Sockets: one success and one failure of each call. */
#include "sys.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

int main(void)
{
	begin();
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, other;
	socklen_t len = sizeof a;
	int one = 1, sv[2];
	char text[16] = "0123456789";
	struct iovec iov = {text, 5};
	int s = (int)CALL(socket, AF_INET, SOCK_STREAM, 0);
	CALL(socket, 9999, SOCK_STREAM, 0);
	VALUE(setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	VALUE(setsockopt, s, SOL_SOCKET, 9999, &one, sizeof one);
	len = sizeof one;
	VALUE(getsockopt, s, SOL_SOCKET, SO_TYPE, &one, &len);
	VALUE(getsockopt, s, SOL_SOCKET, 9999, &one, &len);
	VALUE(bind, s, &a, sizeof a);
	VALUE(bind, s, &a, 1);
	VALUE(listen, s, 5);
	VALUE(listen, -1, 5);
	len = sizeof a;
	VALUE(getsockname, s, &a, &len);
	VALUE(getsockname, -1, &a, &len);
	for (int i = 0; i < 2; i++) {
		int c = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(c >= 0);
		VALUE(connect, c, &a, sizeof a);
		VALUE(connect, c, &a, 1);
		len = sizeof other;
		int p = (int)(i == 0 ? CALL(accept, s, &other, &len) : CALL(accept4, s, &other, &len, SOCK_CLOEXEC));
		len = sizeof other;
		VALUE(getpeername, p, &other, &len);
		VALUE(getpeername, s, &other, &len);
		VALUE(sendto, p, text, 5, 0, NULL, 0);
		VALUE(sendto, -1, text, 5, 0, NULL, 0);
		VALUE(recvfrom, c, text, 5, MSG_WAITALL, NULL, NULL);
		VALUE(recvfrom, c, text, 5, MSG_DONTWAIT, NULL, NULL);
		VALUE(shutdown, c, SHUT_RDWR);
		VALUE(shutdown, s, 99);
		close(p);
		close(c);
	}
	CALL(accept, -1, NULL, NULL);
	CALL(accept4, s, NULL, NULL, 99);
	CALL(socketpair, AF_UNIX, SOCK_DGRAM, 0, sv);
	CALL(socketpair, AF_UNIX, 99, 0, sv);
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct mmsghdr mm = {.msg_hdr = m};
	VALUE(sendmsg, sv[0], &m, 0);
	VALUE(sendmsg, -1, &m, 0);
	VALUE(recvmsg, sv[1], &m, 0);
	VALUE(recvmsg, sv[1], &m, MSG_DONTWAIT);
	VALUE(sendmmsg, sv[0], &mm, 1, 0);
	VALUE(sendmmsg, -1, &mm, 1, 0);
	VALUE(recvmmsg, sv[1], &mm, 1, 0, NULL);
	VALUE(recvmmsg, sv[1], &mm, 1, MSG_DONTWAIT, NULL);
	return 0;
}
