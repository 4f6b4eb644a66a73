/* Names: rename and renameat2, link, symlink, readlink, unlink, and how each fails. */
#include "check.h"

static long renameat2_(const char *a, const char *b, unsigned flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

static int holds(const char *path, const char *text)
{
	char buf[64];
	size_t n = get_file(path, buf, sizeof buf);
	return n == strlen(text) && memcmp(buf, text, n) == 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	put_file("a", "A", 1, 0644);
	put_file("b", "B", 1, 0644);
	CHECK(mkdir("d", 0755) == 0 && mkdir("full", 0755) == 0);
	put_file("full/x", "X", 1, 0644);

	CHECK(rename("a", "c") == 0 && holds("c", "A"));
	CHECK(rename("c", "b") == 0 && holds("b", "A"));
	CHECK_ERR(rename("none", "x"), ENOENT);
	CHECK_ERR(rename("b", "d"), EISDIR);
	CHECK_ERR(rename("d", "b"), ENOTDIR);
	CHECK_ERR(rename("d", "full"), ENOTEMPTY);
	CHECK_ERR(rename("d", "d/below"), EINVAL);
	CHECK(rename("full", "d") == 0 && holds("d/x", "X"));
	CHECK(rename("b", "b") == 0);
	ok("rename");

	put_file("p", "P", 1, 0644);
	CHECK_ERR(renameat2_("b", "p", RENAME_NOREPLACE), EEXIST);
	CHECK(renameat2_("b", "q", RENAME_NOREPLACE) == 0 && holds("q", "A"));
	CHECK(renameat2_("q", "p", RENAME_EXCHANGE) == 0 && holds("q", "P") && holds("p", "A"));
	CHECK(renameat2_("q", "d", RENAME_EXCHANGE) == 0 && holds("d", "P") && holds("q/x", "X"));
	CHECK_ERR(renameat2_("q", "none", RENAME_EXCHANGE), ENOENT);
	CHECK_ERR(renameat2_("q", "p", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
	ok("renameat2");

	struct stat st;
	CHECK(link("p", "p2") == 0 && stat("p", &st) == 0 && st.st_nlink == 2);
	CHECK_ERR(link("p", "p2"), EEXIST);
	CHECK_ERR(link("q", "q2"), EPERM);
	CHECK_ERR(link("none", "x"), ENOENT);
	CHECK(unlink("p") == 0 && stat("p2", &st) == 0 && st.st_nlink == 1);
	CHECK_ERR(unlink("p"), ENOENT);
	CHECK_ERR(unlink("q"), EISDIR);
	ok("link and unlink");

	char buf[64];
	CHECK(symlink("p2", "s") == 0 && holds("s", "A"));
	CHECK_ERR(symlink("p2", "s"), EEXIST);
	CHECK_ERR(symlink("", "s2"), ENOENT);
	memset(buf, '#', sizeof buf);
	CHECK(readlink("s", buf, sizeof buf) == 2 && memcmp(buf, "p2#", 3) == 0);
	CHECK_ERR(readlink("p2", buf, sizeof buf), EINVAL);
	CHECK_ERR(syscall(SYS_readlink, "s", buf, 0), EINVAL);
	CHECK(symlink("loop2", "loop1") == 0 && symlink("loop1", "loop2") == 0);
	CHECK_ERR(open("loop1", O_RDONLY), ELOOP);
	CHECK(unlink("s") == 0 && holds("p2", "A"));
	CHECK(remove("q/x") == 0 && remove("q") == 0);
	ok("symlink and readlink");

	char tmp[] = "tmpXXXXXX";
	int fd = mkstemp(tmp);
	CHECK(fd >= 0 && unlink(tmp) == 0);
	char tmpd[] = "dirXXXXXX";
	CHECK(mkdtemp(tmpd) != NULL && rmdir(tmpd) == 0);
	ok("temporary names");
	return 0;
}
