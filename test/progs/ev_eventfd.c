/* eventfd: counting, semaphores, blocking between processes. */
#include "check.h"
#include <poll.h>
#include <sys/eventfd.h>

int main(void)
{
	begin();
	uint64_t v = 5;
	int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK(fd == 3 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(write(fd, &v, 8) == 8);
	CHECK(read(fd, &v, 8) == 8 && v == 8);
	CHECK_ERR(read(fd, &v, 8), EAGAIN);
	CHECK_ERR(read(fd, &v, 4), EINVAL);
	v = UINT64_MAX;
	CHECK_ERR(write(fd, &v, 8), EINVAL);
	v = UINT64_MAX - 1;
	CHECK(write(fd, &v, 8) == 8);
	v = 1;
	CHECK_ERR(write(fd, &v, 8), EAGAIN);
	struct pollfd pf = {fd, POLLIN | POLLOUT, 0};
	CHECK(poll(&pf, 1, 0) == 1 && pf.revents == POLLIN);
	ok("counter");

	int sem = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	CHECK(read(sem, &v, 8) == 8 && v == 1 && read(sem, &v, 8) == 8 && v == 1);
	CHECK_ERR(read(sem, &v, 8), EAGAIN);
	ok("semaphore");

	int wake = eventfd(0, 0);
	pid_t self = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		wait_until_blocked(self);
		v = 77;
		CHECK(write(wake, &v, 8) == 8);
		_exit(0);
	}
	CHECK(read(wake, &v, 8) == 8 && v == 77);
	reap_exit(child, 0);
	ok("between processes");
	return 0;
}
