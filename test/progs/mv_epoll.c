/*
 * MvArmor's epoll: a TCP server on 127.0.0.1. It prints its port, greets each
 * client, and ends after the number of clients given.
 *
 * usage: mv_epoll PORT CLIENTS
 */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	begin();
	CHECK(argc == 3);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(listener == 3);
	int one = 1;
	CHECK(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(listener, (struct sockaddr *)&a, sizeof a) == 0);
	socklen_t len = sizeof a;
	CHECK(getsockname(listener, (struct sockaddr *)&a, &len) == 0);
	CHECK(listen(listener, 16) == 0);
	int ep = epoll_create(1);
	CHECK(ep == 4);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) == 0);
	printf("port %d\n", ntohs(a.sin_port));

	int left = atoi(argv[2]);
	while (left > 0) {
		struct epoll_event got[8];
		int n = epoll_wait(ep, got, 8, -1);
		CHECK(n > 0);
		for (int i = 0; i < n; i++) {
			int fd = got[i].data.fd;
			if (fd == listener) {
				struct sockaddr_in peer;
				len = sizeof peer;
				int c = accept(listener, (struct sockaddr *)&peer, &len);
				CHECK(c >= 5);
				CHECK(len == sizeof peer && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
				struct epoll_event e = {.events = EPOLLIN, .data.fd = c};
				CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, c, &e) == 0);
				continue;
			}
			char buf[256];
			ssize_t r = recvfrom(fd, buf, sizeof buf, 0, NULL, NULL);
			CHECK(r >= 0);
			if (r > 0) {
				printf("got %.*s\n", (int)r, buf);
				write_all(fd, "Hoi!\n", 5);
			}
			CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL) == 0);
			CHECK(close(fd) == 0);
			left--;
		}
	}
	puts("served");
	return 0;
}
