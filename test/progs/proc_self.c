/*
 * /proc/self and /proc/PID read alike in all variants: ids, names, arguments,
 * environment, descriptors, and maps that hold the reader's own addresses.
 */
#include "check.h"
#include <dirent.h>
#include <sys/auxv.h>

extern char **environ;

static char text[1 << 20] __attribute__((aligned(8)));

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

/* Whether a line of maps has this address, and the name if there is one. */
static int within(const void *address, const char *name)
{
	for (char *line = text; *line; line = strchr(line, '\n') + 1) {
		unsigned long from, to;
		CHECK(sscanf(line, "%lx-%lx", &from, &to) == 2);
		if ((uintptr_t)address < from || (uintptr_t)address >= to)
			continue;
		char *end = strchr(line, '\n');
		*end = 0;
		int found = name == NULL || strstr(line, name) != NULL;
		*end = '\n';
		return found;
	}
	return 0;
}

/* Each number that a directory lists is an open descriptor. */
static void only_open(const char *path)
{
	DIR *d = opendir(path);
	CHECK(d != NULL);
	int count = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		CHECK(fcntl(atoi(e->d_name), F_GETFD) >= 0);
		count++;
	}
	CHECK(count >= 4);
	CHECK(closedir(d) == 0);
}

/* The signals that are ignored, from a file of /proc/self/status. */
static unsigned long ignored(int fd)
{
	ssize_t n = read(fd, text, sizeof text - 1);
	CHECK(n > 0);
	text[n] = 0;
	char *p = strstr(text, "\nSigIgn:");
	CHECK(p != NULL);
	return strtoul(p + 8, NULL, 16);
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

	/*
	 * All variants read the leader's files: what they read goes into writes, so
	 * that it is compared. With -DOWN, for the layout in which stacks have
	 * addresses of their own, each must find its own addresses in them instead.
	 */
	int stack, null = open("/dev/null", O_WRONLY);
	slurp("/proc/self/maps");
	CHECK(within(&stack, "[stack]"));
	CHECK(strstr(text, "rw-p") && strstr(text, "r-xp") && strstr(text, exe));
#ifdef OWN
	static int data = 1;
	CHECK(within(&data, NULL) && within((void *)(uintptr_t)field, exe));
#else
	CHECK(write(null, text, strlen(text)) == (ssize_t)strlen(text));
#endif
	len = slurp("/proc/self/smaps");
	CHECK(strstr(text, "Pss:") != NULL);
#ifndef OWN
	CHECK(write(null, text, len) == (ssize_t)len);
#endif
	len = slurp("/proc/self/auxv");
#ifdef OWN
	uint64_t *aux = (uint64_t *)(void *)text;
	int addresses = 0;
	for (at = 0; at < len / 16 && aux[2 * at] != AT_NULL; at++) {
		switch (aux[2 * at]) {
		case AT_PHDR:
		case AT_ENTRY:
		case AT_RANDOM:
		case AT_EXECFN:
			addresses++;
			CHECK(aux[2 * at + 1] == getauxval(aux[2 * at]));
		}
	}
	CHECK(addresses == 4);
#else
	CHECK(len >= 16 && write(null, text, len) == (ssize_t)len);
#endif
	CHECK(close(null) == 0);
	slurp("/proc/self/limits");
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

	/* What is listed is there, and nothing else of the process is. */
	only_open("/proc/self/fd");
	only_open("/proc/self/fdinfo");
	DIR *d = opendir("/proc/self/task");
	CHECK(d != NULL);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		CHECK(e->d_name[0] == '.' || atoi(e->d_name) == getpid());
	CHECK(closedir(d) == 0);
	slurp("/proc/self/maps");
	unsigned long sum = 0;
	for (char *line = text; *line; line = strchr(line, '\n') + 1) {
		unsigned long from, to;
		CHECK(sscanf(line, "%lx-%lx", &from, &to) == 2);
		if (from >> 48 == 0)
			sum += to - from;
	}
	CHECK(sum < 1ul << 30);
	slurp("/proc/self/statm");
	long pages = strtol(text, NULL, 10);
	slurp("/proc/self/status");
	CHECK((unsigned long)field("\nVmSize:") == sum / 1024 && (unsigned long)pages == sum / PAGE);
	/* Read again from its beginning, a file tells what is now. */
	fd = open("/proc/self/status", O_RDONLY);
	unsigned long before = ignored(fd);
	CHECK(signal(SIGUSR2, SIG_IGN) == SIG_DFL);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK((before >> (SIGUSR2 - 1)) % 2 == 0 && ignored(fd) == (before | 1ul << (SIGUSR2 - 1)));
	CHECK(close(fd) == 0);
	ok("listings, sums, rewound");

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
