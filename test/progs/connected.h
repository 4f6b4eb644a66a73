/* connected.h: a connection of a program with itself. */
#ifndef CONNECTED_H
#define CONNECTED_H

#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* Makes a connection of TCP over loopback, of which neither end blocks. */
static void connected(int p[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 1) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&a, &len) == 0);
	p[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(p[0] >= 0 && connect(p[0], (struct sockaddr *)&a, sizeof a) == 0);
	p[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	CHECK(p[1] >= 0 && close(listener) == 0);
	CHECK(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
}

#endif
