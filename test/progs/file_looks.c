/* Looking at what has a name, often: whatever becomes of links, directories, and files that are
 * shown otherwise than they are. */
#include "check.h"
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

enum { TIMES = 200 };

/* struct statx, of which not all C libraries know: what is looked at of it. */
enum { STATX_BASIC = 0x7ff };

struct looked {
	unsigned more[7];
	unsigned short mode, unused;
	unsigned long ino;
	unsigned rest[24];
	unsigned dev_major, dev_minor, end[28];
};

static struct stat own;

/* The same by each call that there is for it. */
static void look(int dir, const char *name, int follow, mode_t type, int err)
{
	struct stat a, b;
	struct looked x;
	int flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;

	memset(&a, 0, sizeof(a));
	CHECK(syscall(SYS_newfstatat, dir, name, &a, flags) == (err ? -1 : 0) && (!err || errno == err));
	CHECK(err || (a.st_mode & S_IFMT) == type);
	memset(&x, 0, sizeof(x));
	CHECK(syscall(SYS_statx, dir, name, flags, STATX_BASIC, &x) == (err ? -1 : 0) && (!err || errno == err));
	CHECK(err || (x.ino == a.st_ino && x.mode == a.st_mode && makedev(x.dev_major, x.dev_minor) == a.st_dev));
	if (dir == AT_FDCWD) {
		CHECK(syscall(follow ? SYS_stat : SYS_lstat, name, &b) == (err ? -1 : 0) && (!err || errno == err));
		CHECK(err || (a.st_ino == b.st_ino && a.st_mode == b.st_mode && a.st_dev == b.st_dev));
	}
	if (follow) {
		CHECK(faccessat(dir, name, F_OK, 0) == (err ? -1 : 0) && (!err || errno == err));
		CHECK(syscall(SYS_faccessat2, dir, name, F_OK, AT_EACCESS) == (err ? -1 : 0) && (!err || errno == err));
	}
}

static void link_says(int dir, const char *name, const char *want)
{
	char got[4096];
	ssize_t n = readlinkat(dir, name, got, sizeof(got));

	CHECK(n == (ssize_t)strlen(want) && !memcmp(got, want, (size_t)n));
	if (dir == AT_FDCWD)
		CHECK(readlink(name, got, 2) == 2 && !memcmp(got, want, 2));
}

/* It is the program's file, and not that of whoever runs it. */
static void is_own(int dir, const char *name)
{
	struct stat st;

	CHECK(!fstatat(dir, name, &st, 0) && st.st_ino == own.st_ino && st.st_dev == own.st_dev && st.st_size == own.st_size);
}

static void is_procfs(const char *name, int yes)
{
	struct statfs fs;

	CHECK(!statfs(name, &fs) && (fs.f_type == 0x9fa0) == yes);
}

static void ordinary(const char *dir, int fd)
{
	char path[4096], longer[600];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	snprintf(path, sizeof(path), "%s/looks.file", dir);
	look(AT_FDCWD, path, 1, S_IFREG, 0);
	look(fd, "looks.file", 1, S_IFREG, 0);
	look(fd, "looks.link", 1, S_IFREG, 0);
	look(fd, "looks.link", 0, S_IFLNK, 0);
	look(fd, "looks.loop", 1, 0, ELOOP);
	look(fd, "looks.loop", 0, S_IFLNK, 0);
	look(fd, "looks.absent", 1, 0, ENOENT);
	look(fd, "looks.file/under", 1, 0, ENOTDIR);
	look(fd, longer, 1, 0, ENAMETOOLONG);
	look(fd, "", 1, 0, ENOENT);
	look(AT_FDCWD, "/", 1, S_IFDIR, 0);
	look(AT_FDCWD, ".", 1, S_IFDIR, 0);
	look(AT_FDCWD, "/dev/null", 1, S_IFCHR, 0);
	look(AT_FDCWD, "/looks.absent", 0, 0, ENOENT);
	look(-1, "looks.file", 1, 0, EBADF);
	look(fd, (const char *)8, 1, 0, EFAULT);
	/* Of names that are absolute the descriptor does not matter, whatever it is. */
	look(-1, path, 1, S_IFREG, 0);
	look(-9, path, 1, S_IFREG, 0);
	look(5000, path, 1, S_IFREG, 0);
	look(1000000, path, 1, S_IFREG, 0);
	look(0x7fffffff, path, 1, S_IFREG, 0);
	link_says(fd, "looks.link", "looks.file");
	CHECK(readlinkat(fd, "looks.file", path, sizeof(path)) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_newfstatat, fd, "looks.file", (void *)8, 0) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_newfstatat, fd, "looks.file", path, 0x10) == -1 && errno == EINVAL);
	is_procfs("/", 0);
}

/* Names that lead into /proc by themselves, from where they begin, or by a link. */
static void made_up(int fd, const char *exe)
{
	look(AT_FDCWD, "/proc/self/exe", 0, S_IFLNK, 0);
	link_says(AT_FDCWD, "/proc/self/exe", exe);
	is_own(AT_FDCWD, "/proc/self/exe");
	is_own(fd, "looks.exe");
	is_own(AT_FDCWD, "exe");
	is_own(AT_FDCWD, "../self/exe");
	look(AT_FDCWD, "exe", 0, S_IFLNK, 0);
	link_says(AT_FDCWD, "exe", exe);
	look(AT_FDCWD, "maps", 1, S_IFREG, 0);
	look(AT_FDCWD, "absent", 1, 0, ENOENT);
	is_procfs(".", 1);
	is_procfs("/dev/fd", 1);
	look(AT_FDCWD, "/dev/stdout", 0, S_IFLNK, 0);
}

int main(int argc, char **argv)
{
	char exe[4096], here[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	int i, fd = open(".", O_RDONLY | O_DIRECTORY), proc;

	UNUSED(argc);
	begin();
	CHECK(n > 0 && fd >= 0 && getcwd(here, sizeof(here)) && !stat(argv[0], &own));
	exe[n] = 0;
	CHECK(close(openat(fd, "looks.file", O_CREAT | O_WRONLY, 0600)) == 0);
	CHECK(!symlinkat("looks.file", fd, "looks.link") && !symlinkat("looks.loop", fd, "looks.loop"));
	CHECK(!symlinkat("/proc/self/exe", fd, "looks.exe"));
	for (i = 0; i < TIMES; i++)
		ordinary(here, fd);
	/* By one descriptor for each place, and back again. */
	for (i = 0; i < TIMES / 10; i++) {
		CHECK(!chdir("/proc/self"));
		made_up(fd, exe);
		proc = open(".", O_RDONLY | O_DIRECTORY);
		CHECK(proc >= 0 && !fchdir(fd));
		is_own(proc, "exe");
		link_says(proc, "exe", exe);
		look(proc, "maps", 1, S_IFREG, 0);
		CHECK(!close(proc));
		ordinary(here, fd);
	}
	CHECK(!unlinkat(fd, "looks.file", 0) && !unlinkat(fd, "looks.link", 0) && !unlinkat(fd, "looks.loop", 0) && !unlinkat(fd, "looks.exe", 0));
	ok("looks");
	return 0;
}
