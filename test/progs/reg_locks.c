/* File locks: their structures lie at different addresses in each variant. */
#include "check.h"
#include <sys/file.h>

static struct flock lock(short type, off_t start, off_t len)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	put_file("file", "0123456789", 10, 0644);
	int fd = open("file", O_RDWR);
	pid_t parent = getpid();
	int up[2], down[2];
	char c;
	CHECK(pipe(up) == 0 && pipe(down) == 0);

	struct flock l = lock(F_WRLCK, 2, 3);
	CHECK(fcntl(fd, F_SETLK, &l) == 0);
	l = lock(F_WRLCK, 0, 0);
	CHECK(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_UNLCK);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		struct flock q = lock(F_RDLCK, 0, 0);
		CHECK(fcntl(fd, F_GETLK, &q) == 0);
		CHECK(q.l_type == F_WRLCK && q.l_start == 2 && q.l_len == 3 && q.l_pid == parent);
		q = lock(F_WRLCK, 4, 1);
		CHECK_ERR(fcntl(fd, F_SETLK, &q), EAGAIN);
		q = lock(F_WRLCK, 5, 5);
		CHECK(fcntl(fd, F_SETLK, &q) == 0);
		q = lock(F_WRLCK, 2, 3);
		CHECK(write(up[1], "w", 1) == 1);
		/* Blocks until the parent lets go. */
		CHECK(fcntl(fd, F_SETLKW, &q) == 0);
		CHECK(pread(fd, &c, 1, 2) == 1 && c == 'P');
		_exit(0);
	}
	CHECK(read(up[0], &c, 1) == 1);
	wait_until_blocked(child);
	CHECK(pwrite(fd, "P", 1, 2) == 1);
	l = lock(F_UNLCK, 0, 0);
	CHECK(fcntl(fd, F_SETLK, &l) == 0);
	reap_exit(child, 0);
	ok("F_SETLK, F_GETLK, F_SETLKW");

	int other = open("file", O_RDWR);
	l = lock(F_WRLCK, 0, 4);
	CHECK(fcntl(fd, F_OFD_SETLK, &l) == 0);
	l = lock(F_WRLCK, 0, 4);
	CHECK_ERR(fcntl(other, F_OFD_SETLK, &l), EAGAIN);
	CHECK(fcntl(other, F_OFD_GETLK, &l) == 0 && l.l_type == F_WRLCK && l.l_len == 4 && l.l_pid == -1);
	l = lock(F_UNLCK, 0, 0);
	CHECK(fcntl(fd, F_OFD_SETLK, &l) == 0);
	l = lock(F_RDLCK, 0, 4);
	CHECK(fcntl(other, F_OFD_SETLK, &l) == 0 && fcntl(fd, F_OFD_SETLK, &l) == 0);
	l.l_pid = 1;
	CHECK_ERR(fcntl(fd, F_OFD_SETLK, &l), EINVAL);
	l = lock(F_UNLCK, 0, 0);
	CHECK(fcntl(other, F_OFD_SETLK, &l) == 0 && fcntl(fd, F_OFD_SETLK, &l) == 0);
	ok("F_OFD_SETLK");

	l = lock(99, 0, 0);
	CHECK_ERR(fcntl(fd, F_SETLK, &l), EINVAL);
	CHECK_ERR(fcntl(99, F_SETLK, &l), EBADF);
	CHECK_ERR(fcntl(fd, F_SETLK, (struct flock *)bad_address), EFAULT);
	CHECK_ERR(fcntl(fd, F_GETLK, (struct flock *)bad_address), EFAULT);
	ok("errors");

	CHECK(flock(fd, LOCK_EX) == 0);
	CHECK_ERR(flock(other, LOCK_SH | LOCK_NB), EAGAIN);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(close(down[1]) == 0);
		int mine = open("file", O_RDONLY);
		CHECK_ERR(flock(mine, LOCK_EX | LOCK_NB), EAGAIN);
		CHECK(close(fd) == 0);
		CHECK(write(up[1], "w", 1) == 1);
		CHECK(flock(mine, LOCK_SH) == 0);
		CHECK(read(down[0], &c, 1) == 0);
		_exit(0);
	}
	CHECK(close(down[0]) == 0);
	CHECK(read(up[0], &c, 1) == 1);
	wait_until_blocked(child);
	CHECK(flock(fd, LOCK_UN) == 0);
	CHECK(close(down[1]) == 0);
	reap_exit(child, 0);
	CHECK(flock(other, LOCK_EX | LOCK_NB) == 0);
	CHECK_ERR(flock(other, 77), EINVAL);
	CHECK_ERR(flock(99, LOCK_EX), EBADF);
	ok("flock");

	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(lockf(fd, F_LOCK, 5) == 0 && lockf(fd, F_TEST, 5) == 0 && lockf(fd, F_ULOCK, 5) == 0);
	ok("lockf");
	return 0;
}
