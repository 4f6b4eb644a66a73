/*
 * Lengths, vectors, sets and paths that go far beyond what is there.
 */
#include "hostile.h"
#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define GIB (1L << 30)

static int lengths(void)
{
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), fds[2];
	char *end = at_page_end(100);
	CHECK(null >= 0 && zero >= 0 && pipe(fds) == 0);
	SHOW("null", write(null, end, GIB));
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	memset(end, 'x', 100);
	SHOW("file", write(fd, end, GIB));
	SHOW("file, at an offset", pwrite(fd, end, GIB, 1000));
	SHOW("pipe", write(fds[1], end, GIB));
	SHOW("zeros", read(zero, end, GIB));
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	SHOW("back", read(fd, end, GIB) > 0);
	SHOW("huge", raw3(SYS_write, null, end, ~0UL));
	SHOW("huge", read(zero, end, ~0UL >> 1));
	SHOW("random", raw3(SYS_getrandom, bad_address, GIB, 0));
	SHOW("send", send(fds[1], end, GIB, 0));
	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	SHOW("datagram", send(s[0], end, GIB, MSG_DONTWAIT));
	SHOW("copy", copy_file_range(fd, NULL, null, NULL, GIB, 0) < 0);
	/* Much memory of which nothing is there yet. */
	char *much = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(much != MAP_FAILED);
	SHOW("much", write(null, much, 64 << 20));
	return 0;
}

static int vectors(void)
{
	static struct iovec v[1100];
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY);
	char *end = at_page_end(64);
	for (int i = 0; i < 1100; i++)
		v[i] = (struct iovec){end, GIB};
	SHOW("write", writev(null, v, 1024));
	SHOW("too many", writev(null, v, 1025));
	SHOW("negative", raw3(SYS_writev, null, v, -1));
	SHOW("read", readv(zero, v, 1024));
	for (int i = 0; i < 1100; i++)
		v[i] = (struct iovec){end, i == 0 ? 64 : ~0UL};
	SHOW("overflow", writev(null, v, 1024));
	for (int i = 0; i < 1100; i++)
		v[i] = (struct iovec){end, 64};
	SHOW("good", writev(null, v, 1024));
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		printf("%d: %d", i, writev(null, (void *)bad_pointers[i], 1) == -1 ? errno : 0);
		v[1].iov_base = (void *)bad_pointers[i];
		int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
		printf(" %ld\n", (long)writev(file, v, 3));
		close(file);
	}
	struct msghdr m = {.msg_iov = v, .msg_iovlen = ~0UL};
	SHOW("message", sendmsg(null, &m, 0));
	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	SHOW("message", sendmsg(s[0], &m, MSG_DONTWAIT));
	m.msg_iovlen = 1;
	m.msg_control = v;
	m.msg_controllen = ~0UL >> 1;
	SHOW("control", sendmsg(s[0], &m, MSG_DONTWAIT));
	m.msg_control = bad_address;
	m.msg_controllen = 1000;
	SHOW("control", sendmsg(s[0], &m, MSG_DONTWAIT));
	m.msg_name = bad_address;
	m.msg_namelen = 0xffffffff;
	SHOW("name", sendmsg(s[0], &m, MSG_DONTWAIT));
	return 0;
}

static int waiting(void)
{
	int fds[2], ep = epoll_create1(0);
	CHECK(pipe(fds) == 0 && ep >= 0);
	struct epoll_event e = {.events = ~0U, .data.u64 = ~0UL};
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fds[1], &e) == 0);
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		long p = (long)bad_pointers[i];
		struct timespec none = {0, 0};
		printf("%d: %ld %ld", i, raw6(SYS_epoll_ctl, ep, EPOLL_CTL_MOD, fds[0], p, 0, 0), raw6(SYS_epoll_wait, ep, p, 1, 0, 0, 0));
		printf(" %ld %ld", (long)(raw6(SYS_epoll_wait, ep, (long)&e, p, 0, 0, 0) < 0), raw6(SYS_poll, p, 1, 0, 0, 0, 0));
		printf(" %ld", raw6(SYS_poll, (long)&e, p | 0x7fffffff, 0, 0, 0, 0));
		printf(" %ld", i == 0 ? 0 : raw6(SYS_select, 64, p, 0, 0, (long)&(struct timeval){0, 0}, 0));
		printf(" %ld", i == 0 ? 0 : raw6(SYS_select, 64, 0, p, p, (long)&(struct timeval){0, 0}, 0));
		printf(" %ld", i == 0 ? 0 : raw6(SYS_select, 0, 0, 0, 0, p, 0));
		printf(" %ld", i == 0 ? 0 : raw6(SYS_pselect6, 0, 0, 0, 0, (long)&none, p));
		printf(" %ld", i == 0 ? 0 : raw6(SYS_ppoll, 0, 0, p, 0, 8, 0));
		printf(" %ld\n", i == 0 ? 0 : raw6(SYS_ppoll, 0, 0, (long)&none, p, 8, 0));
	}
	SHOW("negative select", raw6(SYS_select, -1, 0, 0, 0, 0, 0));
	static char set[8192];
	memset(set, 0, sizeof set);
	SHOW("many", raw6(SYS_select, INT_MAX, (long)set, 0, 0, (long)&(struct timeval){0, 0}, 0) == 0);
	return 0;
}

static int deep(void)
{
	char name[201];
	memset(name, 'd', sizeof name - 1);
	name[200] = 0;
	int depth = 0;
	while (depth < 120 && mkdir(name, 0700) == 0 && chdir(name) == 0)
		depth++;
	CHECK(depth == 120);
	char buf[PATH_MAX];
	SHOW("cwd", getcwd(buf, sizeof buf) == NULL ? -1 : 0);
	SHOW("raw", raw3(SYS_getcwd, buf, sizeof buf, 0));
	int fd = open("bottom", O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1);
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && *p == 'x');
	CHECK(munmap(p, PAGE) == 0 && close(fd) == 0);
	CHECK(symlink("/bin/true", "link") == 0);
	CHILD("exec down there", (execl("./link", "true", (char *)NULL), errno));
	CHECK(unlink("link") == 0 && unlink("bottom") == 0);
	for (int i = 0; i < depth; i++)
		CHECK(chdir("..") == 0 && rmdir(name) == 0);
	return 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	CHILD("lengths", lengths());
	CHILD("vectors", vectors());
	CHILD("waiting", waiting());
	CHILD("deep", deep());
	return sting();
}
