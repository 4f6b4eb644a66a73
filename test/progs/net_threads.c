/* Threads that use a connection, and others that have its number stand for something else
 * meanwhile: what is sent goes where it belongs at each moment. */
#include "connected.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>

/* How many bytes there are at fd, of which n must come. */
static int drain(int fd, int n)
{
	char buf[256];
	int got = 0;
	for (;;) {
		struct pollfd f = {fd, POLLIN, 0};
		if (got >= n && poll(&f, 1, 0) == 0)
			return got;
		CHECK(poll(&f, 1, 10000) == 1);
		ssize_t r = read(fd, buf, sizeof buf);
		CHECK(r > 0);
		got += r;
	}
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int order, a[2], b[2], epolls[2];

/* Has the other thread do what n stands for, and waits until it has. */
static void ask(int n)
{
	pthread_mutex_lock(&lock);
	order = n;
	pthread_cond_broadcast(&changed);
	while (order != 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

enum { REPLACE = 1, SHUT, REOPEN, TOGGLE, WATCH, END };

static void *other(void *none)
{
	for (int n = 0; n != END;) {
		pthread_mutex_lock(&lock);
		while (order == 0)
			pthread_cond_wait(&changed, &lock);
		n = order;
		switch (n) {
		case REPLACE:
			CHECK(dup2(b[0], a[0]) == a[0]);
			break;
		case SHUT:
			CHECK(close(a[0]) == 0);
			break;
		case WATCH:
			CHECK(dup2(epolls[1], epolls[0]) == epolls[0]);
			break;
		case REOPEN:
			CHECK(fcntl(b[0], F_DUPFD, a[0]) == a[0]);
			break;
		}
		order = 0;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		for (int i = 0; n == TOGGLE && i < 200; i++)
			CHECK(dup2(b[0], a[0]) == a[0]);
	}
	return none;
}

static void use(int fd, int n)
{
	for (int i = 0; i < n; i++)
		CHECK(write(fd, "x", 1) == 1);
}

/* Whose event there is, n times. */
static void watch(int which, int n)
{
	for (int i = 0; i < n; i++) {
		struct epoll_event e[2] = {{0}, {0}};
		CHECK(epoll_wait(epolls[0], e, 2, 1000) == 1 && e[0].events == EPOLLIN && e[0].data.u32 == (uint32_t)which);
	}
}

/* An instance that is waited at in one thread is another one when another thread has seen to that. */
static void watched(void)
{
	int pipes[2][2];
	for (int i = 0; i < 2; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
		CHECK(pipe(pipes[i]) == 0 && write(pipes[i][1], "x", 1) == 1);
		CHECK((epolls[i] = epoll_create1(0)) >= 0 && epoll_ctl(epolls[i], EPOLL_CTL_ADD, pipes[i][0], &e) == 0);
	}
	watch(0, 20);
	/* Of what happens once it is told once. */
	struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u32 = 0};
	CHECK(epoll_ctl(epolls[0], EPOLL_CTL_MOD, pipes[0][0], &e) == 0);
	watch(0, 1);
	CHECK(epoll_wait(epolls[0], &e, 1, 0) == 0);
	ask(WATCH);
	watch(1, 20);
	CHECK(close(epolls[0]) == 0);
	CHECK_ERR(epoll_wait(epolls[0], &e, 1, 0), EBADF);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	pthread_t t;
	connected(a);
	connected(b);
	CHECK(pthread_create(&t, NULL, other, NULL) == 0);

	use(a[0], 20);
	CHECK(drain(a[1], 20) == 20);
	ask(REPLACE);
	use(a[0], 20);
	CHECK(drain(b[1], 20) == 20);
	/* That was the last descriptor of the near end. */
	char c;
	CHECK(read(a[1], &c, 1) == 0);
	ok("replaced");

	ask(SHUT);
	CHECK_ERR(write(a[0], "x", 1), EBADF);
	ask(REOPEN);
	use(a[0], 20);
	CHECK(drain(b[1], 20) == 20);
	ok("shut");

	/* Whichever it is that a number stands for just now, there is a connection. */
	ask(TOGGLE);
	use(a[0], 400);
	CHECK(drain(b[1], 400) == 400);
	ok("toggled");

	watched();
	ok("watched");

	ask(END);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(close(a[0]) == 0 && close(b[0]) == 0);
	CHECK(read(b[1], &c, 1) == 0);
	ok("ended");
	return 0;
}
