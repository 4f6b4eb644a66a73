/*
 * check.h: what the test programs share.
 *
 * Every program checks itself: a check that fails prints one FAIL line on
 * standard output and ends the process with status 1. What a program prints
 * is the same in every run, or the test that runs it names the comparator
 * that hides the part that is not.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

/* Code of a function that returns n, below 256, and what utsname calls the machine. */
#ifdef __aarch64__
#define CODE_RETURNS(n) {(unsigned char)(n) << 5 & 0xff, (n) >> 3, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6}
#define MACHINE "aarch64"
#else
#define CODE_RETURNS(n) {0xb8, n, 0, 0, 0, 0xc3}
#define MACHINE "x86_64"
#endif

#define UNUSED(x) ((void)(x))

/* Musl's headers leave these to the kernel's, which its compiler wrapper hides. */
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

/* An address that is never mapped; volatile keeps the compiler from judging it. */
static void *volatile bad_address __attribute__((unused)) = (void *)8;

static inline const char *errname(int e)
{
	switch (e) {
#define E(x) case x: return #x
	E(EPERM); E(ENOENT); E(ESRCH); E(EINTR); E(EIO); E(ENXIO); E(E2BIG);
	E(ENOEXEC); E(EBADF); E(ECHILD); E(EAGAIN); E(ENOMEM); E(EACCES);
	E(EFAULT); E(EBUSY); E(EEXIST); E(EXDEV); E(ENODEV); E(ENOTDIR);
	E(EISDIR); E(EINVAL); E(ENFILE); E(EMFILE); E(ENOTTY); E(ETXTBSY);
	E(EFBIG); E(ENOSPC); E(ESPIPE); E(EROFS); E(EMLINK); E(EPIPE); E(EDOM);
	E(ERANGE); E(EDEADLK); E(ENAMETOOLONG); E(ENOLCK); E(ENOSYS);
	E(ENOTEMPTY); E(ELOOP); E(ENODATA); E(EOVERFLOW); E(ENOTSOCK);
	E(EDESTADDRREQ); E(EMSGSIZE); E(EPROTOTYPE); E(ENOPROTOOPT);
	E(EPROTONOSUPPORT); E(ESOCKTNOSUPPORT); E(EOPNOTSUPP); E(EAFNOSUPPORT);
	E(EADDRINUSE); E(EADDRNOTAVAIL); E(ECONNRESET); E(EISCONN); E(ENOTCONN);
	E(ECONNREFUSED); E(ETIMEDOUT); E(EALREADY); E(EINPROGRESS);
#undef E
	case 0: return "0";
	}
	return "unnamed";
}

static inline _Noreturn void check_failed(const char *file, int line, const char *what, int e)
{
	printf("FAIL %s:%d: %s (errno %d %s)\n", file, line, what, e, errname(e));
	fflush(stdout);
	_exit(1);
}

#define CHECK(cond)                                                      \
	do {                                                             \
		if (!(cond))                                             \
			check_failed(__FILE_NAME__, __LINE__, #cond, errno); \
	} while (0)

/* The call must fail with -1 and exactly this errno. */
#define CHECK_ERR(call, want)                                            \
	do {                                                             \
		errno = 0;                                               \
		if ((long)(call) != -1 || errno != (want))               \
			check_failed(__FILE_NAME__, __LINE__, #call " must fail with " #want, errno); \
	} while (0)

/* Prints what a call gave: its value, or the name of its errno. */
#define SHOW(label, call)                                                \
	do {                                                             \
		errno = 0;                                               \
		long show_rv = (long)(call);                             \
		if (show_rv == -1)                                       \
			printf("%s: -1 %s\n", (label), errname(errno));  \
		else                                                     \
			printf("%s: %ld\n", (label), show_rv);           \
	} while (0)

static inline void ok(const char *what)
{
	printf("ok %s\n", what);
}

/* Lines leave at once, so that a fork never copies half a line. */
static inline void begin(void)
{
	static char buffer[8192];
	setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
}

/* Begins a program that needs files: works inside the directory argv[1]. */
static inline void begin_in(int argc, char **argv)
{
	begin();
	CHECK(argc >= 2);
	CHECK(chdir(argv[1]) == 0);
	umask(022);
}

static inline void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};
	while (nanosleep(&ts, &ts) == -1 && errno == EINTR)
		;
}

static inline double now(void)
{
	struct timespec ts;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Reaps pid and returns its wait status. */
static inline int reap(pid_t pid)
{
	int status = -1;
	pid_t got;
	do
		got = waitpid(pid, &status, 0);
	while (got == -1 && errno == EINTR);
	CHECK(got == pid);
	return status;
}

static inline void reap_exit(pid_t pid, int code)
{
	int status = reap(pid);
	CHECK(WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == code);
}

static inline void reap_signal(pid_t pid, int sig)
{
	int status = reap(pid);
	CHECK(WIFSIGNALED(status));
	CHECK(WTERMSIG(status) == sig);
}

/* Fills with bytes that depend on the position and the seed. */
static inline void fill(void *p, size_t n, unsigned seed)
{
	unsigned char *b = p;
	uint32_t x = seed * 2654435761u + 1;
	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		b[i] = (unsigned char)(x >> 24);
	}
}

/* FNV-1a. */
static inline uint64_t checksum(const void *p, size_t n)
{
	const unsigned char *b = p;
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	return h;
}

static inline void write_all(int fd, const void *p, size_t n)
{
	const char *b = p;
	while (n > 0) {
		ssize_t w = write(fd, b, n);
		if (w == -1 && errno == EINTR)
			continue;
		CHECK(w > 0);
		b += w;
		n -= (size_t)w;
	}
}

/* Reads until n bytes or the end; returns how many. */
static inline size_t read_all(int fd, void *p, size_t n)
{
	size_t done = 0;
	while (done < n) {
		ssize_t r = read(fd, (char *)p + done, n - done);
		if (r == -1 && errno == EINTR)
			continue;
		CHECK(r >= 0);
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return done;
}

static inline void put_file(const char *path, const void *p, size_t n, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	CHECK(fd >= 0);
	write_all(fd, p, n);
	CHECK(close(fd) == 0);
}

static inline size_t get_file(const char *path, void *p, size_t n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	size_t got = read_all(fd, p, n);
	CHECK(close(fd) == 0);
	return got;
}

/* Returns room for n bytes (n <= PAGE) that end where an unmapped page begins. */
static inline char *at_page_end(size_t n)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(munmap(p + PAGE, PAGE) == 0);
	return p + PAGE - n;
}

/*
 * Returns when process pid sleeps in the kernel, so that what follows cannot
 * overtake its going to sleep. Two looks, because a process may also sleep
 * for a moment on its way there.
 */
static inline void wait_until_blocked(pid_t pid)
{
	char path[64], buf[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	for (int seen = 0; seen < 2;) {
		size_t n = get_file(path, buf, sizeof buf - 1);
		buf[n] = 0;
		char *p = strrchr(buf, ')');
		CHECK(p != NULL && p[1] == ' ');
		seen = p[2] == 'S' ? seen + 1 : 0;
		sleep_ms(20);
	}
}

#endif
