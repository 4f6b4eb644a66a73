/*
 * A mapped file that changes by calls: writes at its position and elsewhere,
 * cuts and growth, up to a size that is never there in memory.
 */
#include "check.h"

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int fd = memfd_create("grow", 0);
	CHECK(fd >= 0 && ftruncate(fd, 8192) == 0);
	char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	p[0] = 'A';
	CHECK(lseek(fd, 100, SEEK_SET) == 100);
	CHECK(write(fd, "hello", 5) == 5 && write(fd, "world", 5) == 5);
	CHECK(pwrite(fd, "at", 2, 4000) == 2);
	CHECK(p[0] == 'A' && memcmp(p + 100, "helloworld", 11) == 0 && memcmp(p + 4000, "at", 3) == 0);
	CHECK(write(STDOUT_FILENO, p + 100, 10) == 10);
	ok("writes");
	CHECK(ftruncate(fd, 300) == 0 && ftruncate(fd, 65536) == 0);
	CHECK(p[4000] == 0 && p[60000] == 0 && memcmp(p + 100, "helloworld", 11) == 0);
	p[60000] = 'z';
	ok("cut and grown");
	CHECK(ftruncate(fd, (off_t)1 << 40) == 0);
	CHECK(write(fd, "!", 1) == 1 && p[110] == '!' && p[60000] == 'z');
	CHECK(ftruncate(fd, 65536) == 0);
	CHECK(msync(p, 65536, MS_SYNC) == 0 && munmap(p, 65536) == 0);
	ok("a terabyte");
	return 0;
}
