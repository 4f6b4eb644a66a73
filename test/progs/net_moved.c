/* Calls that do nothing but to move bytes through a socket of TCP or from a file, which somebody
 * else could make with the same descriptor: nobody sees whether somebody does. */
#include "connected.h"
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static volatile sig_atomic_t piped;

static void note(int sig)
{
	piped += sig == SIGPIPE;
}

/* What was sent may take a moment to come. */
static void await(int fd)
{
	struct pollfd f = {fd, POLLIN, 0};
	CHECK(poll(&f, 1, 10000) == 1);
}

/* Whether the next n bytes, or the last, are these. */
static int take(int fd, const char *want, size_t n)
{
	char buf[64];
	CHECK(n <= sizeof buf);
	for (size_t got = 0; got < n; got++) {
		await(fd);
		CHECK(got % 2 ? recv(fd, buf + got, 1, 0) == 1 : read(fd, buf + got, 1) == 1);
	}
	return memcmp(buf, want, n) == 0;
}

/* Whether the other end has gone. */
static int ended(int fd)
{
	char c;
	await(fd);
	return read(fd, &c, 1) == 0;
}

/* Connects p[0] and p[1], which do not block, and uses them for a while. */
static void connected_and_used(int p[2])
{
	connected(p);
	for (int i = 0; i < 8; i++) {
		CHECK(write(p[0], "0", 1) == 1 && take(p[1], "0", 1));
		CHECK(write(p[1], "1", 1) == 1 && take(p[0], "1", 1));
	}
}

static void both_ways(void)
{
	int p[2];
	char buf[64];
	connected_and_used(p);
	for (int i = 0; i < 3; i++) {
		struct iovec v[3] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
		CHECK_ERR(read(p[1], buf, sizeof buf), EAGAIN);
		CHECK_ERR(recv(p[1], buf, sizeof buf, 0), EAGAIN);
		CHECK(read(p[1], buf, 0) == 0 && write(p[0], buf, 0) == 0);
		CHECK(write(p[0], "0123", 4) == 4 && writev(p[0], v, 3) == 5);
		CHECK(send(p[0], "xy", 2, MSG_NOSIGNAL) == 2);
		await(p[1]);
		CHECK(recv(p[1], buf, 3, MSG_PEEK) == 3 && read(p[1], buf, 3) == 3 && memcmp(buf, "012", 3) == 0);
		CHECK(take(p[1], "3abcdexy", 8));
	}
	CHECK(close(p[0]) == 0 && close(p[1]) == 0);
	ok("both ways");
}

/* What a number stands for changes, and with the last number the connection ends. */
static void numbers(void)
{
	int p[2], q[2];
	char c;
	connected_and_used(p);
	connected_and_used(q);
	CHECK(write(p[0], "p", 1) == 1 && take(p[1], "p", 1));
	CHECK(write(q[0], "q", 1) == 1 && write(p[0], "r", 1) == 1);
	int other = dup(p[1]);
	CHECK(dup2(q[1], p[1]) == p[1] && take(p[1], "q", 1) && take(other, "r", 1));
	CHECK_ERR(read(p[0], &c, 1), EAGAIN);
	CHECK(close(other) == 0 && ended(p[0]));
	CHECK(dup3(q[0], p[0], 0) == p[0] && write(p[0], "s", 1) == 1 && take(q[1], "s", 1));
	CHECK(close(q[1]) == 0);
	CHECK_ERR(read(q[0], &c, 1), EAGAIN);
	CHECK(close(p[1]) == 0 && ended(q[0]));
	CHECK(close(q[0]) == 0 && close(p[0]) == 0);
	CHECK_ERR(read(p[0], &c, 1), EBADF);
	ok("numbers");
}

/* A process that ends, or is killed, has nothing open any more when it has been waited for. */
static void processes(void)
{
	int p[2];
	for (int kill_it = 0; kill_it < 2; kill_it++) {
		connected_and_used(p);
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			CHECK(close(p[0]) == 0 && write(p[1], "c", 1) == 1);
			if (kill_it)
				raise(SIGKILL);
			_exit(0);
		}
		CHECK(close(p[1]) == 0);
		if (kill_it)
			reap_signal(child, SIGKILL);
		else
			reap_exit(child, 0);
		CHECK(take(p[0], "c", 1) && ended(p[0]));
		CHECK(close(p[0]) == 0);
	}
	connected_and_used(p);
	pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(take(p[1], "nnnnnn", 6) && close(p[0]) == 0);
		_exit(0);
	}
	for (int i = 0; i < 6; i++)
		CHECK(write(p[0], "n", 1) == 1);
	reap_exit(child, 0);
	CHECK_ERR(write(p[0], "2", 1), EBADF);
	CHECK(ended(p[1]) && close(p[1]) == 0);
	ok("processes");
}

/* One that has come to block waits until all has been sent. */
static void blocking(void)
{
	enum { BYTES = 3 << 20, LITTLE = 1 << 14 };
	static char big[BYTES], got[1 << 16];
	int p[2], off = 0, little = LITTLE;
	fill(big, sizeof big, 1);
	for (int way = 0; way < 2; way++) {
		connected_and_used(p);
		CHECK(setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
		CHECK(setsockopt(p[1], SOL_SOCKET, SO_RCVBUF, &little, sizeof little) == 0);
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			size_t n = 0;
			CHECK(close(p[0]) == 0 && fcntl(p[1], F_SETFL, 0) == 0 && take(p[1], "wwwwww", 6));
			for (ssize_t k; (k = read(p[1], got, sizeof got)) > 0; n += (size_t)k)
				CHECK(memcmp(got, big + n, (size_t)k) == 0);
			_exit(n == BYTES ? 0 : 1);
		}
		CHECK(close(p[1]) == 0);
		for (int i = 0; i < 6; i++)
			CHECK(write(p[0], "w", 1) == 1);
		CHECK((way ? ioctl(p[0], FIONBIO, &off) : fcntl(p[0], F_SETFL, 0)) == 0);
		CHECK(write(p[0], big, BYTES) == BYTES && close(p[0]) == 0);
		reap_exit(child, 0);
	}
	/* One that does not takes what has room. */
	connected_and_used(p);
	CHECK(setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
	CHECK(setsockopt(p[1], SOL_SOCKET, SO_RCVBUF, &little, sizeof little) == 0);
	size_t sent = 0, n = 0;
	ssize_t k;
	while ((k = write(p[0], big + sent, BYTES - sent)) > 0)
		sent += (size_t)k;
	CHECK(k == -1 && errno == EAGAIN && sent < BYTES);
	CHECK(shutdown(p[0], SHUT_WR) == 0 && fcntl(p[1], F_SETFL, 0) == 0);
	for (; (k = read(p[1], got, sizeof got)) > 0; n += (size_t)k)
		CHECK(memcmp(got, big + n, (size_t)k) == 0);
	CHECK(k == 0 && n == sent && close(p[0]) == 0 && close(p[1]) == 0);
	ok("blocking");
}

/* Errors are told once or again and again, and some with a signal. */
static void broken(void)
{
	int p[2];
	char buf[8];
	struct sigaction sa = {.sa_handler = note};
	CHECK(sigaction(SIGPIPE, &sa, NULL) == 0);
	connected_and_used(p);
	CHECK(write(p[0], "a", 1) == 1 && shutdown(p[0], SHUT_WR) == 0);
	CHECK_ERR(write(p[0], "b", 1), EPIPE);
	CHECK(piped == 1);
	CHECK_ERR(send(p[0], "b", 1, MSG_NOSIGNAL), EPIPE);
	CHECK(piped == 1);
	CHECK(take(p[1], "a", 1) && ended(p[1]));
	CHECK(close(p[0]) == 0 && close(p[1]) == 0);

	struct linger now_ = {1, 0};
	connected_and_used(p);
	CHECK(setsockopt(p[1], SOL_SOCKET, SO_LINGER, &now_, sizeof now_) == 0 && close(p[1]) == 0);
	await(p[0]);
	CHECK_ERR(read(p[0], buf, sizeof buf), ECONNRESET);
	CHECK(read(p[0], buf, sizeof buf) == 0);
	CHECK_ERR(write(p[0], "c", 1), EPIPE);
	CHECK(piped == 2 && close(p[0]) == 0);
	CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	ok("broken");
}

/* Memory that cannot be written keeps nothing from the socket. */
static void addresses(void)
{
	int p[2];
	char *m = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED && mprotect(m + PAGE, PAGE, PROT_READ) == 0 && munmap(m + 2 * PAGE, PAGE) == 0);
	connected_and_used(p);
	CHECK(write(p[0], "0123456789", 10) == 10);
	await(p[1]);
	CHECK_ERR(read(p[1], bad_address, 10), EFAULT);
	CHECK_ERR(recv(p[1], m + PAGE, 10, 0), EFAULT);
	CHECK(read(p[1], m + PAGE - 4, 4) == 4 && memcmp(m + PAGE - 4, "0123", 4) == 0);
	CHECK(read(p[1], m + PAGE - 6, 2 * PAGE) == 6 && memcmp(m + PAGE - 6, "456789", 6) == 0);
	CHECK_ERR(write(p[0], bad_address, 10), EFAULT);
	CHECK_ERR(write(p[0], m + 2 * PAGE, 10), EFAULT);
	CHECK(write(p[0], m + PAGE, 9) == 9 && take(p[1], m + PAGE, 9));
	CHECK_ERR(read(p[1], m, PAGE), EAGAIN);
	CHECK(munmap(m, 2 * PAGE) == 0 && close(p[0]) == 0 && close(p[1]) == 0);
	ok("addresses");
}

/* Who is killed leaves a connection to somebody who does not read: nobody waits for that. */
static void lingering(void)
{
	static char big[1 << 20];
	char c;
	int p[2], closed[2];
	struct linger on = {1, 1000};
	connected_and_used(p);
	CHECK(pipe(closed) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		/* Or its parent would be the last to close it, and wait. */
		CHECK(read(closed[0], &c, 1) == 1);
		for (int i = 0; i < 6; i++)
			CHECK(write(p[0], "l", 1) == 1);
		CHECK(setsockopt(p[0], SOL_SOCKET, SO_LINGER, &on, sizeof on) == 0);
		for (int i = 0; i < 6; i++)
			while (write(p[0], big, sizeof big) > 0)
				;
		raise(SIGKILL);
	}
	CHECK(close(p[0]) == 0 && write(closed[1], "c", 1) == 1);
	reap_signal(child, SIGKILL);
	CHECK(close(closed[0]) == 0 && close(closed[1]) == 0);
	CHECK(take(p[1], "llllll", 6) && close(p[1]) == 0);
	ok("lingering");
}

static void files(void)
{
	char buf[256], name[64];
	int pipe_[2];
	put_file("file", "abcdefghij", 10, 0644);
	int fd = open("file", O_RDWR), out = open("file", O_WRONLY), dir = open(".", O_RDONLY);
	CHECK(fd >= 0 && out >= 0 && dir >= 0 && pipe(pipe_) == 0);
	for (int i = 0; i < 6; i++) {
		CHECK(pread(fd, buf, 4, 3) == 4 && memcmp(buf, "defg", 4) == 0);
		CHECK(pread(fd, buf, 64, 7) == 3 && pread(fd, buf, 4, 10) == 0 && pread(fd, buf, 4, 1000) == 0);
		CHECK_ERR(pread(fd, buf, 4, -1), EINVAL);
		CHECK_ERR(pread(fd, bad_address, 4, 0), EFAULT);
		CHECK_ERR(pread(out, buf, 4, 0), EBADF);
		CHECK_ERR(pread(dir, buf, 4, 0), EISDIR);
		CHECK_ERR(pread(pipe_[0], buf, 4, 0), ESPIPE);
		CHECK(lseek(fd, 0, SEEK_CUR) == i && read(fd, buf, 1) == 1);
	}
	CHECK(pwrite(out, "D", 1, 3) == 1 && pread(fd, buf, 4, 3) == 4 && memcmp(buf, "Defg", 4) == 0);
	CHECK(ftruncate(out, 5) == 0 && pread(fd, buf, 4, 3) == 2);
	CHECK(close(fd) == 0 && (fd = open("/proc/self/comm", O_RDONLY)) >= 0);
	CHECK(pread(fd, name, 9, 0) == 9 && memcmp(name, "net_moved", 9) == 0);
	CHECK(close(fd) == 0 && close(out) == 0 && close(dir) == 0 && close(pipe_[0]) == 0 && close(pipe_[1]) == 0);
	ok("files");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	both_ways();
	numbers();
	blocking();
	broken();
	addresses();
	lingering();
	files();
	/* Behind this the process is one that has shared its descriptors. */
	processes();
	return 0;
}
