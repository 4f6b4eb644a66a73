/*
 * Reads that give less than they are asked for only where the kernel says so: of devices that have it all,
 * while others want the processor, and of sockets that wait for so much (SO_RCVLOWAT), with threads.
 */
#include "threads.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { MUCH = 1 << 20, READS = 40, LEAST = 6 };

static char buffer[MUCH];

static void devices(void)
{
	struct iovec parts[2] = {{buffer, MUCH / 2}, {buffer + MUCH / 2, MUCH / 2}};
	int zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR), null = open("/dev/null", O_RDWR);
	CHECK(zero >= 0 && full >= 0 && null >= 0);
	for (int i = 0; i < READS; i++) {
		CHECK(read(i % 2 ? zero : full, buffer, MUCH) == MUCH);
		CHECK(readv(zero, parts, 2) == MUCH);
		CHECK(write(null, buffer, MUCH) == MUCH && write(zero, buffer, MUCH) == MUCH);
	}
	CHECK(read(null, buffer, MUCH) == 0);
	CHECK_ERR(write(full, buffer, 1), ENOSPC);
	CHECK(close(zero) == 0 && close(full) == 0 && close(null) == 0);
}

static void *spins(void *stop)
{
	while (!*(volatile int *)stop)
		(void)!getppid();
	return NULL;
}

static void *writes(void *to)
{
	for (int i = 0; i < LEAST; i++) {
		sleep_ms(5);
		CHECK(write(*(int *)to, "x", 1) == 1);
	}
	return NULL;
}

static void sockets(void)
{
	int pair[2], least = LEAST;
	char got[2 * LEAST];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least) == 0);
	for (int i = 0; i < 8; i++) {
		pthread_t t;
		CHECK(pthread_create(&t, NULL, writes, &pair[1]) == 0);
		CHECK((i % 2 ? read(pair[0], got, sizeof got) : recv(pair[0], got, sizeof got, 0)) == LEAST);
		CHECK(pthread_join(t, NULL) == 0);
	}
	CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
}

int main(void)
{
	volatile int stop = 0;
	pthread_t t;
	begin();
	for (int i = 0; i < 300; i++)
		(void)!getppid();
	devices();
	ok("devices");
	CHECK(pthread_create(&t, NULL, spins, (void *)&stop) == 0);
	devices();
	ok("devices, with a thread");
	stop = 1;
	CHECK(pthread_join(t, NULL) == 0);
	sockets();
	ok("sockets");
	return 0;
}
