/* The *at families, relative to a directory, to the working directory and to a link. */
#include "check.h"

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(mkdirat(AT_FDCWD, "base", 0755) == 0);
	int d = open("base", O_RDONLY | O_DIRECTORY);
	CHECK(d == 3);
	CHECK(mkdirat(d, "sub", 0751) == 0);
	CHECK_ERR(mkdirat(d, "sub", 0755), EEXIST);
	int f = openat(d, "sub/file", O_RDWR | O_CREAT | O_EXCL, 0640);
	CHECK(f == 4 && write(f, "hello", 5) == 5);
	int sub = openat(d, "sub", O_PATH);
	CHECK(sub == 5);
	ok("mkdirat, openat");

	struct stat st;
	CHECK(fstatat(d, "sub/file", &st, 0) == 0 && st.st_size == 5 && (st.st_mode & 07777) == 0640);
	CHECK(fstatat(f, "", &st, AT_EMPTY_PATH) == 0 && st.st_size == 5);
	CHECK(fstatat(sub, "", &st, AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode));
	CHECK_ERR(fstatat(d, "", &st, 0), ENOENT);
	CHECK_ERR(fstatat(99, "x", &st, 0), EBADF);
	CHECK_ERR(syscall(SYS_newfstatat, d, "sub", &st, 0x40000000), EINVAL);
	ok("fstatat");

	CHECK(faccessat(d, "sub/file", R_OK | W_OK, 0) == 0);
	CHECK_ERR(faccessat(d, "sub/file", X_OK, 0), EACCES);
	CHECK_ERR(faccessat(d, "none", F_OK, 0), ENOENT);
	CHECK(syscall(SYS_faccessat2, d, "sub/file", R_OK, AT_EACCESS) == 0);
	CHECK(fchmodat(d, "sub/file", 0604, 0) == 0);
	CHECK(fchownat(d, "sub/file", (uid_t)-1, (gid_t)-1, 0) == 0);
	CHECK(fchownat(d, "sub/file", getuid(), getgid(), AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(fchownat(f, "", getuid(), getgid(), AT_EMPTY_PATH) == 0);
	CHECK(fstat(f, &st) == 0 && (st.st_mode & 07777) == 0604);
	ok("faccessat, fchmodat, fchownat");

	CHECK(linkat(d, "sub/file", AT_FDCWD, "hard", 0) == 0);
	CHECK(stat("hard", &st) == 0 && st.st_nlink == 2);
	CHECK(symlinkat("sub/file", d, "soft") == 0);
	CHECK(fstatat(d, "soft", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) && st.st_size == 8);
	CHECK(linkat(d, "soft", d, "softhard", 0) == 0);
	CHECK(fstatat(d, "softhard", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode));
	CHECK(linkat(d, "soft", d, "followed", AT_SYMLINK_FOLLOW) == 0);
	CHECK(fstatat(d, "followed", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode));
	char buf[64];
	CHECK(readlinkat(d, "soft", buf, sizeof buf) == 8 && memcmp(buf, "sub/file", 8) == 0);
	CHECK(readlinkat(d, "soft", buf, 3) == 3);
	CHECK_ERR(readlinkat(d, "sub", buf, sizeof buf), EINVAL);
	int l = openat(d, "soft", O_PATH | O_NOFOLLOW);
	CHECK(l == 6 && readlinkat(l, "", buf, sizeof buf) == 8);
	CHECK_ERR(openat(d, "soft", O_RDONLY | O_NOFOLLOW), ELOOP);
	ok("links");

	struct timespec ts[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
	CHECK(utimensat(d, "sub/file", ts, 0) == 0);
	CHECK(fstat(f, &st) == 0 && st.st_mtim.tv_sec == 1100000000);
	printf("mtime %lld.%09ld\n", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1].tv_sec = 1200000000;
	CHECK(futimens(f, ts) == 0);
	CHECK(fstat(f, &st) == 0 && st.st_mtim.tv_sec == 1200000000 && st.st_atim.tv_sec == 1000000000);
	CHECK(utimensat(d, "sub/file", NULL, 0) == 0);
	CHECK(fstat(f, &st) == 0 && st.st_mtim.tv_sec > 1200000000);
	CHECK(utimensat(d, "soft", ts, AT_SYMLINK_NOFOLLOW) == 0);
	ts[0].tv_nsec = 2000000000;
	CHECK_ERR(utimensat(d, "sub/file", ts, 0), EINVAL);
	ok("utimensat");

	CHECK(renameat(d, "followed", AT_FDCWD, "renamed") == 0);
	CHECK(mknodat(d, "fifo", S_IFIFO | 0600, 0) == 0);
	CHECK(fstatat(d, "fifo", &st, 0) == 0 && S_ISFIFO(st.st_mode));
	CHECK_ERR(unlinkat(d, "sub", 0), EISDIR);
	CHECK_ERR(unlinkat(d, "sub", AT_REMOVEDIR), ENOTEMPTY);
	CHECK_ERR(unlinkat(d, "sub/file", AT_REMOVEDIR), ENOTDIR);
	CHECK(unlinkat(d, "sub/file", 0) == 0 && unlinkat(d, "sub", AT_REMOVEDIR) == 0);
	CHECK(fstat(f, &st) == 0 && st.st_nlink == 2);
	CHECK_ERR(openat(sub, "x", O_WRONLY | O_CREAT, 0644), ENOENT);
	ok("renameat, mknodat, unlinkat");
	return 0;
}
