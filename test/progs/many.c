/*
 * Makes as many calls as it is told, for whoever measures what they cost the monitor.
 *
 * usage: many DIRECTORY CALLS PROCESSES
 *
 * For each byte read from DIRECTORY/go it makes CALLS calls of several kinds and
 * writes a byte to DIRECTORY/done, until it reads a q. Meanwhile it is so many
 * processes.
 */
#include "check.h"

static char buffer[4096];

static void calls(long n, int file)
{
	while (n > 0) {
		CHECK(getppid() > 0);
		CHECK(pwrite(file, buffer, 64, 0) == 64);
		CHECK(pread(file, buffer, sizeof buffer, 0) == 64);
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0);
		CHECK(lseek(file, 0, SEEK_SET) == 0);
		CHECK(close(fd) == 0);
		n -= 6;
	}
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(argc == 4);
	long n = atol(argv[2]);
	long children = atol(argv[3]) - 1;
	int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(file >= 0);
	int end[2];
	CHECK(pipe(end) == 0);
	for (long i = 0; i < children; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			char c;
			CHECK(close(end[1]) == 0);
			CHECK(read(end[0], &c, 1) == 0);
			_exit(0);
		}
	}
	int go = open("go", O_RDONLY);
	int done = open("done", O_WRONLY);
	CHECK(go >= 0 && done >= 0);
	for (;;) {
		char what;
		CHECK(read(go, &what, 1) == 1);
		if (what == 'q')
			break;
		calls(n, file);
		CHECK(write(done, &what, 1) == 1);
	}
	CHECK(close(end[1]) == 0);
	for (long i = 0; i < children; i++)
		CHECK(wait(NULL) > 0);
	return 0;
}
