/* Files mapped private, shared, read-only and writable; msync, truncation, offsets. */
#include "check.h"

static char *map(size_t n, int prot, int flags, int fd, off_t off)
{
	char *p = mmap(NULL, n, prot, flags, fd, off);
	CHECK(p != MAP_FAILED);
	return p;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char page[PAGE], buf[16];
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	for (int i = 0; i < 4; i++) {
		memset(page, 'a' + i, PAGE);
		CHECK(write(fd, page, PAGE) == (ssize_t)PAGE);
	}

	/* MvArmor died here: a mapping of a file that is open for writing. */
	char *p = map(4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p[0] == 'a' && p[4 * PAGE - 1] == 'd');
	CHECK(munmap(p, 4 * PAGE) == 0);
	p = map(PAGE, PROT_READ, MAP_SHARED, fd, 2 * (off_t)PAGE);
	CHECK(p[0] == 'c');
	CHECK(munmap(p, PAGE) == 0);
	ok("read");

	p = map(2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	memset(p, 'X', PAGE);
	CHECK(pread(fd, buf, 1, 0) == 1 && buf[0] == 'a');
	CHECK(p[0] == 'X' && p[PAGE] == 'b');
	CHECK(munmap(p, 2 * PAGE) == 0);
	ok("private writes stay private");

	p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(p + 10, "shared", 6);
	CHECK(msync(p, PAGE, MS_SYNC) == 0);
	CHECK(pread(fd, buf, 6, 10) == 6 && memcmp(buf, "shared", 6) == 0);
	memcpy(p + 3 * PAGE, "last", 4);
	CHECK(msync(p, 4 * PAGE, MS_ASYNC) == 0);
	CHECK(pread(fd, buf, 4, 3 * (off_t)PAGE) == 4 && memcmp(buf, "last", 4) == 0);
	CHECK_ERR(msync(p, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	CHECK_ERR(msync(p + 1, PAGE, MS_SYNC), EINVAL);
	CHECK(close(fd) == 0);
	memcpy(p + 20, "closed", 6);
	CHECK(munmap(p, 4 * PAGE) == 0);
	CHECK_ERR(msync(p, PAGE, MS_SYNC), ENOMEM);
	fd = open("file", O_RDWR);
	CHECK(pread(fd, buf, 6, 20) == 6 && memcmp(buf, "closed", 6) == 0);
	ok("shared writes reach the file");

	/* What write(2) puts into the file shows in a mapping that was there before. */
	p = map(PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(pwrite(fd, "by write", 8, 100) == 8);
	CHECK(memcmp(p + 100, "by write", 8) == 0);
	CHECK(write(1, p + 100, 8) == 8 && write(1, "\n", 1) == 1);
	CHECK(munmap(p, PAGE) == 0);
	ok("file writes show in the mapping");

	/* A file whose last page is part full: zeroes behind its end. */
	CHECK(ftruncate(fd, PAGE + 5) == 0);
	p = map(2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p[PAGE + 4] == 'b' && p[PAGE + 5] == 0 && p[2 * PAGE - 1] == 0);
	CHECK(munmap(p, 2 * PAGE) == 0);
	ok("zeroes behind the end");

	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, 0, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(close(fd) == 0);

	/* Code from a file: mapped executable, called, replaced, called again. */
	static const unsigned char ret7[] = CODE_RETURNS(7), ret9[] = CODE_RETURNS(9);
	put_file("code", ret7, sizeof ret7, 0755);
	fd = open("code", O_RDONLY);
	union {
		void *p;
		int (*f)(void);
	} code;
	code.p = map(PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	CHECK(code.f() == 7);
	put_file("code2", ret9, sizeof ret9, 0755);
	int fd2 = open("code2", O_RDONLY);
	CHECK(mmap(code.p, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd2, 0) == code.p);
	CHECK(code.f() == 9);
	ok("code");
	return 0;
}
