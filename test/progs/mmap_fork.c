/* Shared mappings between parent and child: anonymous, memfd and file. */
#include "check.h"

static void shares(const char *what, int flags, int fd)
{
	volatile int *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
	CHECK(p != MAP_FAILED);
	p[0] = 1;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(p[0] == 1);
		p[0] = 2;
		p[100] = 3;
		_exit(0);
	}
	reap_exit(child, 0);
	CHECK(p[0] == 2 && p[100] == 3);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(p[0] == 2);
		/* A fresh mapping of the same object sees the same. */
		if (fd >= 0) {
			volatile int *q = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			CHECK(q != MAP_FAILED && q[0] == 2);
			q[1] = 5;
			CHECK(p[1] == 5);
		} else {
			p[1] = 5;
		}
		_exit(0);
	}
	reap_exit(child, 0);
	CHECK(p[1] == 5);
	CHECK(munmap((void *)p, PAGE) == 0);
	ok(what);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	shares("anonymous", MAP_SHARED | MAP_ANONYMOUS, -1);

	int m = memfd_create("twin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(m == 3 && fcntl(m, F_GETFD) == FD_CLOEXEC);
	CHECK(ftruncate(m, (off_t)PAGE) == 0);
	shares("memfd", MAP_SHARED, m);
	char buf[4];
	CHECK(pread(m, buf, 4, 0) == 4 && buf[0] == 2);
	CHECK(pwrite(m, "\7", 1, 0) == 1);
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, m, 0);
	CHECK(p != MAP_FAILED && p[0] == 7);
	CHECK(munmap(p, PAGE) == 0);
	CHECK(fcntl(m, 1033, 2) == 0); /* F_ADD_SEALS, F_SEAL_SHRINK */
	CHECK_ERR(ftruncate(m, 0), EPERM);
	SHOW("seals", fcntl(m, 1034)); /* F_GET_SEALS */
	CHECK_ERR(memfd_create("x", 0x4000u), EINVAL);
	ok("memfd sizes and seals");

	put_file("file", "", 0, 0644);
	int fd = open("file", O_RDWR);
	CHECK(ftruncate(fd, (off_t)PAGE) == 0);
	shares("file", MAP_SHARED, fd);
	CHECK(pread(fd, buf, 4, 4) == 4 && buf[0] == 5);

	/* Private memory is not shared, whichever side writes first. */
	char *q = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(q != MAP_FAILED);
	q[0] = 1;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		q[0] = 2;
		_exit(q[0]);
	}
	reap_exit(child, 2);
	CHECK(q[0] == 1);
	ok("private");
	return 0;
}
