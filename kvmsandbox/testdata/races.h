/*
 * What programs have in common that try to be faster than what the monitor does for another of
 * their threads. Each function of theirs returns 0, or the line at which a thread saw what it
 * must not see.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define CHECK(c) do { if (!(c)) { \
	fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #c, errno); exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1); } } while (0)

static const char *dir;
static volatile int over;

static __thread sigjmp_buf back;

static void fault(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

__attribute__((unused)) static void path(char *to, const char *name) { snprintf(to, 200, "%s/%s", dir, name); }

struct race {
	const char *name;
	int (*f)(void);
};

/* Runs the one that the first argument names, in the directory that the second one is. With a
 * third one the process's root may be another one, and it opens nothing by itself. */
static int run_race(const struct race *races, unsigned count, int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = fault};

	if (argc == 4 && (chroot("") != -1 || errno != ENOENT))
		return 252;
	if (argc < 3 || sigaction(SIGSEGV, &sa, NULL) < 0)
		return 255;
	dir = argv[2];
	while (fcntl(2, F_GETFD) == -1 || fcntl(1, F_GETFD) == -1 || fcntl(0, F_GETFD) == -1)
		if (open("/dev/null", O_RDWR) < 0)
			return 253;
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(argv[1], races[i].name))
			return races[i].f();
	return 254;
}
