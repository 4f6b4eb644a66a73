/* Measures the cost of one call, or of a few that belong together, in nanoseconds.
 *
 *   bench BUDGET_MS
 *
 * prints a line "NAME NS" per measurement. Each loop is repeated, longer and
 * longer, until it takes BUDGET_MS; only the last, longest one counts. The clock is
 * read before and after a loop, never in it: under a monitor reading it is a call
 * like any other. Variants get the leader's clock, so they all do the same. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KIB 1024
#define MIB (1024 * KIB)

static char buffer[MIB];
static int file;

static void die(const char *what) {
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void need(int ok, const char *what) {
	if (!ok)
		die(what);
}

/* Raw, because the C library may answer without a call. */
static void do_getcwd(size_t unused) {
	(void)unused;
	need(syscall(SYS_getcwd, buffer, sizeof buffer) > 0, "getcwd");
}

static void do_read(size_t n) {
	need(pread(file, buffer, n, 0) == (ssize_t)n, "pread");
}

static void do_write(size_t n) {
	need(pwrite(file, buffer, n, 0) == (ssize_t)n, "pwrite");
}

static void do_open_close(size_t unused) {
	(void)unused;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	need(fd >= 0, "open");
	need(close(fd) == 0, "close");
}

static void do_fork_wait(size_t unused) {
	(void)unused;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	need(pid > 0 && waitpid(pid, NULL, 0) == pid, "fork and wait");
}

static void do_rdtsc(size_t unused) {
	(void)unused;
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
}

static const struct {
	const char *name;
	void (*run)(size_t);
	size_t size;
} measurements[] = {
	{"getcwd", do_getcwd, 0},
	{"read-64", do_read, 64},
	{"read-4K", do_read, 4 * KIB},
	{"read-1M", do_read, MIB},
	{"write-64", do_write, 64},
	{"write-4K", do_write, 4 * KIB},
	{"write-1M", do_write, MIB},
	{"open+close", do_open_close, 0},
	{"fork+wait", do_fork_wait, 0},
	{"rdtsc", do_rdtsc, 0},
};

static double now(void) {
	struct timespec t;
	need(clock_gettime(CLOCK_MONOTONIC, &t) == 0, "clock_gettime");
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double measure(void (*run)(size_t), size_t size, double budget) {
	for (uint64_t n = 1;;) {
		double start = now();
		for (uint64_t i = 0; i < n; i++)
			run(size);
		double spent = now() - start;
		if (spent >= budget)
			return spent / (double)n;
		/* Aim a little beyond the budget, but do not trust short loops. */
		double factor = spent > 0 ? 1.2 * budget / spent : 10;
		n = (uint64_t)((double)n * (factor < 2 ? 2 : factor > 10 ? 10 : factor)) + 1;
	}
}

int main(int argc, char **argv) {
	double budget = argc == 2 ? atof(argv[1]) * 1e6 : 0;
	if (!(budget > 0)) {
		fprintf(stderr, "usage: bench BUDGET_MS\n");
		return 2;
	}
	char name[] = "data.XXXXXX";
	file = mkstemp(name);
	need(file >= 0, "mkstemp");
	need(unlink(name) == 0, "unlink");
	need(pwrite(file, buffer, sizeof buffer, 0) == (ssize_t)sizeof buffer, "pwrite");
	/* What is measured is what calls cost in a program that has made many. */
	measure(measurements[0].run, measurements[0].size, budget);
	for (size_t i = 0; i < sizeof measurements / sizeof *measurements; i++) {
		printf("%s %.1f\n", measurements[i].name, measure(measurements[i].run, measurements[i].size, budget));
		fflush(stdout);
	}
	return 0;
}
