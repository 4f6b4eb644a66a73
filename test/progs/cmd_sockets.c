/*
 * Options of sockets, commands of ioctl about them and about network devices, and what C
 * libraries ask for by netlink.
 */
#include "sys.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static void set(int fd, int level, int option, const void *value, socklen_t n)
{
	char label[32];
	snprintf(label, sizeof label, "option %d/%d", level, option);
	shown(label, setsockopt(fd, level, option, value, n));
}

static void options(void)
{
	int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0), six = socket(AF_INET6, SOCK_STREAM, 0), pair[2];
	CHECK(udp >= 0 && tcp >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	int on = 1, off = 0;
	struct linger linger = {1, 2};
	long limit[2] = {3, 0};
	set(udp, SOL_SOCKET, 1, &off, sizeof off);
	set(udp, SOL_SOCKET, 2, &on, sizeof on);
	set(udp, SOL_SOCKET, 6, &on, sizeof on);
	set(udp, SOL_SOCKET, 7, &(int){65536}, sizeof(int));
	set(udp, SOL_SOCKET, 8, &(int){65536}, sizeof(int));
	set(tcp, SOL_SOCKET, 9, &on, sizeof on);
	set(tcp, SOL_SOCKET, 13, &linger, sizeof linger);
	set(tcp, SOL_SOCKET, 15, &on, sizeof on);
	set(pair[0], SOL_SOCKET, 16, &on, sizeof on);
	set(tcp, SOL_SOCKET, 20, limit, sizeof limit);
	set(tcp, SOL_SOCKET, 21, limit, sizeof limit);
	set(pair[0], SOL_SOCKET, 42, &(int){-1}, sizeof(int));
	set(udp, SOL_SOCKET, 12, &on, sizeof on);
	set(tcp, IPPROTO_TCP, 1, &on, sizeof on);
	set(tcp, IPPROTO_TCP, 3, &off, sizeof off);
	set(tcp, IPPROTO_TCP, 4, &(int){60}, sizeof(int));
	set(tcp, IPPROTO_TCP, 5, &(int){10}, sizeof(int));
	set(tcp, IPPROTO_TCP, 6, &(int){3}, sizeof(int));
	set(tcp, IPPROTO_TCP, 9, &on, sizeof on);
	set(tcp, IPPROTO_TCP, 12, &on, sizeof on);
	set(tcp, IPPROTO_TCP, 13, "reno", 4);
	set(tcp, IPPROTO_TCP, 13, "nosuch", 6);
	set(tcp, IPPROTO_TCP, 23, &off, sizeof off);
	set(six, IPPROTO_IPV6, 26, &on, sizeof on);
	set(-1, SOL_SOCKET, 2, &on, sizeof on);
	set(tcp, SOL_SOCKET, 2, NOWHERE, 4);
	set(tcp, SOL_SOCKET, 2, &on, 1);
	/* A filter is a pointer to a program, which there is not natively either. */
	set(tcp, IPPROTO_TCP, 999, &on, sizeof on);

	static char block[512];
	static const int gets[][2] = {{SOL_SOCKET, 3}, {SOL_SOCKET, 4}, {IPPROTO_TCP, 4}, {IPPROTO_TCP, 13}, {SOL_SOCKET, 13}, {SOL_SOCKET, 999}};
	for (size_t i = 0; i < sizeof gets / sizeof *gets; i++) {
		socklen_t n = sizeof block;
		memset(block, 0, sizeof block);
		shown("option", getsockopt(tcp, gets[i][0], gets[i][1], block, &n));
		printf("%u bytes, %016llx\n", n, (unsigned long long)checksum(block, sizeof block));
	}
	socklen_t n = sizeof block;
	shown("TCP_INFO", getsockopt(tcp, IPPROTO_TCP, TCP_INFO, block, &n));
	printf("%u bytes, state %d\n", n, block[0]);
	unsigned who[3] = {0};
	n = sizeof who;
	shown("SO_PEERCRED", getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, who, &n));
	printf("own %d, user %u, group %u\n", who[0] == (unsigned)getpid(), who[1], who[2]);
	int fd = -1;
	n = sizeof fd;
	if (shown("SO_PEERPIDFD", getsockopt(pair[0], SOL_SOCKET, 77, &fd, &n)) == 0)
		VALUE(pidfd_send_signal, fd, 0, NULL, 0);
}

static void owners(void)
{
	int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0), word = getpid();
	long stamp[2];
	SHOW("FIOSETOWN", ioctl(udp, 0x8901, &word));
	word = 0;
	SHOW("FIOGETOWN", ioctl(udp, 0x8903, &word));
	printf("own %d\n", word == getpid());
	SHOW("SIOCSPGRP", ioctl(udp, 0x8902, &word));
	SHOW("SIOCGPGRP", ioctl(udp, 0x8904, &word));
	printf("own %d\n", word == getpid());
	SHOW("SIOCATMARK", ioctl(tcp, 0x8905, &word));
	SHOW("SIOCGSTAMP", ioctl(udp, 0x8906, stamp));
	SHOW("SIOCGSTAMPNS", ioctl(udp, 0x8907, stamp));
	SHOW("FIONREAD", ioctl(udp, FIONREAD, &word));
	printf("to be read %d\n", word);
}

static void devices(void)
{
	static const int numbers[] = {
		0x8913, 0x8915, 0x8917, 0x8919, 0x891b, 0x891d, 0x8921, 0x8927, 0x8933, 0x8942, 0x8970,
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		char label[32];
		struct { char name[16], data[24]; } request = {.name = "lo"};
		snprintf(label, sizeof label, "device %x", (unsigned)numbers[i]);
		shown(label, ioctl(fd, (unsigned long)numbers[i], &request));
		printf("%s %016llx\n", request.name, (unsigned long long)checksum(request.data, sizeof request.data));
		strcpy(request.name, "none");
		shown(label, ioctl(fd, (unsigned long)numbers[i], &request));
	}
	struct { char name[16]; int index; char rest[20]; } request = {.index = (int)if_nametoindex("lo")};
	shown("SIOCGIFNAME", ioctl(fd, 0x8910, &request));
	printf("%s\n", request.name);
	request.index = -1;
	shown("SIOCGIFNAME", ioctl(fd, 0x8910, &request));
}

/* How libraries find out what networks there are. */
static void networks(void)
{
	struct ifaddrs *all;
	CHECK(getifaddrs(&all) == 0);
	for (struct ifaddrs *a = all; a != NULL; a = a->ifa_next)
		if (strcmp(a->ifa_name, "lo") == 0)
			printf("%s, family %d, flags %x\n", a->ifa_name, a->ifa_addr != NULL ? a->ifa_addr->sa_family : 0, a->ifa_flags);
	freeifaddrs(all);
	struct if_nameindex *names = if_nameindex();
	CHECK(names != NULL);
	for (struct if_nameindex *n = names; n->if_index != 0; n++)
		if (strcmp(n->if_name, "lo") == 0)
			printf("%u %s\n", n->if_index, n->if_name);
	if_freenameindex(names);
	/* Which addresses there are decides which ones it gives. */
	static const struct addrinfo hints = {.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	SHOW("127.0.0.1", getaddrinfo("127.0.0.1", "80", &hints, &found));
	for (struct addrinfo *a = found; a != NULL; a = a->ai_next)
		printf("family %d, port %d\n", a->ai_family, ntohs(((struct sockaddr_in *)a->ai_addr)->sin_port));
	if (found != NULL)
		freeaddrinfo(found);
	/* A question that nobody answers, and an answer that does not fit. */
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct { unsigned length; unsigned short type, flags; unsigned number, port; char data[16]; } ask = {32, 999, 1, 7, 0, {0}};
	char answer[256];
	CHECK(fd >= 0);
	SHOW("asked", send(fd, &ask, 32, 0));
	memset(answer, 0, sizeof answer);
	SHOW("answered", recv(fd, answer, sizeof answer, 0));
	printf("type %d, error %d\n", *(unsigned short *)(answer + 4), *(int *)(answer + 16));
	ask.type = 18; /* RTM_GETLINK */
	ask.flags = 0x301;
	SHOW("asked", send(fd, &ask, 32, 0));
	SHOW("how long it is", recv(fd, answer, 0, MSG_PEEK | MSG_TRUNC) > 256);
}

int main(void)
{
	begin();
	options();
	owners();
	/* In a network where nobody makes devices meanwhile, if that can be had. */
	unshare(CLONE_NEWNET);
	devices();
	networks();
	return 0;
}
