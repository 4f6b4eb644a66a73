/* Calls that fail for what they name: EBADF, EINVAL, ENOTSOCK, ESPIPE, ENOSYS and kin. */
#include "check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <termios.h>

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char buf[16] = "";
	struct stat st;
	struct iovec v = {buf, sizeof buf};
	put_file("file", "data", 4, 0644);
	int ro = open("file", O_RDONLY), wo = open("file", O_WRONLY), dir = open(".", O_RDONLY), p[2];
	CHECK(pipe(p) == 0);

	static const int bad[] = {-1, 99, 1 << 20};
	for (int i = 0; i < 3; i++) {
		int b = bad[i];
		CHECK_ERR(read(b, buf, 1), EBADF);
		CHECK_ERR(write(b, buf, 1), EBADF);
		CHECK_ERR(readv(b, &v, 1), EBADF);
		CHECK_ERR(writev(b, &v, 1), EBADF);
		CHECK_ERR(pread(b, buf, 1, 0), EBADF);
		CHECK_ERR(lseek(b, 0, SEEK_SET), EBADF);
		CHECK_ERR(fstat(b, &st), EBADF);
		CHECK_ERR(close(b), EBADF);
		CHECK_ERR(dup(b), EBADF);
		CHECK_ERR(fcntl(b, F_GETFL), EBADF);
		CHECK_ERR(ioctl(b, FIONREAD, &b), EBADF);
		CHECK_ERR(fsync(b), EBADF);
		CHECK_ERR(ftruncate(b, 0), EBADF);
		CHECK_ERR(fchdir(b), EBADF);
		CHECK_ERR(listen(b, 1), EBADF);
		CHECK_ERR(epoll_wait(b, (struct epoll_event[1]){0}, 1, 0), EBADF);
		CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, b, 0) == MAP_FAILED && errno == EBADF);
	}
	ok("EBADF: none");

	CHECK_ERR(write(ro, buf, 1), EBADF);
	CHECK_ERR(read(wo, buf, 1), EBADF);
	CHECK_ERR(read(p[1], buf, 1), EBADF);
	CHECK_ERR(write(p[0], buf, 1), EBADF);
	CHECK_ERR(read(dir, buf, 1), EISDIR);
	CHECK_ERR(ftruncate(ro, 0), EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED && errno == EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, wo, 0) == MAP_FAILED && errno == EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, dir, 0) == MAP_FAILED && errno == ENODEV);
	ok("wrong direction");

	CHECK_ERR(lseek(p[0], 0, SEEK_SET), ESPIPE);
	CHECK_ERR(pread(p[0], buf, 1, 0), ESPIPE);
	CHECK_ERR(pwrite(p[1], buf, 1, 0), ESPIPE);
	CHECK_ERR(lseek(ro, 0, 77), EINVAL);
	CHECK_ERR(lseek(ro, -1, SEEK_SET), EINVAL);
	CHECK_ERR(pread(ro, buf, 1, -1), EINVAL);
	CHECK_ERR(truncate("file", -1), EINVAL);
	CHECK_ERR(fsync(p[0]), EINVAL);
	CHECK_ERR(fcntl(ro, 9999), EINVAL);
	CHECK_ERR(syscall(SYS_pipe2, p, 0x40000000), EINVAL);
	CHECK_ERR(syscall(SYS_openat, AT_FDCWD, "", O_RDONLY), ENOENT);
	CHECK_ERR(open("file/below", O_RDONLY), ENOTDIR);
	CHECK_ERR(open(".", O_WRONLY), EISDIR);
	CHECK_ERR(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
	ok("files");

	CHECK_ERR(send(ro, buf, 1, 0), ENOTSOCK);
	CHECK_ERR(listen(ro, 1), ENOTSOCK);
	CHECK_ERR(accept(ro, NULL, NULL), ENOTSOCK);
	CHECK_ERR(socket(AF_INET, 99, 0), EINVAL);
	CHECK_ERR(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
	CHECK_ERR(socket(AF_UNIX, SOCK_STREAM, 77), EPROTONOSUPPORT);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERR(accept(s, NULL, NULL), EINVAL);
	CHECK_ERR(recv(s, buf, 1, 0), ENOTCONN);
	CHECK_ERR(shutdown(s, SHUT_RD), ENOTCONN);
	CHECK_ERR(setsockopt(s, SOL_SOCKET, 9999, buf, 4), ENOPROTOOPT);
	CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, buf, 1), EINVAL);
	CHECK_ERR(bind(s, (struct sockaddr *)buf, 2), EINVAL);
	ok("sockets");

	struct termios t;
	CHECK_ERR(tcgetattr(ro, &t), ENOTTY);
	CHECK(isatty(p[0]) == 0);
	CHECK_ERR(ioctl(ro, 0x12345678, buf), ENOTTY);
	CHECK_ERR(eventfd(0, 0x40), EINVAL);
	CHECK_ERR(timerfd_create(77, 0), EINVAL);
	CHECK_ERR(epoll_create1(77), EINVAL);
	CHECK_ERR(syscall(SYS_epoll_create, 0), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigaction, 99, NULL, NULL, 8), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigprocmask, 77, buf, NULL, 8), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, NULL, 16), EINVAL);
	CHECK_ERR(syscall(SYS_arch_prctl, 0x7777, 0), EINVAL);
	CHECK_ERR(syscall(SYS_getrandom, buf, 1, 0x77), EINVAL);
	ok("others");

	/* Numbers no kernel has: plain ENOSYS, also for one that looks like an error. */
	CHECK_ERR(syscall(1000), ENOSYS);
	CHECK_ERR(syscall(511), ENOSYS);
	CHECK_ERR(syscall(-1), ENOSYS);
	CHECK_ERR(syscall(100000000), ENOSYS);
	ok("ENOSYS");
	return 0;
}
