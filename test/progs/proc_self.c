/*
 * /proc/self and /proc/PID read alike in all variants: ids, names, arguments,
 * environment, descriptors, and the facts about maps that hold in any layout.
 */
#include "check.h"
#include <sys/auxv.h>

extern char **environ;

static char text[1 << 20];

static size_t slurp(const char *path)
{
	size_t n = get_file(path, text, sizeof text - 1);
	text[n] = 0;
	return n;
}

static long field(const char *name)
{
	char *p = strstr(text, name);
	CHECK(p != NULL);
	return strtol(p + strlen(name), NULL, 10);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char exe[PATH_MAX], link[PATH_MAX], path[64];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	CHECK(n > 0);
	exe[n] = 0;
	char *base = strrchr(exe, '/') + 1;
	CHECK(strcmp(exe, argv[0]) == 0);
	CHECK(strcmp((char *)getauxval(AT_EXECFN), argv[0]) == 0);
	ok("exe");

	slurp("/proc/self/comm");
	CHECK(strncmp(text, base, strlen(base) < 15 ? strlen(base) : 15) == 0);
	slurp("/proc/self/stat");
	CHECK(atoi(text) == getpid());
	char *p = strrchr(text, ')');
	int ppid, pgrp, session;
	CHECK(sscanf(p, ") %*c %d %d %d", &ppid, &pgrp, &session) == 3);
	CHECK(ppid == getppid() && pgrp == getpgrp() && session == getsid(0));
	slurp("/proc/self/status");
	CHECK(field("\nPid:") == getpid() && field("\nPPid:") == getppid() && field("\nTgid:") == getpid());
	CHECK(field("\nUid:") == (long)getuid() && field("\nThreads:") == 1);
	ok("comm, stat, status");

	size_t len = slurp("/proc/self/cmdline"), at = 0;
	for (int i = 0; i < argc; i++) {
		CHECK(strcmp(text + at, argv[i]) == 0);
		at += strlen(argv[i]) + 1;
	}
	CHECK(at == len);
	len = slurp("/proc/self/environ");
	at = 0;
	for (char **e = environ; *e; e++) {
		CHECK(strcmp(text + at, *e) == 0);
		at += strlen(*e) + 1;
	}
	CHECK(at == len);
	ok("cmdline, environ");

	/* The whole text goes into a write, so that the variants' readings are compared. */
	int null = open("/dev/null", O_WRONLY);
	len = slurp("/proc/self/maps");
	CHECK(strstr(text, "[stack]") && strstr(text, exe));
	CHECK(strstr(text, "rw-p") && strstr(text, "r-xp"));
	CHECK(write(null, text, len) == (ssize_t)len);
	len = slurp("/proc/self/smaps");
	CHECK(strstr(text, "Pss:") && write(null, text, len) == (ssize_t)len);
	len = slurp("/proc/self/auxv");
	CHECK(len >= 16 && write(null, text, len) == (ssize_t)len);
	len = slurp("/proc/self/stat");
	CHECK(write(null, text, len) == (ssize_t)len);
	len = slurp("/proc/self/limits");
	CHECK(strstr(text, "Max open files") != NULL);
	ok("maps, smaps, auxv, limits");

	put_file("opened", "x", 1, 0644);
	int fd = open("opened", O_RDONLY);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof link - 1);
	CHECK(n > 7);
	link[n] = 0;
	CHECK(strcmp(link + n - 7, "/opened") == 0);
	int again = open(path, O_RDONLY);
	char c;
	CHECK(again == fd + 1 && read(again, &c, 1) == 1 && c == 'x');
	CHECK(lseek(again, 0, SEEK_SET) == 0 && lseek(fd, 0, SEEK_CUR) == 0);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), fd);
	CHECK(access(path, F_OK) == 0);
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	slurp(path);
	CHECK(field("pos:") == 0);
	n = readlink("/proc/self/cwd", link, sizeof link - 1);
	CHECK(n > 0);
	link[n] = 0;
	char cwd[PATH_MAX];
	CHECK(getcwd(cwd, sizeof cwd) && strcmp(cwd, link) == 0);
	ok("fd, fdinfo, cwd");

	/* A child's entries, read by the parent while the child waits. */
	int down[2];
	CHECK(pipe(down) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(close(down[1]) == 0);
		slurp("/proc/self/stat");
		CHECK(atoi(text) == getpid());
		CHECK(read(down[0], &c, 1) == 0);
		_exit(0);
	}
	snprintf(path, sizeof path, "/proc/%d/status", (int)child);
	slurp(path);
	CHECK(field("\nPid:") == child && field("\nPPid:") == getpid());
	snprintf(path, sizeof path, "/proc/%d/exe", (int)child);
	n = readlink(path, link, sizeof link - 1);
	CHECK(n > 0);
	link[n] = 0;
	CHECK(strcmp(link, exe) == 0);
	CHECK(close(down[1]) == 0);
	reap_exit(child, 0);
	CHECK_ERR(open(path, O_RDONLY), ENOENT);
	ok("a child's");
	return 0;
}
