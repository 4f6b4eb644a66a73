/* Calls that name files: one that succeeds and one that fails of each. */
#include "sys.h"
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <utime.h>

#define CWD AT_FDCWD

static void making(void)
{
	shown("close", close((int)CALL(creat, "f", 0644)));
	CALL(creat, "none/f", 0644);
	close((int)CALL(open, "f", O_RDONLY, 0));
	CALL(open, "none", O_RDONLY, 0);
	close((int)CALL(openat, CWD, "f", O_RDONLY, 0));
	CALL(openat, CWD, "none", O_RDONLY, 0);
	uint64_t how[3] = {O_RDONLY};
	close((int)CALL(openat2, CWD, "f", how, sizeof how));
	CALL(openat2, CWD, "f", how, 1);
	CALL(close, -1);
	CALL(mknod, "fifo", S_IFIFO | 0600, 0);
	CALL(mknod, "fifo", S_IFIFO | 0600, 0);
	CALL(mknodat, CWD, "fifo2", S_IFIFO | 0600, 0);
	CALL(mknodat, CWD, "fifo2", S_IFIFO | 0600, 0);
	CALL(mkdir, "d", 0755);
	CALL(mkdir, "d", 0755);
	CALL(mkdirat, CWD, "d2", 0755);
	CALL(mkdirat, CWD, "d2", 0755);
	CALL(link, "f", "l");
	CALL(link, "f", "l");
	CALL(linkat, CWD, "f", CWD, "l2", 0);
	CALL(linkat, CWD, "f", CWD, "l2", 0);
	CALL(symlink, "f", "s");
	CALL(symlink, "f", "s");
	CALL(symlinkat, "f", CWD, "s2");
	CALL(symlinkat, "f", CWD, "s2");
	CALL(rename, "l2", "l3");
	CALL(rename, "l2", "l3");
	CALL(renameat, CWD, "l3", CWD, "l4");
	CALL(renameat, CWD, "l3", CWD, "l4");
	CALL(renameat2, CWD, "l4", CWD, "l5", RENAME_NOREPLACE);
	CALL(renameat2, CWD, "l5", CWD, "l", RENAME_NOREPLACE);
}

static void asking(void)
{
	char buf[4096];
	int fd = open("f", O_RDWR);
	CHECK(fd >= 0);
	VALUE(stat, "f", buf);
	VALUE(stat, "none", buf);
	VALUE(lstat, "s", buf);
	VALUE(lstat, "none", buf);
	VALUE(fstat, fd, buf);
	VALUE(fstat, -1, buf);
	VALUE(newfstatat, CWD, "f", buf, 0);
	VALUE(newfstatat, CWD, "none", buf, 0);
	VALUE(statx, CWD, "f", 0, 0x7ff, buf);
	VALUE(statx, CWD, "none", 0, 0x7ff, buf);
	VALUE(access, "f", R_OK);
	VALUE(access, "none", R_OK);
	VALUE(faccessat, CWD, "f", R_OK);
	VALUE(faccessat, CWD, "none", R_OK);
	VALUE(faccessat2, CWD, "f", R_OK, 0);
	VALUE(faccessat2, CWD, "f", R_OK, 1);
	VALUE(statfs, ".", buf);
	VALUE(statfs, "none", buf);
	VALUE(fstatfs, fd, buf);
	VALUE(fstatfs, -1, buf);
	struct stat st;
	CHECK(stat("/proc/self", &st) == 0);
	/* Linux has forgotten the width of its argument: a device of 32 bits. */
	CALL(ustat, (unsigned)(minor(st.st_dev) | major(st.st_dev) << 8), buf);
	CALL(ustat, 0xffffffff, buf);
	VALUE(readlink, "s", buf, 10);
	VALUE(readlink, "f", buf, 10);
	VALUE(readlinkat, CWD, "s", buf, 10);
	VALUE(readlinkat, CWD, "f", buf, 10);
	int dir = open("d", O_RDONLY | O_DIRECTORY);
	CALL(getdents, dir, buf, sizeof buf);
	CALL(getdents, fd, buf, sizeof buf);
	CHECK(lseek(dir, 0, SEEK_SET) == 0);
	CALL(getdents64, dir, buf, sizeof buf);
	CALL(getdents64, fd, buf, sizeof buf);
	CALL(fchdir, dir);
	CALL(fchdir, fd);
	CALL(chdir, "..");
	CALL(chdir, "none");
	CALL(getcwd, buf, sizeof buf);
	CALL(getcwd, buf, 1);
	/* umask cannot fail. */
	VALUE(umask, 022);
	CALL(chroot, "none");
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CALL(chroot, "d");
		_exit(0);
	}
	reap_exit(child, 0);
	close(dir);
	close(fd);
}

static void changing(void)
{
	int fd = open("f", O_RDWR);
	struct timespec ts[2] = {{.tv_sec = 100}, {.tv_sec = 200}};
	struct { long s, us; } tv[2] = {{300, 1}, {400, 2}};
	struct utimbuf ut = {500, 600};
	CALL(chmod, "f", 0600);
	CALL(chmod, "none", 0600);
	CALL(fchmod, fd, 0644);
	CALL(fchmod, -1, 0644);
	CALL(fchmodat, CWD, "f", 0600);
	CALL(fchmodat, CWD, "none", 0600);
	CALL(fchmodat2, CWD, "f", 0644, 0);
	CALL(fchmodat2, CWD, "f", 0644, 1);
	CALL(chown, "f", -1, -1);
	CALL(chown, "none", -1, -1);
	CALL(lchown, "s", -1, -1);
	CALL(lchown, "none", -1, -1);
	CALL(fchown, fd, -1, -1);
	CALL(fchown, -1, -1, -1);
	CALL(fchownat, CWD, "f", -1, -1, 0);
	CALL(fchownat, CWD, "none", -1, -1, 0);
	CALL(utimensat, CWD, "f", ts, 0);
	CALL(utimensat, CWD, "none", ts, 0);
	CALL(utimes, "f", tv);
	CALL(utimes, "none", tv);
	CALL(futimesat, CWD, "f", tv);
	CALL(futimesat, CWD, "none", tv);
	CALL(utime, "f", &ut);
	CALL(utime, "none", &ut);
	struct stat st;
	CHECK(stat("f", &st) == 0);
	printf("times %ld %ld\n", (long)st.st_atime, (long)st.st_mtime);
	CALL(truncate, "f", 100);
	CALL(truncate, "none", 100);
	CALL(ftruncate, fd, 10);
	CALL(ftruncate, -1, 10);
	/* Which attributes there are depends on the file system. */
	uint64_t attr[3] = {0};
	if (CALL(file_getattr, CWD, "f", attr, sizeof attr, 0) == 0)
		CALL(file_setattr, CWD, "f", attr, sizeof attr, 0);
	CALL(file_getattr, CWD, "none", attr, sizeof attr, 0);
	CALL(file_setattr, CWD, "none", attr, sizeof attr, 0);
	CALL(quotactl, 0x800001u << 8, NULL, 0, NULL);
	CALL(quotactl, 0x800004u << 8, "none", 0, attr);
	CALL(quotactl_fd, fd, 0x800001u << 8, 0, NULL);
	CALL(quotactl_fd, -1, 0x800001u << 8, 0, NULL);
	VALUE(sysfs, 1, "nosuchfs");
	CALL(sysfs, 3);
	struct { unsigned bytes; int type; unsigned char data[128]; } handle = {.bytes = 128};
	int mount;
	uint64_t unique = ~0ull;
	CALL(name_to_handle_at, CWD, "f", &handle, &mount, 0);
	unsigned bytes = handle.bytes;
	handle.bytes = 0;
	CALL(name_to_handle_at, CWD, "f", &handle, &mount, 0);
	printf("as long as it needs: %d\n", handle.bytes == bytes || bytes == 128);
	CALL(name_to_handle_at, CWD, "none", &handle, &mount, 0);
	handle.bytes = 128;
	CALL(name_to_handle_at, CWD, "f", &handle, &unique, 1);
	int here = open(".", O_RDONLY | O_DIRECTORY), by = (int)CALL(open_by_handle_at, here, &handle, O_RDWR);
	if (by >= 0) {
		char back[4] = "";
		SHOW("written by handle", pwrite(by, "abc", 3, 0));
		SHOW("read back", pread(fd, back, 3, 0));
		printf("%s\n", back);
	}
	handle.bytes = 0;
	CALL(open_by_handle_at, here, &handle, O_RDONLY);
	CALL(open_by_handle_at, here, NOWHERE, O_RDONLY);
	close(by);
	close(here);
	close(fd);
}

static void attributes(void)
{
	char buf[256];
	int fd = open("f", O_RDWR);
	CALL(setxattr, "f", "user.a", "1", 1, 0);
	CALL(setxattr, "f", "bad", "1", 1, 0);
	CALL(lsetxattr, "f", "user.b", "2", 1, 0);
	CALL(lsetxattr, "none", "user.b", "2", 1, 0);
	CALL(fsetxattr, fd, "user.c", "3", 1, 0);
	CALL(fsetxattr, -1, "user.c", "3", 1, 0);
	VALUE(getxattr, "f", "user.a", buf, sizeof buf);
	VALUE(getxattr, "f", "user.none", buf, sizeof buf);
	VALUE(lgetxattr, "f", "user.a", buf, sizeof buf);
	VALUE(lgetxattr, "f", "user.none", buf, sizeof buf);
	VALUE(fgetxattr, fd, "user.a", buf, sizeof buf);
	VALUE(fgetxattr, fd, "user.none", buf, sizeof buf);
	CALL(listxattr, "f", buf, sizeof buf);
	CALL(listxattr, "none", buf, sizeof buf);
	CALL(llistxattr, "f", buf, sizeof buf);
	CALL(llistxattr, "none", buf, sizeof buf);
	CALL(flistxattr, fd, buf, sizeof buf);
	CALL(flistxattr, -1, buf, sizeof buf);
	struct { uint64_t value; uint32_t size, flags; } set = {(uintptr_t)"four", 4, 0}, get = {(uintptr_t)buf, sizeof buf, 0};
	VALUE(setxattrat, CWD, "f", 0, "user.d", &set, sizeof set);
	set.size = 65537;
	VALUE(setxattrat, CWD, "f", 0, "user.d", &set, sizeof set);
	set.size = 4;
	VALUE(setxattrat, CWD, "f", 0, "user.d", &set, 8);
	set.value = (uintptr_t)NOWHERE;
	VALUE(setxattrat, CWD, "f", 0, "user.d", &set, sizeof set);
	memset(buf, 0, sizeof buf);
	VALUE(getxattrat, CWD, "f", 0, "user.d", &get, sizeof get);
	printf("value %s\n", buf);
	get.size = 0;
	VALUE(getxattrat, CWD, "f", 0, "user.d", &get, sizeof get);
	get.size = 1;
	VALUE(getxattrat, CWD, "f", 0, "user.d", &get, sizeof get);
	get.size = 4;
	get.value = (uintptr_t)NOWHERE;
	VALUE(getxattrat, CWD, "f", 0, "user.d", &get, sizeof get);
	VALUE(getxattrat, CWD, "f", 0, "user.none", &get, sizeof get);
	VALUE(getxattrat, CWD, "f", 0, "user.d", NOWHERE, sizeof get);
	CALL(listxattrat, CWD, "f", 0, buf, sizeof buf);
	CALL(listxattrat, CWD, "none", 0, buf, sizeof buf);
	CALL(removexattrat, CWD, "f", 0, "user.a");
	CALL(removexattrat, CWD, "f", 0, "user.a");
	CALL(removexattr, "f", "user.b");
	CALL(removexattr, "f", "user.b");
	CALL(lremovexattr, "f", "user.c");
	CALL(lremovexattr, "f", "user.c");
	CALL(fsetxattr, fd, "user.c", "3", 1, 0);
	CALL(fremovexattr, fd, "user.c");
	CALL(fremovexattr, fd, "user.c");
	close(fd);
}

static void removing(void)
{
	CALL(rmdir, "d");
	CALL(rmdir, "d");
	CALL(unlink, "l");
	CALL(unlink, "l");
	CALL(unlinkat, CWD, "d2", AT_REMOVEDIR);
	CALL(unlinkat, CWD, "d2", AT_REMOVEDIR);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	making();
	asking();
	changing();
	attributes();
	removing();
	return 0;
}
