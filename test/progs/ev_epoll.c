/* epoll: data of every kind comes back as this variant's own, also after dup, close and fork. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct conn {
	int fd;
	const char *name;
};

static volatile sig_atomic_t hits;

static void handler(int sig)
{
	UNUSED(sig);
	hits++;
}

static void add(int ep, int fd, uint32_t events, epoll_data_t data)
{
	struct epoll_event ev = {.events = events, .data = data};
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
}

static int event(uint64_t value)
{
	int fd = eventfd((unsigned)value, EFD_NONBLOCK);
	CHECK(fd >= 0);
	return fd;
}

static void data_kinds(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct conn *heap = malloc(sizeof *heap), stack = {event(1), "stack"};
	static struct conn data = {0, "data"};
	CHECK(ep >= 0 && heap != NULL);
	*heap = (struct conn){event(1), "heap"};
	data.fd = event(1);
	add(ep, heap->fd, EPOLLIN, (epoll_data_t){.ptr = heap});
	add(ep, stack.fd, EPOLLIN, (epoll_data_t){.ptr = &stack});
	add(ep, data.fd, EPOLLIN, (epoll_data_t){.ptr = &data});
	struct epoll_event ev[8];
	CHECK(epoll_wait(ep, ev, 8, -1) == 3);
	int seen = 0;
	for (int i = 0; i < 3; i++) {
		struct conn *c = ev[i].data.ptr;
		CHECK(c == heap || c == &stack || c == &data);
		CHECK(ev[i].events == EPOLLIN);
		uint64_t v;
		CHECK(read(c->fd, &v, sizeof v) == sizeof v && v == 1);
		printf("pointer to %s\n", c->name);
		seen++;
	}
	CHECK(seen == 3 && epoll_wait(ep, ev, 8, 0) == 0);

	/* Two descriptors with one pointer, then a number that only looks like one. */
	int twin = event(1);
	add(ep, twin, EPOLLIN, (epoll_data_t){.ptr = heap});
	uint64_t one = 1;
	CHECK(write(heap->fd, &one, sizeof one) == sizeof one);
	CHECK(epoll_wait(ep, ev, 8, -1) == 2 && ev[0].data.ptr == heap && ev[1].data.ptr == heap);
	CHECK(close(twin) == 0 && close(heap->fd) == 0 && close(stack.fd) == 0 && close(data.fd) == 0);
	CHECK(epoll_wait(ep, ev, 8, 0) == 0);

	static const uint64_t words[] = {0, 1, UINT64_MAX, 0xdeadbeefcafef00du, 0x7fff12345678u, 42};
	for (size_t i = 0; i < 6; i++)
		add(ep, event(1), EPOLLIN, (epoll_data_t){.u64 = words[i]});
	CHECK(epoll_wait(ep, ev, 8, -1) == 6);
	for (size_t i = 0; i < 6; i++)
		CHECK(ev[i].data.u64 == words[i]);
	CHECK(epoll_wait(ep, ev, 2, -1) == 2);
	ok("data");
}

static void changes(void)
{
	int ep = epoll_create1(0), a = event(1), b = dup(a);
	struct epoll_event ev[4];
	add(ep, a, EPOLLIN, (epoll_data_t){.u64 = 111});
	add(ep, b, EPOLLIN, (epoll_data_t){.ptr = ev});
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, a, ev), EEXIST);
	CHECK(epoll_wait(ep, ev, 4, -1) == 2);
	CHECK(ev[0].data.u64 == 111 && ev[1].data.ptr == ev);
	struct epoll_event change = {.events = EPOLLIN | EPOLLOUT, .data.fd = b};
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, b, &change) == 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL) == 0);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL), ENOENT);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_MOD, a, &change), ENOENT);
	CHECK(epoll_wait(ep, ev, 4, -1) == 1 && ev[0].data.fd == b && ev[0].events == (EPOLLIN | EPOLLOUT));
	/* The number closed, its open file alive through the other: the entry stays. */
	CHECK(close(b) == 0);
	CHECK(epoll_wait(ep, ev, 4, -1) == 1 && ev[0].data.fd == b);
	/* The number is used anew for another file, with other data. */
	int c = event(0);
	CHECK(c == b);
	add(ep, c, EPOLLOUT, (epoll_data_t){.ptr = &change});
	CHECK(epoll_wait(ep, ev, 4, -1) == 2);
	for (int i = 0; i < 2; i++)
		CHECK(ev[i].events == EPOLLOUT ? ev[i].data.ptr == &change : ev[i].data.fd == b);
	CHECK(close(a) == 0);
	CHECK(epoll_wait(ep, ev, 4, -1) == 1 && ev[0].data.ptr == &change);
	CHECK(close(c) == 0 && epoll_wait(ep, ev, 4, 0) == 0);
	ok("dup, close, reuse");
}

static void modes(void)
{
	int ep = epoll_create(8), fd = event(1);
	struct epoll_event ev[4], again = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 5};
	add(ep, fd, EPOLLIN | EPOLLONESHOT, (epoll_data_t){.u64 = 4});
	CHECK(epoll_wait(ep, ev, 4, -1) == 1 && ev[0].data.u64 == 4);
	CHECK(epoll_wait(ep, ev, 4, 0) == 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &again) == 0);
	CHECK(epoll_wait(ep, ev, 4, -1) == 1 && ev[0].data.u64 == 5);
	again.events = EPOLLIN | EPOLLET;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &again) == 0);
	CHECK(epoll_wait(ep, ev, 4, -1) == 1 && epoll_wait(ep, ev, 4, 0) == 0);
	uint64_t one = 1;
	CHECK(write(fd, &one, sizeof one) == sizeof one);
	CHECK(epoll_wait(ep, ev, 4, -1) == 1 && epoll_wait(ep, ev, 4, 0) == 0);
	double t = now();
	CHECK(epoll_wait(ep, ev, 4, 20) == 0 && now() - t >= 0.019);
	ok("one shot, edge");

	/* An epoll inside another, and under poll. */
	int outer = epoll_create1(0);
	add(outer, ep, EPOLLIN, (epoll_data_t){.ptr = &outer});
	CHECK(write(fd, &one, sizeof one) == sizeof one);
	CHECK(epoll_wait(outer, ev, 4, -1) == 1 && ev[0].data.ptr == &outer);
	struct pollfd pf = {ep, POLLIN, 0};
	CHECK(poll(&pf, 1, -1) == 1 && pf.revents == POLLIN);
	ok("nested");

	struct sigaction sa = {.sa_handler = handler};
	sigset_t block, none;
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && sigprocmask(SIG_BLOCK, &block, NULL) == 0);
	CHECK(epoll_wait(ep, ev, 4, -1) == 1);
	CHECK(raise(SIGUSR1) == 0 && hits == 0);
	CHECK_ERR(epoll_pwait(ep, ev, 4, -1, &none), EINTR);
	CHECK(hits == 1);
	CHECK(epoll_pwait(ep, ev, 4, 0, &none) == 0);
	ok("epoll_pwait");

	CHECK_ERR(epoll_wait(ep, ev, 0, 0), EINVAL);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &again), EINVAL);
	CHECK_ERR(epoll_ctl(ep, 77, fd, &again), EINVAL);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, 99, &again), EBADF);
	CHECK_ERR(epoll_ctl(fd, EPOLL_CTL_ADD, fd, &again), EINVAL);
	int file = open("file", O_RDWR | O_CREAT, 0644);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, file, &again), EPERM);
	ok("errors");
}

/* As libev has it: a number and a count above it, which looks like an address now and then. */
static void counted(void)
{
	int ep = epoll_create1(0), p[2];
	CHECK(pipe(p) == 0 && write(p[1], "x", 1) == 1);
	add(ep, p[0], EPOLLIN, (epoll_data_t){.u64 = 0});
	for (uint64_t count = 1; count < 0x8000; count += 61) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u64 = count << 32 | (uint32_t)p[0]}, got;
		CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev) == 0);
		CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.data.u64 == ev.data.u64);
	}
	static char mark;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &mark}, got;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev) == 0);
	CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.data.ptr == &mark);
	ok("counted");
}

static void forked(void)
{
	int ep = epoll_create1(0), p[2];
	static int mark;
	CHECK(pipe(p) == 0);
	add(ep, p[0], EPOLLIN, (epoll_data_t){.ptr = &mark});
	pid_t self = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		struct epoll_event ev;
		wait_until_blocked(self);
		CHECK(write(p[1], "x", 1) == 1);
		CHECK(epoll_wait(ep, &ev, 1, -1) == 1 && ev.data.ptr == &mark);
		/* What the child registers is the parent's, too. */
		add(ep, p[1], EPOLLOUT, (epoll_data_t){.u64 = 777});
		_exit(0);
	}
	struct epoll_event ev[4];
	CHECK(epoll_wait(ep, ev, 1, -1) == 1 && ev[0].data.ptr == &mark);
	reap_exit(child, 0);
	CHECK(epoll_wait(ep, ev, 4, -1) == 2);
	for (int i = 0; i < 2; i++)
		CHECK(ev[i].events == EPOLLOUT ? ev[i].data.u64 == 777 : ev[i].data.ptr == &mark);
	ok("fork");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	data_kinds();
	changes();
	modes();
	counted();
	forked();
	return 0;
}
