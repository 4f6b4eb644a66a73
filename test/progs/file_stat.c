/* The stat families, modes, ownership, times, and file systems. */
#include "check.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>

struct raw_statx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t pad;
};

struct raw_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad0;
	uint64_t ino, size, blocks, attributes_mask;
	struct raw_statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare[14];
};

static void show(const char *path)
{
	struct stat a, b, c;
	struct raw_statx x;
	CHECK(lstat(path, &a) == 0);
	CHECK(fstatat(AT_FDCWD, path, &b, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0x7ffU, &x) == 0);
	CHECK(a.st_ino == b.st_ino && a.st_mode == b.st_mode && a.st_size == b.st_size);
	CHECK(x.ino == a.st_ino && x.mode == a.st_mode && x.size == (uint64_t)a.st_size);
	CHECK(x.nlink == a.st_nlink && x.uid == a.st_uid && x.gid == a.st_gid);
	CHECK(x.mtime.sec == a.st_mtim.tv_sec && x.mtime.nsec == a.st_mtim.tv_nsec);
	int fd = open(path, O_PATH | O_NOFOLLOW);
	CHECK(fd >= 0 && fstat(fd, &c) == 0 && c.st_ino == a.st_ino);
	CHECK(syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0x7ffU, &x) == 0 && x.ino == a.st_ino);
	CHECK(close(fd) == 0);
	printf("%s: mode %o links %lu", path, a.st_mode, (unsigned long)a.st_nlink);
	if (!S_ISDIR(a.st_mode))
		printf(" size %lld", (long long)a.st_size);
	printf("\n");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	put_file("file", "0123456789", 10, 0644);
	CHECK(mkdir("dir", 01777) == 0);
	CHECK(symlink("file", "link") == 0 && link("file", "hard") == 0 && symlink("nowhere", "dangling") == 0);
	CHECK(mkfifo("fifo", 0620) == 0);
	show("file");
	show("dir");
	show("link");
	show("fifo");
	show("dangling");
	struct stat st, st2;
	CHECK(stat("link", &st) == 0 && stat("hard", &st2) == 0 && st.st_ino == st2.st_ino);
	CHECK_ERR(stat("dangling", &st), ENOENT);
	CHECK_ERR(stat("file/x", &st), ENOTDIR);
	CHECK(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
	printf("/dev/null rdev %lx\n", (unsigned long)st.st_rdev);
	ok("stat families");

	CHECK(chmod("file", 04751) == 0 && stat("file", &st) == 0 && (st.st_mode & 07777) == 04751);
	int fd = open("file", O_RDWR);
	CHECK(fchmod(fd, 0600) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(chown("file", getuid(), getgid()) == 0);
	CHECK(fchown(fd, (uid_t)-1, (gid_t)-1) == 0 && lchown("link", (uid_t)-1, (gid_t)-1) == 0);
	CHECK_ERR(chmod("none", 0600), ENOENT);
	CHECK(umask(0077) == 022);
	put_file("masked", "", 0, 0666);
	CHECK(umask(022) == 0077);
	CHECK(stat("masked", &st) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(access("file", R_OK | W_OK) == 0);
	CHECK_ERR(access("file", X_OK), EACCES);
	CHECK_ERR(access("file", 077), EINVAL);
	CHECK_ERR(access("none", F_OK), ENOENT);
	ok("modes");

	CHECK(stat("file", &st) == 0);
	CHECK(write(fd, "x", 1) == 1);
	CHECK(fstat(fd, &st2) == 0);
	CHECK(st2.st_mtim.tv_sec > st.st_mtim.tv_sec ||
	      (st2.st_mtim.tv_sec == st.st_mtim.tv_sec && st2.st_mtim.tv_nsec >= st.st_mtim.tv_nsec));
	ok("times move on");

	struct statfs fs, fs2;
	CHECK(statfs(".", &fs) == 0 && fstatfs(fd, &fs2) == 0);
	CHECK(fs.f_type == fs2.f_type && fs.f_bsize == fs2.f_bsize && fs.f_blocks == fs2.f_blocks);
	CHECK(statfs("/proc", &fs) == 0 && (unsigned long)fs.f_type == 0x9fa0);
	struct statvfs v;
	CHECK(statvfs(".", &v) == 0 && v.f_namemax >= 255);
	CHECK_ERR(statfs("none", &fs), ENOENT);
	ok("file systems");
	return 0;
}
