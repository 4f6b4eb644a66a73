/* Extended attributes in the user namespace, where the file system has them. */
#include "check.h"
#include <sys/xattr.h>

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	put_file("file", "", 0, 0644);
	char buf[256];
	if (setxattr("file", "user.one", "first", 5, 0) == -1) {
		CHECK(errno == EOPNOTSUPP);
		puts("user attributes unsupported here");
		return 0;
	}
	CHECK(getxattr("file", "user.one", buf, sizeof buf) == 5 && memcmp(buf, "first", 5) == 0);
	CHECK(getxattr("file", "user.one", NULL, 0) == 5);
	CHECK_ERR(getxattr("file", "user.one", buf, 3), ERANGE);
	CHECK_ERR(getxattr("file", "user.none", buf, sizeof buf), ENODATA);
	CHECK_ERR(getxattr("none", "user.one", buf, sizeof buf), ENOENT);
	CHECK_ERR(setxattr("file", "user.one", "x", 1, XATTR_CREATE), EEXIST);
	CHECK_ERR(setxattr("file", "user.two", "x", 1, XATTR_REPLACE), ENODATA);
	CHECK(setxattr("file", "user.empty", NULL, 0, 0) == 0);
	CHECK(getxattr("file", "user.empty", buf, sizeof buf) == 0);
	ok("by path");

	int fd = open("file", O_RDONLY);
	char big[1000];
	fill(big, sizeof big, 9);
	CHECK(fsetxattr(fd, "user.big", big, sizeof big, 0) == 0);
	char back[1000];
	CHECK(fgetxattr(fd, "user.big", back, sizeof back) == 1000 && memcmp(big, back, 1000) == 0);
	CHECK(lsetxattr("file", "user.two", "second", 6, 0) == 0 && lgetxattr("file", "user.two", buf, 6) == 6);
	ssize_t n = flistxattr(fd, buf, sizeof buf);
	CHECK(n > 0 && listxattr("file", NULL, 0) == n && llistxattr("file", buf, sizeof buf) == n);
	int names = 0;
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(buf + i) + 1)
		names += strncmp(buf + i, "user.", 5) == 0;
	CHECK(names == 4);
	CHECK_ERR(listxattr("file", buf, 2), ERANGE);
	ok("by descriptor, lists");

	CHECK(removexattr("file", "user.one") == 0 && fremovexattr(fd, "user.two") == 0 && lremovexattr("file", "user.big") == 0);
	CHECK_ERR(removexattr("file", "user.one"), ENODATA);
	CHECK_ERR(fgetxattr(99, "user.one", buf, 1), EBADF);
	ok("removal");
	return 0;
}
