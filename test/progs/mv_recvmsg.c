/*
 * MvArmor's recvmsg: a UDP server on 127.0.0.1 that receives one datagram with
 * name and control and shows the whole header.
 *
 * usage: mv_recvmsg PORT
 */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	begin();
	CHECK(argc == 2);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(fd == 3);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
	socklen_t len = sizeof a;
	CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	printf("port %d\n", ntohs(a.sin_port));

	char head[3], rest[64], control[128];
	struct sockaddr_in from;
	memset(&from, 0, sizeof from);
	struct iovec iov[2] = {{head, sizeof head}, {rest, sizeof rest}};
	struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = iov, .msg_iovlen = 2,
			   .msg_control = control, .msg_controllen = sizeof control};
	ssize_t n = recvmsg(fd, &m, 0);
	CHECK(n > 3);
	printf("%zd bytes, flags %d, control %zu, name %u bytes\n", n, m.msg_flags,
	       (size_t)m.msg_controllen, (unsigned)m.msg_namelen);
	CHECK(from.sin_family == AF_INET);
	CHECK(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	printf("from 127.0.0.1 port %d\n", ntohs(from.sin_port));
	printf("text %.3s%.*s\n", head, (int)n - 3, rest);
	CHECK(sendto(fd, "thanks", 6, 0, (struct sockaddr *)&from, sizeof from) == 6);
	return 0;
}
