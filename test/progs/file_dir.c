/* Directories: getdents64 through small buffers, positions, working directory. */
#include "check.h"
#include <dirent.h>

struct raw_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* Reads all entries through a buffer of n bytes; returns how many, and a sum of their names. */
static int entries(int fd, size_t n, uint64_t *sum)
{
	char *buf = malloc(n);
	CHECK(buf != NULL);
	int count = 0;
	*sum = 0;
	for (;;) {
		long got = syscall(SYS_getdents64, fd, buf, n);
		CHECK(got >= 0);
		if (got == 0)
			break;
		for (long at = 0; at < got;) {
			struct raw_dirent *d = (struct raw_dirent *)(buf + at);
			*sum += checksum(d->name, strlen(d->name));
			CHECK(d->reclen > 0 && d->type == (d->name[0] == '.' || strcmp(d->name, "sub") == 0 ? DT_DIR : DT_REG));
			at += d->reclen;
			count++;
		}
	}
	free(buf);
	return count;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char name[300];
	CHECK(mkdir("d", 0755) == 0 && mkdir("d/sub", 0755) == 0);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "d/entry-%0*d", i % 50 + 3, i);
		put_file(name, "", 0, 0644);
	}
	int fd = open("d", O_RDONLY | O_DIRECTORY);
	uint64_t sum, first = 0;
	static const size_t sizes[] = {96, 128, 500, 4096, 32768, 1 << 20};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		CHECK(lseek(fd, 0, SEEK_SET) == 0);
		CHECK(entries(fd, sizes[i], &sum) == 203);
		CHECK(first == 0 || sum == first);
		first = sum;
	}
	printf("names %016llx\n", (unsigned long long)sum);
	char small[8];
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK_ERR(syscall(SYS_getdents64, fd, small, sizeof small), EINVAL);
	int file = open("d/entry-000", O_RDONLY);
	CHECK_ERR(syscall(SYS_getdents64, file, name, sizeof name), ENOTDIR);
	ok("getdents64");

	DIR *d = opendir("d");
	CHECK(d != NULL);
	long pos = 0;
	char at[256] = "";
	for (int i = 0; i < 50; i++) {
		if (i == 20)
			pos = telldir(d);
		struct dirent *e = readdir(d);
		CHECK(e != NULL);
		if (i == 20)
			strcpy(at, e->d_name);
	}
	seekdir(d, pos);
	CHECK(strcmp(readdir(d)->d_name, at) == 0);
	rewinddir(d);
	int n = 0;
	while (readdir(d))
		n++;
	CHECK(n == 203);
	CHECK(closedir(d) == 0);
	ok("readdir, seekdir, rewinddir");

	char before[PATH_MAX], after[PATH_MAX];
	CHECK(getcwd(before, sizeof before) != NULL);
	CHECK(chdir("d/sub") == 0 && getcwd(after, sizeof after) != NULL);
	CHECK(strcmp(after + strlen(before), "/d/sub") == 0);
	CHECK(fchdir(fd) == 0 && getcwd(after, sizeof after) != NULL);
	CHECK(strcmp(after + strlen(before), "/d") == 0);
	CHECK(syscall(SYS_getcwd, after, sizeof after) == (long)strlen(after) + 1);
	CHECK_ERR(syscall(SYS_getcwd, after, 2), ERANGE);
	CHECK_ERR(chdir("none"), ENOENT);
	CHECK_ERR(chdir("entry-000"), ENOTDIR);
	CHECK_ERR(fchdir(file), ENOTDIR);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(chdir("sub") == 0 ? 0 : 1);
	reap_exit(child, 0);
	CHECK(access("entry-000", F_OK) == 0);
	ok("working directory");

	CHECK_ERR(rmdir("../d"), ENOTEMPTY);
	CHECK_ERR(rmdir("entry-000"), ENOTDIR);
	CHECK_ERR(rmdir("none"), ENOENT);
	CHECK_ERR(rmdir("sub/."), EINVAL);
	CHECK(chdir("sub") == 0 && rmdir("../sub") == 0);
	CHECK_ERR(open("x", O_WRONLY | O_CREAT, 0644), ENOENT);
	CHECK_ERR(syscall(SYS_getcwd, after, sizeof after), ENOENT);
	ok("rmdir");
	return 0;
}
