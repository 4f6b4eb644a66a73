/* Strings and structures that end where an unmapped page begins. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static char *string(const char *s)
{
	size_t n = strlen(s) + 1;
	return memcpy(at_page_end(n), s, n);
}

static void *copy(const void *p, size_t n)
{
	return memcpy(at_page_end(n), p, n);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	if (argc == 4) {
		printf("exec'd with %s, %s\n", argv[2], argv[3]);
		CHECK(strcmp(getenv("LAST"), "value") == 0);
		return 0;
	}
	put_file(string("f"), "data", 4, 0644);
	struct stat *st = (struct stat *)at_page_end(sizeof *st);
	CHECK(stat(string("f"), st) == 0 && st->st_size == 4);
	CHECK(rename(string("f"), string("g")) == 0);
	CHECK(symlink(string("g"), string("link")) == 0);
	char *two = at_page_end(2);
	CHECK(readlink(string("link"), two, 1) == 1 && two[0] == 'g');
	CHECK(mkdir(string("d"), 0755) == 0);
	CHECK(unlink(string("link")) == 0 && rmdir(string("d")) == 0);
	CHECK_ERR(open(string(""), O_RDONLY), ENOENT);
	ok("paths");

	char *unended = at_page_end(3);
	memcpy(unended, "abc", 3);
	CHECK_ERR(open(unended, O_RDONLY), EFAULT);
	CHECK_ERR(unlink(unended), EFAULT);
	CHECK_ERR(symlink("x", unended), EFAULT);
	ok("no end before the page's");

	/* A path that lies across a page boundary, both pages there. */
	char *across = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(across != MAP_FAILED);
	for (size_t back = 1; back < 6; back++) {
		strcpy(across + PAGE - back, "./././g");
		CHECK(access(across + PAGE - back, F_OK) == 0);
	}
	ok("across a boundary");

	int p[2];
	int *fds = (int *)at_page_end(sizeof p);
	CHECK(pipe(fds) == 0);
	memcpy(p, fds, sizeof p);
	struct iovec v[2] = {{string("ab"), 2}, {string("cd"), 2}};
	CHECK(writev(p[1], copy(v, sizeof v), 2) == 4);
	char *r1 = at_page_end(3), *r2 = at_page_end(1);
	struct iovec rv[2] = {{r1, 3}, {r2, 1}};
	CHECK(readv(p[0], copy(rv, sizeof rv), 2) == 4);
	CHECK(memcmp(r1, "abc", 3) == 0 && *r2 == 'd');
	struct pollfd pf = {p[1], POLLOUT, 0}, *pfp = copy(&pf, sizeof pf);
	CHECK(poll(pfp, 1, 0) == 1 && pfp->revents == POLLOUT);
	struct epoll_event ev = {.events = EPOLLOUT, .data.u32 = 5}, *evp = copy(&ev, sizeof ev);
	int ep = epoll_create1(0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], evp) == 0);
	evp = (struct epoll_event *)at_page_end(sizeof ev);
	CHECK(epoll_wait(ep, evp, 1, 0) == 1 && evp->data.u32 == 5);
	struct timespec ts = {0, 1000}, *tsp = copy(&ts, sizeof ts);
	CHECK(nanosleep(tsp, NULL) == 0);
	tsp = (struct timespec *)at_page_end(sizeof ts);
	CHECK(clock_gettime(CLOCK_MONOTONIC, tsp) == 0);
	CHECK(prctl(PR_SET_NAME, string("ab")) == 0);
	char *name = at_page_end(16);
	CHECK(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "ab") == 0);
	ok("structures");

	int s = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "sock"};
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 5;
	CHECK(bind(s, copy(&un, len), len) == 0);
	struct iovec one = {string("m"), 1};
	struct msghdr m = {.msg_name = copy(&un, len), .msg_namelen = len,
			   .msg_iov = copy(&one, sizeof one), .msg_iovlen = 1};
	CHECK(sendmsg(s, copy(&m, sizeof m), 0) == 1);
	char *in = at_page_end(1);
	CHECK(recv(s, in, 1, 0) == 1 && *in == 'm');
	CHECK(unlink("sock") == 0);
	ok("messages");

	CHECK(unlink("g") == 0);
	char *av[] = {argv[0], ".", string("first"), string("second"), NULL};
	char *env[] = {string("LAST=value"), NULL};
	execve("/proc/self/exe", copy(av, sizeof av), copy(env, sizeof env));
	CHECK(!"exec");
}
