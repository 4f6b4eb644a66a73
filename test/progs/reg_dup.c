/* dup, dup2, dup3 and F_DUPFD: the right number, the same open file, its flags. */
#include "check.h"

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	put_file("file", "abcdefghijklmnopqrstuvwxyz", 26, 0644);
	char c;

	/* Read-only and writable files mixed: MvArmor numbered them apart. */
	int ro = open("file", O_RDONLY), rw = open("file", O_RDWR), p[2];
	CHECK(ro == 3 && rw == 4);
	CHECK(pipe(p) == 0 && p[0] == 5 && p[1] == 6);
	CHECK(dup(rw) == 7 && dup(ro) == 8 && dup(p[0]) == 9 && dup(p[1]) == 10);
	CHECK(lseek(ro, 10, SEEK_SET) == 10);
	CHECK(read(8, &c, 1) == 1 && c == 'k');
	CHECK(read(ro, &c, 1) == 1 && c == 'l');
	CHECK(write(10, "z", 1) == 1 && read(9, &c, 1) == 1 && c == 'z');
	ok("dup");

	CHECK(dup2(ro, 20) == 20);
	CHECK(dup2(rw, 5) == 5 && dup2(rw, 6) == 6 && dup2(ro, 7) == 7);
	CHECK(dup2(ro, ro) == ro);
	CHECK_ERR(dup2(99, 99), EBADF);
	CHECK_ERR(dup2(99, 5), EBADF);
	CHECK_ERR(dup2(ro, -1), EBADF);
	CHECK(read(5, &c, 1) == 1 && c == 'a');
	CHECK(read(6, &c, 1) == 1 && c == 'b');
	CHECK(read(7, &c, 1) == 1 && c == 'm');
	ok("dup2");

	CHECK(dup3(ro, 30, O_CLOEXEC) == 30);
	CHECK(fcntl(30, F_GETFD) == FD_CLOEXEC);
	CHECK(dup3(ro, 30, 0) == 30);
	CHECK(fcntl(30, F_GETFD) == 0);
	CHECK_ERR(syscall(SYS_dup3, ro, ro, 0), EINVAL);
	CHECK_ERR(syscall(SYS_dup3, ro, 31, O_APPEND), EINVAL);
	ok("dup3");

	CHECK(fcntl(ro, F_DUPFD, 100) == 100);
	CHECK(fcntl(ro, F_DUPFD, 100) == 101);
	CHECK(fcntl(ro, F_DUPFD_CLOEXEC, 100) == 102);
	CHECK(fcntl(102, F_GETFD) == FD_CLOEXEC && fcntl(101, F_GETFD) == 0);
	CHECK(fcntl(ro, F_DUPFD, 0) == 11);
	CHECK_ERR(fcntl(ro, F_DUPFD, -1), EINVAL);
	CHECK_ERR(fcntl(99, F_DUPFD, 0), EBADF);
	CHECK(read(101, &c, 1) == 1 && c == 'n');
	CHECK(fcntl(102, F_SETFD, 0) == 0 && fcntl(102, F_GETFD) == 0);
	ok("F_DUPFD");

	/* Standard streams moved away and back, as a shell does for a redirection. */
	CHECK(fcntl(1, F_DUPFD, 10) == 12);
	int out = open("redirected", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(dup2(out, 1) == 1);
	CHECK(close(out) == 0);
	puts("into the file");
	CHECK(close(1) == 0);
	CHECK(dup2(12, 1) == 1);
	CHECK(close(0) == 0);
	CHECK(open("file", O_RDONLY) == 0);
	CHECK(read(0, &c, 1) == 1 && c == 'a');
	CHECK(dup2(rw, 2) == 2);
	CHECK(read(2, &c, 1) == 1 && c == 'c');
	char buf[32];
	CHECK(get_file("redirected", buf, sizeof buf) == 14);
	ok("standard streams");
	return 0;
}
