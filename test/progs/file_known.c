/* Files that are opened again and again by the same name, of which others are in between: whoever
 * makes the calls, what comes of them is what the name stands for then. */
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>

enum { OFTEN = 12 };

static void make(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static int is(const char *name, int flags, const char *text)
{
	char got[64] = "";
	struct stat st;
	int fd = open(name, flags);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, got, sizeof got);
	int same = fstat(fd, &st) == 0 && st.st_size == (off_t)strlen(text) && n == st.st_size && memcmp(got, text, (size_t)n) == 0;
	return close(fd) == 0 && same;
}

static void often(const char *name, int flags, const char *text)
{
	for (int i = 0; i < OFTEN; i++)
		CHECK(is(name, flags, text));
}

/* The flags are those that were asked for, and numbers the lowest that are free. */
static void flags(const char *name)
{
	static const int all[] = {O_RDONLY, O_NONBLOCK, O_CLOEXEC, O_NOFOLLOW | O_CLOEXEC, O_NOCTTY | O_NONBLOCK};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		int once = open(name, all[i]), first = fcntl(once, F_GETFL);
		CHECK(close(once) == 0 && (first & O_NONBLOCK) == (all[i] & O_NONBLOCK));
		often(name, all[i], "first");
		int fd = open(name, all[i]), next = open(name, all[i]);
		CHECK(next == fd + 1);
		CHECK(first >= 0 && fcntl(fd, F_GETFL) == first);
		CHECK(fcntl(fd, F_GETFD) == (all[i] & O_CLOEXEC ? FD_CLOEXEC : 0));
		CHECK_ERR(write(fd, "x", 1), EBADF);
		CHECK(close(fd) == 0);
		CHECK(open(name, all[i]) == fd && close(fd) == 0 && close(next) == 0);
	}
	ok("flags");
}

static void others(const char *name)
{
	struct stat st;
	int fd;
	make(name, "longer text");
	often(name, O_RDONLY, "longer text");
	make("other", "other");
	CHECK(rename("other", name) == 0);
	often(name, O_RDONLY, "other");
	CHECK(unlink(name) == 0);
	CHECK_ERR(open(name, O_RDONLY), ENOENT);
	make("target", "behind a link");
	CHECK(symlink("target", name) == 0);
	often(name, O_RDONLY, "behind a link");
	CHECK_ERR(open(name, O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK(unlink(name) == 0 && mkdir(name, 0755) == 0);
	fd = open(name, O_RDONLY);
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode));
	CHECK_ERR(read(fd, &st, 1), EISDIR);
	CHECK(close(fd) == 0 && rmdir(name) == 0 && mkfifo(name, 0644) == 0);
	fd = open(name, O_RDONLY | O_NONBLOCK);
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && close(fd) == 0);
	CHECK(unlink(name) == 0);
	CHECK(symlink("/proc/self/comm", name) == 0);
	fd = open(name, O_RDONLY);
	char comm[32] = "";
	CHECK(fd >= 0 && read(fd, comm, sizeof comm) > 0 && strchr(comm, 10) && close(fd) == 0);
	CHECK(unlink(name) == 0);
	make(name, "first");
	often(name, O_RDONLY, "first");
	ok("others");
}

/* The name of a directory on the way stands for another one. */
static void ways(const char *dir)
{
	char name[PATH_MAX + 16];
	CHECK(mkdir("way", 0755) == 0 && mkdir("away", 0755) == 0);
	make("way/file", "here");
	make("away/file", "there");
	strcat(strcpy(name, dir), "/way/file");
	often(name, O_RDONLY, "here");
	CHECK(rename("way", "before") == 0 && rename("away", "way") == 0);
	often(name, O_RDONLY, "there");
	CHECK(rename("way", "away") == 0 && symlink("before", "way") == 0);
	often(name, O_RDONLY, "here");
	ok("ways");
}

static void *maps(const char *name)
{
	int fd = open(name, O_RDONLY);
	CHECK(fd >= 0);
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && memcmp(p, "first", 5) == 0 && close(fd) == 0);
	return p;
}

/* What is open then is a file like any other: mapped, duplicated, inherited, executed from. */
static void uses(const char *name)
{
	for (int i = 0; i < OFTEN; i++)
		CHECK(munmap(maps(name), PAGE) == 0);
	int fd = open(name, O_RDONLY), copy = dup(fd);
	char got[8];
	CHECK(copy >= 0 && close(fd) == 0 && read(copy, got, 5) == 5 && memcmp(got, "first", 5) == 0 && close(copy) == 0);
	pid_t child = fork();
	if (child == 0) {
		often(name, O_RDONLY, "first");
		_exit(7);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && status == 7 << 8);
	ok("uses");
}

/* There is no number left, or whoever has a lease is to be asked. */
static void refusals(const char *name)
{
	struct rlimit old, none;
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
	none = old;
	int fd = open(name, O_RDONLY);
	none.rlim_cur = (rlim_t)fd;
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0 && close(fd) == 0);
	for (int i = 0; i < OFTEN; i++)
		CHECK_ERR(open(name, O_RDONLY), EMFILE);
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
	signal(SIGIO, SIG_IGN);
	fd = open(name, O_RDWR);
	CHECK(fd >= 0);
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
		CHECK_ERR(open(name, O_RDONLY | O_NONBLOCK), EAGAIN);
		CHECK(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
	}
	CHECK(close(fd) == 0);
	CHECK(is(name, O_RDONLY | O_NONBLOCK, "first"));
	/* A name that ends where memory does, and one that does not. */
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED && mprotect(p + PAGE, PAGE, PROT_NONE) == 0);
	char *at = p + PAGE - strlen(name) - 1;
	strcpy(at, name);
	often(at, O_RDONLY, "first");
	memcpy(p + PAGE - strlen(name), name, strlen(name));
	CHECK_ERR(open(p + PAGE - strlen(name), O_RDONLY), EFAULT);
	CHECK_ERR(open(bad_address, O_RDONLY), EFAULT);
	CHECK_ERR(open("", O_RDONLY), ENOENT);
	ok("refusals");
}

static void nameless(const char *name)
{
	struct stat a, b;
	int fd = open(name, O_RDONLY);
	for (int i = 0; i < OFTEN; i++) {
		CHECK(syscall(SYS_newfstatat, fd, "", &a, AT_EMPTY_PATH) == 0 && a.st_size == 5);
		CHECK(syscall(SYS_newfstatat, fd, "", &b, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0 && b.st_ino == a.st_ino);
		CHECK(syscall(SYS_newfstatat, AT_FDCWD, "", &b, AT_EMPTY_PATH) == 0 && S_ISDIR(b.st_mode));
		CHECK_ERR(syscall(SYS_newfstatat, fd, "", &b, 0), ENOENT);
		CHECK_ERR(syscall(SYS_newfstatat, -1, "", &b, AT_EMPTY_PATH), EBADF);
		CHECK_ERR(syscall(SYS_newfstatat, fd, "", bad_address, AT_EMPTY_PATH), EFAULT);
		CHECK(syscall(SYS_newfstatat, fd, name, &b, AT_EMPTY_PATH) == 0 && b.st_ino == a.st_ino);
	}
	CHECK(close(fd) == 0);
	ok("nameless");
}

static void *thread(void *name)
{
	often(name, O_RDONLY, "first");
	return NULL;
}

static void threads(char *name)
{
	pthread_t t[2];
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, thread, name) == 0);
	often(name, O_RDONLY, "first");
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	often(name, O_RDONLY, "first");
	ok("threads");
}

int main(int argc, char **argv)
{
	char name[PATH_MAX + 16];
	CHECK(argc == 2 && chdir(argv[1]) == 0 && getcwd(name, sizeof name - 16));
	char dir[PATH_MAX];
	strcpy(dir, name);
	strcat(name, "/known");
	make(name, "first");
	/* Before the engine has seen some calls of a thread they are all its own. */
	for (int i = 0; i < 150; i++)
		umask(022);
	flags(name);
	others(name);
	ways(dir);
	uses(name);
	refusals(name);
	nameless(name);
	threads(name);
	return 0;
}
