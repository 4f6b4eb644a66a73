/* Pipes: flags, capacity, short transfers, ends of file, a relay of processes. */
#include "check.h"
#include <sys/ioctl.h>

static void flags(void)
{
	int p[2];
	char buf[PAGE];
	CHECK(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0);
	CHECK(fcntl(p[0], F_GETFD) == FD_CLOEXEC && (fcntl(p[1], F_GETFL) & O_NONBLOCK));
	CHECK_ERR(read(p[0], buf, 1), EAGAIN);
	int size = fcntl(p[1], F_GETPIPE_SZ);
	CHECK(fcntl(p[1], F_SETPIPE_SZ, 4096) == 4096);
	memset(buf, 'x', sizeof buf);
	CHECK(write(p[1], buf, sizeof buf) == (ssize_t)sizeof buf);
	CHECK_ERR(write(p[1], buf, 1), EAGAIN);
	int n = -1;
	CHECK(ioctl(p[0], FIONREAD, &n) == 0 && n == 4096);
	CHECK(read(p[0], buf, 100) == 100);
	CHECK(fcntl(p[1], F_SETPIPE_SZ, 65536) == 65536);
	printf("default size %d\n", size);
	CHECK(close(p[0]) == 0);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(write(p[1], "x", 1), EPIPE);
	CHECK(close(p[1]) == 0);

	CHECK(pipe2(p, O_DIRECT) == 0); /* packets */
	CHECK(write(p[1], "one", 3) == 3 && write(p[1], "second", 6) == 6);
	CHECK(read(p[0], buf, sizeof buf) == 3 && read(p[0], buf, 2) == 2);
	CHECK(close(p[1]) == 0 && read(p[0], buf, 1) == 0 && close(p[0]) == 0);
	ok("flags");
}

/* Each process adds one to every byte it passes on. */
static int stage(int in)
{
	int p[2];
	CHECK(pipe(p) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(close(p[0]) == 0);
		unsigned char buf[3000];
		ssize_t n;
		while ((n = read(in, buf, sizeof buf)) > 0) {
			for (ssize_t i = 0; i < n; i++)
				buf[i]++;
			write_all(p[1], buf, (size_t)n);
		}
		_exit(n == 0 ? 0 : 1);
	}
	CHECK(close(p[1]) == 0 && close(in) == 0);
	return p[0];
}

int main(void)
{
	begin();
	flags();

	int first[2];
	CHECK(pipe(first) == 0);
	pid_t source = fork();
	CHECK(source >= 0);
	if (source == 0) {
		CHECK(close(first[0]) == 0);
		char *data = malloc(1 << 20);
		CHECK(data != NULL);
		fill(data, 1 << 20, 5);
		write_all(first[1], data, 1 << 20);
		_exit(0);
	}
	CHECK(close(first[1]) == 0);
	int out = stage(stage(stage(first[0])));
	unsigned char *got = malloc((1 << 20) + 1), *want = malloc(1 << 20);
	CHECK(got && want);
	CHECK(read_all(out, got, (1 << 20) + 1) == 1 << 20);
	fill(want, 1 << 20, 5);
	for (int i = 0; i < 1 << 20; i++)
		CHECK(got[i] == (unsigned char)(want[i] + 3));
	for (int i = 0; i < 4; i++) {
		int status;
		CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	CHECK_ERR(wait(NULL), ECHILD);
	ok("a megabyte through three stages");

	/* Ping-pong: each side waits for the other, 500 times. */
	int ping[2], pong[2];
	CHECK(pipe(ping) == 0 && pipe(pong) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(close(ping[1]) == 0 && close(pong[0]) == 0);
		int v;
		while (read(ping[0], &v, sizeof v) == sizeof v) {
			v = v * 3 + 1;
			CHECK(write(pong[1], &v, sizeof v) == sizeof v);
		}
		_exit(0);
	}
	CHECK(close(ping[0]) == 0 && close(pong[1]) == 0);
	for (int i = 0; i < 500; i++) {
		int v = i;
		CHECK(write(ping[1], &v, sizeof v) == sizeof v);
		CHECK(read(pong[0], &v, sizeof v) == sizeof v && v == i * 3 + 1);
	}
	CHECK(close(ping[1]) == 0);
	reap_exit(child, 0);
	ok("ping-pong");
	return 0;
}
