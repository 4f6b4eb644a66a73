/* Vectors: empty entries with any base, empty vectors, the longest, and bad ones. */
#include "check.h"
#include <sys/uio.h>

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int p[2];
	char a[8] = "", b[8] = "";
	CHECK(pipe(p) == 0);
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);

	struct iovec v[4] = {{NULL, 0}, {"abc", 3}, {bad_address, 0}, {"defg", 4}};
	CHECK(writev(p[1], v, 4) == 7);
	CHECK(writev(fd, v, 4) == 7);
	struct iovec r[4] = {{a, 2}, {NULL, 0}, {b, 5}, {bad_address, 0}};
	CHECK(readv(p[0], r, 4) == 7);
	CHECK(memcmp(a, "ab", 2) == 0 && memcmp(b, "cdefg", 5) == 0);
	ok("empty entries");

	CHECK(writev(fd, v, 0) == 0);
	CHECK(writev(fd, v, 1) == 0);
	CHECK(writev(fd, NULL, 0) == 0);
	CHECK(readv(fd, NULL, 0) == 0);
	ok("empty vectors");

	static struct iovec many[1025];
	static char bytes[1025];
	for (int i = 0; i < 1025; i++) {
		bytes[i] = (char)('a' + i % 26);
		many[i] = (struct iovec){&bytes[i], 1};
	}
	CHECK(pwritev(fd, many, 1024, 100) == 1024);
	CHECK_ERR(writev(fd, many, 1025), EINVAL);
	CHECK_ERR(readv(fd, many, 1025), EINVAL);
	volatile int minus_one = -1;
	CHECK_ERR(writev(fd, many, minus_one), EINVAL);
	memset(bytes, 0, sizeof bytes);
	CHECK(preadv(fd, many, 1024, 100) == 1024);
	for (int i = 0; i < 1024; i++)
		CHECK(bytes[i] == (char)('a' + i % 26));
	ok("1024 entries");

	struct iovec huge[2] = {{a, (size_t)SSIZE_MAX}, {b, 8}};
	SHOW("a length past the address space", writev(fd, huge, 2));
	struct iovec negative = {a, (size_t)-1};
	CHECK_ERR(readv(fd, &negative, 1), EINVAL);
	CHECK_ERR(writev(fd, (struct iovec *)bad_address, 1), EFAULT);
	CHECK_ERR(readv(fd, (struct iovec *)bad_address, 1), EFAULT);
	/* What comes before a bad entry is written; a pipe shows how much. */
	struct iovec half[2] = {{"good", 4}, {bad_address, 4}};
	SHOW("half bad to a file", pwritev(fd, half, 2, 2000));
	SHOW("half bad to a pipe", writev(p[1], half, 2));
	struct iovec bad_first[2] = {{bad_address, 4}, {"good", 4}};
	CHECK_ERR(writev(p[1], bad_first, 2), EFAULT);
	ok("bad vectors");
	return 0;
}
