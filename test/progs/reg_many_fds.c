/* Hundreds of descriptors: numbers in sequence, holes filled lowest first. */
#include "check.h"
#include <sys/resource.h>

#define MANY 700

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	struct rlimit rl;
	CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0);
	CHECK(rl.rlim_max >= MANY + 10);
	if (rl.rlim_cur < MANY + 10) {
		rl.rlim_cur = MANY + 10;
		CHECK(setrlimit(RLIMIT_NOFILE, &rl) == 0);
	}
	put_file("file", "0123456789", 10, 0644);
	for (int i = 0; i < MANY; i++) {
		int fd;
		switch (i % 4) {
		case 0: fd = open("file", O_RDONLY); break;
		case 1: fd = open("file", O_RDWR); break;
		case 2: fd = dup(i + 2); break;
		default: fd = open("/dev/null", O_WRONLY);
		}
		CHECK(fd == i + 3);
	}
	ok("opened in sequence");

	char c;
	CHECK(pread(3, &c, 1, 5) == 1 && c == '5');
	CHECK(lseek(MANY - MANY % 4 + 3 - 4, 7, SEEK_SET) == 7);
	CHECK(read(MANY - MANY % 4 + 3 - 4, &c, 1) == 1 && c == '7');

	for (int i = 600; i >= 10; i -= 10)
		CHECK(close(i) == 0);
	for (int i = 10; i <= 600; i += 10)
		CHECK(open("file", O_RDONLY) == i);
	CHECK(open("file", O_RDONLY) == MANY + 3);
	ok("holes filled lowest first");

	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		for (int i = 3; i < MANY + 4; i++)
			CHECK(close(i) == 0);
		CHECK(open("file", O_RDONLY) == 3);
		_exit(0);
	}
	reap_exit(child, 0);
	CHECK(open("file", O_RDONLY) == MANY + 4);
	for (int i = 3; i < MANY + 5; i++)
		CHECK(close(i) == 0);
	CHECK_ERR(close(3), EBADF);
	CHECK(open("file", O_RDONLY) == 3);
	ok("a child's closing is its own");

	rl.rlim_cur = 20;
	CHECK(setrlimit(RLIMIT_NOFILE, &rl) == 0);
	for (int i = 4; i < 20; i++)
		CHECK(open("file", O_RDONLY) == i);
	CHECK_ERR(open("file", O_RDONLY), EMFILE);
	CHECK_ERR(dup(3), EMFILE);
	CHECK_ERR(dup2(3, 20), EBADF);
	CHECK_ERR(fcntl(3, F_DUPFD, 20), EINVAL);
	int p[2];
	CHECK_ERR(pipe(p), EMFILE);
	CHECK(close(7) == 0);
	CHECK_ERR(pipe(p), EMFILE);
	CHECK(open("file", O_RDONLY) == 7);
	ok("limit");
	return 0;
}
