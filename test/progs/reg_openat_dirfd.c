/* openat relative to a directory descriptor, which must be the leader's. */
#include "check.h"

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(mkdir("one", 0755) == 0 && mkdir("two", 0755) == 0);
	put_file("one/file", "1", 1, 0644);
	put_file("two/file", "2", 1, 0644);
	/* Numbers that differ between a leader's and a follower's own tables. */
	CHECK(open("one/file", O_RDWR) == 3);
	int one = open("one", O_RDONLY | O_DIRECTORY), two = open("two", O_PATH | O_DIRECTORY);
	CHECK(one == 4 && two == 5);
	char c;
	int fd = openat(one, "file", O_RDONLY);
	CHECK(fd == 6 && read(fd, &c, 1) == 1 && c == '1');
	CHECK(close(fd) == 0);
	fd = openat(two, "file", O_RDONLY);
	CHECK(fd == 6 && read(fd, &c, 1) == 1 && c == '2');
	CHECK(openat(two, "new", O_WRONLY | O_CREAT | O_EXCL, 0600) == 7);
	CHECK_ERR(openat(one, "new", O_RDONLY), ENOENT);
	CHECK(openat(one, "../two/new", O_RDONLY) == 8);
	CHECK(openat(AT_FDCWD, "two/new", O_RDONLY) == 9);
	CHECK_ERR(openat(99, "file", O_RDONLY), EBADF);
	CHECK_ERR(openat(fd, "file", O_RDONLY), ENOTDIR);
	/* An absolute path makes the descriptor irrelevant, even a bad one. */
	fd = openat(99, "/dev/null", O_RDONLY);
	CHECK(fd == 10);
	CHECK_ERR(read(two, &c, 1), EBADF);
	CHECK(fchdir(two) == 0);
	CHECK(access("new", F_OK) == 0);
	ok("openat");
	return 0;
}
