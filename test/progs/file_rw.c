/* Reading and writing by every call there is, positions, holes, sizes. */
#include "check.h"
#include <sys/uio.h>

static void sequential(int fd)
{
	char a[16], b[16];
	CHECK(write(fd, "0123456789", 10) == 10);
	CHECK(lseek(fd, 0, SEEK_CUR) == 10);
	CHECK(lseek(fd, -4, SEEK_END) == 6);
	CHECK(read(fd, a, sizeof a) == 4 && memcmp(a, "6789", 4) == 0);
	CHECK(read(fd, a, sizeof a) == 0);
	CHECK(lseek(fd, 2, SEEK_SET) == 2);
	struct iovec w[3] = {{"AB", 2}, {"", 0}, {"CDE", 3}};
	CHECK(writev(fd, w, 3) == 5);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	struct iovec r[2] = {{a, 3}, {b, sizeof b}};
	CHECK(readv(fd, r, 2) == 10);
	CHECK(memcmp(a, "01A", 3) == 0 && memcmp(b, "BCDE789", 7) == 0);
	ok("sequential");
}

static void positional(int fd)
{
	char a[16], b[16];
	CHECK(lseek(fd, 3, SEEK_SET) == 3);
	CHECK(pwrite(fd, "xyz", 3, 20) == 3);
	CHECK(pread(fd, a, sizeof a, 18) == 5 && memcmp(a, "\0\0xyz", 5) == 0);
	struct iovec w[2] = {{"12", 2}, {"345", 3}}, r[2] = {{a, 1}, {b, 9}};
	CHECK(pwritev(fd, w, 2, 30) == 5);
	CHECK(preadv(fd, r, 2, 29) == 6 && a[0] == 0 && memcmp(b, "12345", 5) == 0);
	/* The raw calls: offset in two halves, and -1 for the current position. */
	CHECK(syscall(SYS_pwritev2, fd, w, 2, 40L, 0L, 0) == 5);
	CHECK(syscall(SYS_preadv2, fd, r, 2, 40L, 0L, 0) == 5 && a[0] == '1' && b[0] == '2');
	CHECK(lseek(fd, 0, SEEK_CUR) == 3);
	CHECK(syscall(SYS_preadv2, fd, r, 1, -1L, -1L, 0) == 1);
	CHECK(lseek(fd, 0, SEEK_CUR) == 4);
	CHECK(syscall(SYS_pwritev2, fd, w, 1, 0L, 0L, 0x10) == 2); /* RWF_APPEND */
	CHECK(lseek(fd, 0, SEEK_END) == 47);
	CHECK_ERR(syscall(SYS_preadv2, fd, r, 1, 0L, 0L, 0x40000000), EOPNOTSUPP);
	CHECK(pread(fd, a, sizeof a, 1L << 40) == 0);
	ok("positional");
}

static void sizes(int fd)
{
	struct stat st;
	char a[8];
	CHECK(ftruncate(fd, 5) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 5);
	CHECK(ftruncate(fd, 1 << 20) == 0);
	CHECK(pread(fd, a, 8, (1 << 20) - 8) == 8 && memcmp(a, "\0\0\0\0\0\0\0\0", 8) == 0);
	CHECK(truncate("file", 100) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 100);
	errno = 0;
	if (fallocate(fd, 0, 0, 65536) == 0) {
		CHECK(fstat(fd, &st) == 0 && st.st_size == 65536);
		CHECK(fallocate(fd, 1, 65536, 65536) == 0); /* FALLOC_FL_KEEP_SIZE */
		CHECK(fstat(fd, &st) == 0 && st.st_size == 65536);
		CHECK_ERR(fallocate(fd, 0, -1, 1), EINVAL);
		puts("fallocate works");
	} else {
		printf("fallocate: %s\n", errname(errno));
	}
	CHECK(posix_fallocate(fd, 0, 200000) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 200000);
	CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) == 0);
	CHECK(fsync(fd) == 0 && fdatasync(fd) == 0);
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(pwrite(fd, "end", 3, 1 << 20) == 3);
	SHOW("SEEK_DATA", lseek(fd, 0, SEEK_DATA));
	SHOW("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE));
	CHECK_ERR(lseek(fd, 2 << 20, SEEK_DATA), ENXIO);
	ok("sizes");
}

static void flags(void)
{
	char a[16] = {0};
	int ap = open("append", O_WRONLY | O_CREAT | O_APPEND, 0644);
	CHECK(write(ap, "one", 3) == 3);
	CHECK(lseek(ap, 0, SEEK_SET) == 0);
	CHECK(write(ap, "two", 3) == 3);
	CHECK((fcntl(ap, F_GETFL) & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY));
	CHECK(fcntl(ap, F_SETFL, 0) == 0);
	CHECK(pwrite(ap, "ONE", 3, 0) == 3);
	CHECK(get_file("append", a, sizeof a) == 6 && memcmp(a, "ONEtwo", 6) == 0);
	CHECK(close(ap) == 0);
	int trunc = open("append", O_RDWR | O_TRUNC);
	CHECK(read(trunc, a, 1) == 0);
	CHECK(write(trunc, NULL, 0) == 0);
	CHECK(read(trunc, NULL, 0) == 0);
	CHECK(close(trunc) == 0);
	ok("flags");

	/* Parent and child share one position; two opens do not. */
	put_file("shared", "abcdef", 6, 0644);
	int fd = open("shared", O_RDONLY), own = open("shared", O_RDONLY);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(read(fd, a, 2) == 2 && a[0] == 'a');
		_exit(0);
	}
	reap_exit(child, 0);
	CHECK(read(fd, a, 1) == 1 && a[0] == 'c');
	CHECK(read(own, a, 1) == 1 && a[0] == 'a');
	ok("shared position");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd == 3);
	sequential(fd);
	positional(fd);
	sizes(fd);
	flags();
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), full = open("/dev/full", O_RDWR);
	char z[64];
	memset(z, 1, sizeof z);
	CHECK(read(null, z, sizeof z) == 0 && write(null, z, sizeof z) == (ssize_t)sizeof z);
	CHECK(read(zero, z, sizeof z) == (ssize_t)sizeof z && z[0] == 0 && z[63] == 0);
	CHECK_ERR(write(full, z, 1), ENOSPC);
	ok("devices");
	return 0;
}
