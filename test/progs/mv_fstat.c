/* MvArmor's fstat: every field of standard output's and of a file's status. */
#include "check.h"

static void show(const char *name, int fd)
{
	struct stat st, again;
	CHECK(fstat(fd, &st) == 0);
	CHECK(fstat(fd, &again) == 0);
	CHECK(st.st_ino == again.st_ino && st.st_dev == again.st_dev);
	printf("%s mode=%o nlink=%lu uid=%u gid=%u rdev=%lx blksize=%ld dev=%lx ino=%lu\n", name,
	       st.st_mode, (unsigned long)st.st_nlink, st.st_uid, st.st_gid, (unsigned long)st.st_rdev,
	       (long)st.st_blksize, (unsigned long)st.st_dev, (unsigned long)st.st_ino);
	printf("%s times=%lld.%09ld %lld.%09ld %lld.%09ld\n", name, (long long)st.st_atim.tv_sec,
	       st.st_atim.tv_nsec, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
	       (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	put_file("file", "0123456789", 10, 0640);
	int fd = open("file", O_RDWR);
	CHECK(fd == 3);
	show("stdout", 1);
	show("file", fd);
	struct stat st;
	CHECK(fstat(fd, &st) == 0 && st.st_size == 10 && S_ISREG(st.st_mode));
	CHECK_ERR(fstat(99, &st), EBADF);
	return 0;
}
