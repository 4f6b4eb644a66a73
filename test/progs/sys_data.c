/* Calls that move data or say what is to become of it, and descriptors themselves. */
#include "sys.h"
#include <sys/file.h>
#include <sys/uio.h>

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char buf[64];
	struct iovec iov = {buf, 10};
	int fd = open("f", O_RDWR | O_CREAT, 0644), to = open("g", O_RDWR | O_CREAT, 0644);
	CHECK(fd >= 0 && to >= 0);
	fill(buf, sizeof buf, 1);
	VALUE(write, fd, buf, 20);
	VALUE(write, -1, buf, 20);
	VALUE(pwrite64, fd, buf, 10, 20);
	VALUE(pwrite64, fd, buf, 10, -1L);
	VALUE(writev, fd, &iov, 1);
	VALUE(writev, fd, &iov, -1);
	VALUE(pwritev, fd, &iov, 1, 40, 0);
	VALUE(pwritev, fd, &iov, 1, -2L, -1L);
	VALUE(pwritev2, fd, &iov, 1, 50, 0, 0);
	VALUE(pwritev2, fd, &iov, 1, 50, 0, 1 << 30);
	VALUE(lseek, fd, 0, SEEK_SET);
	VALUE(lseek, fd, -1L, SEEK_SET);
	VALUE(read, fd, buf, 10);
	VALUE(read, -1, buf, 10);
	VALUE(pread64, fd, buf, 10, 20);
	VALUE(pread64, fd, buf, 10, -1L);
	VALUE(readv, fd, &iov, 1);
	VALUE(readv, fd, &iov, -1);
	VALUE(preadv, fd, &iov, 1, 40, 0);
	VALUE(preadv, fd, &iov, 1, -2L, -1L);
	VALUE(preadv2, fd, &iov, 1, 50, 0, 0);
	VALUE(preadv2, fd, &iov, 1, 50, 0, 1 << 30);
	long off = 0, off2 = 0;
	VALUE(sendfile, to, fd, &off, 5);
	VALUE(sendfile, -1, fd, &off, 5);
	VALUE(copy_file_range, fd, &off, to, &off2, 5, 0);
	VALUE(copy_file_range, fd, &off, to, &off2, 5, 1);
	int p[2], q[2];
	CALL(pipe, p);
	CALL(pipe, NOWHERE);
	CALL(pipe2, q, O_CLOEXEC);
	CALL(pipe2, q, -1);
	VALUE(splice, fd, &off, p[1], NULL, 5, 0);
	VALUE(splice, fd, &off, to, NULL, 5, 0);
	VALUE(tee, p[0], q[1], 5, 0);
	VALUE(tee, fd, q[1], 5, 0);
	VALUE(splice, p[0], NULL, to, &off2, 5, 0);
	printf("offsets %ld %ld, data %016llx\n", off, off2, (unsigned long long)checksum(buf, sizeof buf));
	VALUE(readahead, fd, 0, 10);
	VALUE(readahead, -1, 0, 10);
	VALUE(fadvise64, fd, 0, 10, 3);
	VALUE(fadvise64, fd, 0, 10, 99);
	uint64_t range[2] = {0, 100}, found[5];
	CALL(cachestat, fd, range, found, 0);
	CALL(cachestat, fd, range, found, 1);
	VALUE(fallocate, fd, 0, 0, 100);
	VALUE(fallocate, fd, 0, 0, -1L);
	VALUE(fsync, fd);
	VALUE(fsync, -1);
	VALUE(fdatasync, fd);
	VALUE(fdatasync, -1);
	VALUE(sync_file_range, fd, 0, 10, 2);
	VALUE(sync_file_range, fd, 0, 10, 99);
	/* It cannot fail. */
	VALUE(sync);
	VALUE(syncfs, fd);
	VALUE(syncfs, -1);
	VALUE(flock, fd, LOCK_EX);
	VALUE(flock, fd, 0);
	int d = (int)CALL(dup, fd);
	CALL(dup, -1);
	CALL(dup2, fd, d);
	CALL(dup2, -1, d);
	CALL(dup3, fd, d, O_CLOEXEC);
	CALL(dup3, fd, fd, 0);
	VALUE(fcntl, d, F_GETFD);
	VALUE(fcntl, -1, F_GETFD);
	VALUE(ioctl, p[0], 0x541b /* FIONREAD */, buf);
	VALUE(ioctl, -1, 0x541b, buf);
	VALUE(close_range, d, d, 0);
	VALUE(close_range, 5, 4, 0);
	close((int)CALL(memfd_create, "m", 1));
	CALL(memfd_create, "m", 1u << 31);
	VALUE(getrandom, buf, 16, 0);
	VALUE(getrandom, buf, 16, 99);
	return 0;
}
