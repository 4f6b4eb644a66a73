/*
 * The negative suite's program. Built with -DMUT=name it differs from the
 * leader's build, -DMUT=none, in exactly one thing: the value of the constant
 * below, and so what the program does in one place. Code and layout are the
 * same in all builds.
 *
 * Each stage does one thing that can be seen from outside, in the directory
 * argv[1], and in the order of the list; a test looks at which stages' effects
 * are there. Every stage leaves its traces in an entry of its own name.
 *
 * The stages run where argv[2] says: in the main thread, in a second thread, in
 * a handler of a signal, or in a process whose parent's parent the program is.
 */
#include "check.h"
#include <pthread.h>
#include <sys/uio.h>

enum mutation {
	none,
	scalar,
	buffer,
	path,
	order,
	extra,
	missing,
	mode,
	iovec_element,
	descriptor,
	environment,
	write_only,
	crash,
	loop,
	early_exit,
	late,
};

#ifndef MUT
#define MUT none
#endif

static const volatile enum mutation mutation = MUT;

static int file(const char *name, mode_t bits)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, bits);
	CHECK(fd >= 0);
	return fd;
}

static void stages(void)
{
	CHECK(setenv("MUT_A", "alpha", 1) == 0 && setenv("MUT_B", "bravo", 1) == 0);

	int fd = file("scalar", 0644);
	CHECK(ftruncate(fd, mutation == scalar ? 4097 : 4096) == 0);
	CHECK(close(fd) == 0);

	fd = file("buffer", 0644);
	char text[] = "the quick brown fox jumps over the lazy dog\n";
	text[16] = mutation == buffer ? 'F' : 'f';
	CHECK(write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
	CHECK(close(fd) == 0);

	CHECK(mkdir(mutation == path ? "path-b" : "path", 0755) == 0);

	if (mutation == order) {
		CHECK(mkdir("order", 0755) == 0);
		CHECK(symlink("target", "order-link") == 0);
	} else {
		CHECK(symlink("target", "order-link") == 0);
		CHECK(mkdir("order", 0755) == 0);
	}

	if (mutation == extra)
		CHECK(umask(022) == 022);
	CHECK(mkdir("extra", 0755) == 0);

	if (mutation != missing)
		CHECK(mkdir("missing", 0755) == 0);
	CHECK(umask(022) == 022);

	CHECK(close(file("mode", mutation == mode ? 0640 : 0644)) == 0);

	fd = file("iovec", 0644);
	struct iovec v[3] = {{"first ", 6}, {mutation == iovec_element ? "2econd " : "second ", 7}, {"third\n", 6}};
	CHECK(writev(fd, v, 3) == 19);
	CHECK(close(fd) == 0);

	int one = file("descriptor", 0644), two = file("descriptor-2", 0644);
	CHECK(write(mutation == descriptor ? two : one, "to one of two\n", 14) == 14);
	CHECK(close(one) == 0 && close(two) == 0);

	fd = file("environment", 0644);
	const char *value = getenv(mutation == environment ? "MUT_B" : "MUT_A");
	CHECK(value != NULL && write(fd, value, 5) == 5);
	CHECK(close(fd) == 0);

	/* The kernel reads memory that the program has asked only to write. */
	fd = file("write_only", 0644);
	char *page = mmap(NULL, PAGE, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	page[0] = mutation == write_only ? 'W' : 'w';
	CHECK(write(fd, page, 1) == 1);
	CHECK(close(fd) == 0);

	if (mutation == crash)
		*(volatile char *)bad_address = 1;
	CHECK(mkdir("crash", 0755) == 0);

	while (mutation == loop)
		;
	CHECK(mkdir("loop", 0755) == 0);

	if (mutation == early_exit)
		_exit(0);
	CHECK(mkdir("early_exit", 0755) == 0);

	/* Long enough for a leader that does not wait to be far ahead. */
	if (mutation == late)
		for (volatile long i = 0; i < 1000000000; i++)
			;
	fd = file("late", 0644);
	CHECK(write(fd, mutation == late ? "LATE" : "late", 4) == 4);
	CHECK(close(fd) == 0);

	puts("done");
	fflush(stdout);
}

static void *in_thread(void *arg)
{
	stages();
	return arg;
}

static void in_handler(int signal)
{
	UNUSED(signal);
	stages();
}

/* Runs in a child of a child. */
static void in_grandchild(void)
{
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid > 0) {
			int status;
			CHECK(waitpid(pid, &status, 0) == pid);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			if (i > 0)
				_exit(0);
			return;
		}
	}
	stages();
	_exit(0);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	const char *where = argc > 2 ? argv[2] : "main";
	if (strcmp(where, "thread") == 0) {
		pthread_t thread;
		CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
	} else if (strcmp(where, "handler") == 0) {
		CHECK(signal(SIGUSR1, in_handler) != SIG_ERR);
		CHECK(raise(SIGUSR1) == 0);
	} else if (strcmp(where, "grandchild") == 0) {
		in_grandchild();
	} else {
		CHECK(strcmp(where, "main") == 0);
		stages();
	}
	return 0;
}
