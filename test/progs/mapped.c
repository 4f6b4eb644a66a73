/*
 * A file that is memory: what comes through a socket is received into it, and changed and
 * read by calls on the file as well.
 *
 * usage: mapped DIRECTORY [ROUNDS]
 */
#include "check.h"
#include <sys/mman.h>
#include <sys/socket.h>

enum { SIZE = 64 };

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int rounds = argc > 2 ? atoi(argv[2]) : 300, pair[2];
	int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	for (int i = 0; i < rounds; i++) {
		char *at = p + i % (PAGE / SIZE) * SIZE, data[SIZE], back[SIZE];
		fill(data, SIZE, (unsigned)i);
		CHECK(send(pair[0], data, SIZE, 0) == SIZE);
		CHECK(recv(pair[1], at, SIZE, 0) == SIZE && memcmp(at, data, SIZE) == 0);
		if (i % 10)
			continue;
		CHECK(pread(fd, back, SIZE, at - p) == SIZE && memcmp(at, back, SIZE) == 0);
		fill(data, SIZE, (unsigned)~i);
		CHECK(pwrite(fd, data, SIZE, at - p) == SIZE && memcmp(at, data, SIZE) == 0);
		CHECK(send(pair[1], at, SIZE, 0) == SIZE);
		CHECK(recv(pair[0], back, SIZE, 0) == SIZE && memcmp(at, back, SIZE) == 0);
	}
	CHECK(munmap(p, PAGE) == 0 && pread(fd, &(char){0}, 1, 0) == 1);
	ok("mapped");
	return 0;
}
