/*
 * EFAULT in every direction: arguments and results at bad, half mapped and
 * read-only addresses. Calls the vDSO would take are made raw.
 */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BAD ((void *)bad_address)
#define RAW(name, ...) syscall(SYS_##name, __VA_ARGS__)

static int p[2], s[2], fd;

static void buffers(void)
{
	CHECK(write(p[1], "12345678", 8) == 8 && write(fd, "12345678", 8) == 8);
	CHECK_ERR(read(p[0], BAD, 8), EFAULT);
	/* Natively the data of a failed read is not lost. */
	char buf[2 * PAGE];
	CHECK(read(p[0], buf, 8) == 8);
	CHECK_ERR(write(p[1], BAD, 8), EFAULT);
	CHECK_ERR(pread(fd, BAD, 8, 0), EFAULT);
	CHECK_ERR(pwrite(fd, BAD, 8, 0), EFAULT);
	CHECK_ERR(send(s[0], BAD, 8, 0), EFAULT);
	CHECK(send(s[0], "x", 1, 0) == 1);
	CHECK_ERR(recv(s[1], BAD, 8, 0), EFAULT);
	CHECK_ERR(RAW(getrandom, BAD, 8, 0), EFAULT);
	int null = open("/dev/null", O_WRONLY);
	SHOW("write of bad memory to /dev/null", write(null, BAD, 8));
	CHECK(close(null) == 0);
	ok("bad buffers");

	/* 100 bytes that can be used, then nothing. */
	char *half = at_page_end(100);
	memset(half, 'h', 100);
	SHOW("write 8192 from 100 to a file", pwrite(fd, half, 8192, 0));
	SHOW("write 8192 from 100 to a pipe", write(p[1], half, 8192));
	SHOW("read 8192 into 100 from a file", pread(fd, half, 8192, 0));
	memset(buf, 'b', sizeof buf);
	CHECK(pwrite(fd, buf, sizeof buf, 0) == (ssize_t)sizeof buf);
	memset(half, 0, 100);
	SHOW("read 8192 into 100 from a longer file", pread(fd, half, 8192, 0));
	printf("first byte then %d, last %d\n", half[0], half[99]);
	int flags = fcntl(p[0], F_GETFL);
	CHECK(fcntl(p[0], F_SETFL, flags | O_NONBLOCK) == 0);
	while (read(p[0], buf, sizeof buf) > 0)
		;
	CHECK(write(p[1], buf, 200) == 200);
	SHOW("read 200 into 100 from a pipe", read(p[0], half, 200));
	while (read(p[0], buf, sizeof buf) > 0)
		;
	CHECK(fcntl(p[0], F_SETFL, flags) == 0);
	SHOW("read 50 of a buffer announced as 200", write(p[1], buf, 50) == 50 ? read(p[0], half, 200) : -1);
	SHOW("getrandom 200 into 100", RAW(getrandom, half, 200, 0));
	char *page_and = at_page_end(PAGE);
	SHOW("getrandom 8192 into 4096", RAW(getrandom, page_and, 8192, 0));
	ok("half mapped");

	char *ro = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(ro != MAP_FAILED);
	CHECK_ERR(pread(fd, ro, 8, 0), EFAULT);
	CHECK(pwrite(fd, ro, 8, 0) == 8);
	CHECK_ERR(RAW(stat, "file", (struct stat *)ro), EFAULT);
	CHECK_ERR(RAW(pipe2, ro, 0), EFAULT);
	CHECK_ERR(RAW(clock_gettime, CLOCK_REALTIME, ro), EFAULT);
	ok("read-only");
}

static void paths(void)
{
	struct stat st;
	char buf[64];
	CHECK_ERR(open(BAD, O_RDONLY), EFAULT);
	CHECK_ERR(openat(AT_FDCWD, BAD, O_RDONLY), EFAULT);
	CHECK_ERR(RAW(stat, BAD, &st), EFAULT);
	CHECK_ERR(RAW(lstat, "file", BAD), EFAULT);
	CHECK_ERR(RAW(fstat, fd, BAD), EFAULT);
	CHECK_ERR(RAW(statx, AT_FDCWD, "file", 0, 0x7ff, BAD), EFAULT);
	CHECK_ERR(access(BAD, F_OK), EFAULT);
	CHECK_ERR(rename(BAD, "x"), EFAULT);
	CHECK_ERR(rename("file", BAD), EFAULT);
	CHECK_ERR(link("file", BAD), EFAULT);
	CHECK_ERR(symlink(BAD, "x"), EFAULT);
	CHECK_ERR(unlink(BAD), EFAULT);
	CHECK_ERR(mkdir(BAD, 0755), EFAULT);
	CHECK_ERR(chdir(BAD), EFAULT);
	CHECK_ERR(chmod(BAD, 0644), EFAULT);
	CHECK_ERR(truncate(BAD, 0), EFAULT);
	CHECK(symlink("file", "link") == 0);
	CHECK_ERR(readlink("link", BAD, 8), EFAULT);
	CHECK_ERR(readlink(BAD, buf, 8), EFAULT);
	CHECK(unlink("link") == 0);
	CHECK_ERR(RAW(getcwd, BAD, 4096), EFAULT);
	CHECK_ERR(RAW(statfs, "file", BAD), EFAULT);
	CHECK_ERR(RAW(utimensat, AT_FDCWD, "file", BAD, 0), EFAULT);
	int dir = open(".", O_RDONLY | O_DIRECTORY);
	CHECK_ERR(RAW(getdents64, dir, BAD, 4096), EFAULT);
	CHECK(close(dir) == 0);
	CHECK_ERR(RAW(execve, BAD, NULL, NULL), EFAULT);
	CHECK_ERR(RAW(execve, "/proc/self/exe", (char *const *)BAD, NULL), EFAULT);
	char *const one_bad[] = {"x", BAD, NULL};
	CHECK_ERR(RAW(execve, "/proc/self/exe", one_bad, NULL), EFAULT);
	CHECK_ERR(RAW(execve, "/proc/self/exe", NULL, one_bad), EFAULT);
	ok("paths and their results");
}

static void vectors(void)
{
	struct iovec v[2] = {{"ab", 2}, {BAD, 2}};
	CHECK_ERR(writev(p[1], BAD, 1), EFAULT);
	CHECK_ERR(writev(p[1], v + 1, 1), EFAULT);
	CHECK_ERR(preadv(fd, v + 1, 1, 0), EFAULT);
	struct msghdr m = {.msg_iov = BAD, .msg_iovlen = 1};
	CHECK_ERR(RAW(sendmsg, s[0], &m, 0), EFAULT);
	CHECK_ERR(RAW(sendmsg, s[0], BAD, 0), EFAULT);
	CHECK_ERR(RAW(recvmsg, s[1], BAD, 0), EFAULT);
	CHECK_ERR(RAW(recvmsg, s[1], &m, 0), EFAULT);
	m = (struct msghdr){.msg_iov = v, .msg_iovlen = 1, .msg_control = BAD, .msg_controllen = 32};
	CHECK_ERR(RAW(sendmsg, s[0], &m, 0), EFAULT);
	ok("vectors and headers");
}

static void sockets(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int u = socket(AF_INET, SOCK_DGRAM, 0), t = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERR(bind(u, BAD, sizeof a), EFAULT);
	CHECK_ERR(connect(u, BAD, sizeof a), EFAULT);
	CHECK(bind(u, (struct sockaddr *)&a, sizeof a) == 0 && bind(t, (struct sockaddr *)&a, sizeof a) == 0);
	CHECK_ERR(getsockname(u, BAD, &len), EFAULT);
	CHECK_ERR(getsockname(u, (struct sockaddr *)&a, BAD), EFAULT);
	CHECK(getsockname(t, (struct sockaddr *)&a, &len) == 0);
	CHECK_ERR(sendto(u, "x", 1, 0, BAD, sizeof a), EFAULT);
	CHECK(listen(t, 2) == 0);
	int c = socket(AF_INET, SOCK_STREAM, 0), before = dup(c);
	CHECK(close(before) == 0);
	CHECK(connect(c, (struct sockaddr *)&a, sizeof a) == 0);
	CHECK_ERR(accept(t, BAD, &len), EFAULT);
	CHECK(dup(c) == before && close(before) == 0);
	int one = 1;
	CHECK_ERR(setsockopt(u, SOL_SOCKET, SO_REUSEADDR, BAD, sizeof one), EFAULT);
	CHECK_ERR(getsockopt(u, SOL_SOCKET, SO_TYPE, BAD, &len), EFAULT);
	CHECK_ERR(getsockopt(u, SOL_SOCKET, SO_TYPE, &one, BAD), EFAULT);
	CHECK_ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD), EFAULT);
	CHECK(dup(c) == before && close(before) == 0);
	CHECK(close(u) == 0 && close(t) == 0 && close(c) == 0);
	ok("sockets");
}

static void structures(void)
{
	struct timespec ts = {0, 0};
	struct rlimit rl;
	CHECK_ERR(RAW(pipe, BAD), EFAULT);
	int next = dup(0);
	CHECK(next == fd + 1 && close(next) == 0);
	CHECK_ERR(RAW(uname, BAD), EFAULT);
	CHECK_ERR(RAW(clock_gettime, CLOCK_MONOTONIC, BAD), EFAULT);
	CHECK_ERR(RAW(clock_getres, CLOCK_MONOTONIC, BAD), EFAULT);
	CHECK_ERR(RAW(gettimeofday, BAD, NULL), EFAULT);
	CHECK_ERR(RAW(time, BAD), EFAULT);
	CHECK_ERR(RAW(times, BAD), EFAULT);
	CHECK_ERR(RAW(sysinfo, BAD), EFAULT);
	CHECK_ERR(RAW(getrusage, RUSAGE_SELF, BAD), EFAULT);
	CHECK_ERR(RAW(nanosleep, BAD, NULL), EFAULT);
	CHECK(RAW(nanosleep, &ts, BAD) == 0);
	CHECK_ERR(RAW(clock_nanosleep, CLOCK_MONOTONIC, 0, BAD, NULL), EFAULT);
	CHECK_ERR(RAW(getrlimit, RLIMIT_NOFILE, BAD), EFAULT);
	CHECK_ERR(RAW(setrlimit, RLIMIT_NOFILE, BAD), EFAULT);
	CHECK_ERR(RAW(prlimit64, 0, RLIMIT_NOFILE, BAD, &rl), EFAULT);
	CHECK_ERR(RAW(prlimit64, 0, RLIMIT_NOFILE, NULL, BAD), EFAULT);
	SHOW("getgroups", RAW(getgroups, 65536, BAD));
	CHECK_ERR(RAW(getresuid, BAD, BAD, BAD), EFAULT);
	CHECK_ERR(RAW(sched_getaffinity, 0, 128, BAD), EFAULT);
	CHECK_ERR(RAW(rt_sigaction, SIGUSR1, BAD, NULL, 8), EFAULT);
	CHECK_ERR(RAW(rt_sigaction, SIGUSR1, NULL, BAD, 8), EFAULT);
	CHECK_ERR(RAW(rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8), EFAULT);
	CHECK_ERR(RAW(rt_sigprocmask, SIG_BLOCK, NULL, BAD, 8), EFAULT);
	CHECK_ERR(RAW(rt_sigpending, BAD, 8), EFAULT);
	CHECK_ERR(RAW(sigaltstack, BAD, NULL), EFAULT);
	CHECK_ERR(RAW(sigaltstack, NULL, BAD), EFAULT);
	CHECK_ERR(ioctl(p[0], FIONREAD, BAD), EFAULT);
	CHECK_ERR(RAW(sendfile, fd, fd, BAD, 1), EFAULT);
	ok("structures");

	CHECK_ERR(RAW(poll, BAD, 1, 0), EFAULT);
	CHECK_ERR(RAW(ppoll, NULL, 0, BAD, NULL, 8), EFAULT);
	CHECK_ERR(RAW(select, 5, BAD, NULL, NULL, &ts), EFAULT);
	CHECK_ERR(RAW(select, 0, NULL, NULL, NULL, BAD), EFAULT);
	CHECK_ERR(RAW(pselect6, 0, NULL, NULL, NULL, BAD, NULL), EFAULT);
	int ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = &ev};
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], BAD), EFAULT);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, s[0], &ev) == 0);
	CHECK_ERR(RAW(epoll_wait, ep, BAD, 1, 0), EFAULT);
	CHECK(close(ep) == 0);
	ok("waiting calls");

	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(3);
	CHECK_ERR(RAW(wait4, child, BAD, 0, NULL), EFAULT);
	CHECK_ERR(RAW(wait4, child, NULL, 0, NULL), ECHILD);
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(3);
	CHECK_ERR(RAW(waitid, P_PID, child, BAD, WEXITED, NULL), EFAULT);
	CHECK_ERR(RAW(wait4, child, NULL, 0, NULL), ECHILD);
	ok("wait reaps all the same");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd == s[1] + 1);
	buffers();
	paths();
	vectors();
	sockets();
	structures();
	return 0;
}
