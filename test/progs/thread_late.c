/* What a call that sleeps in one thread writes to memory another thread sees at the same
 * place of its own work in all variants. */
#include "threads.h"
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { ROUNDS = 6, SPIN = 300000, SIZE = 3 * PAGE };

static int in, out, listener;
static char buf[SIZE];
static union {
	struct pollfd poll;
	fd_set set;
	struct epoll_event event;
	struct sockaddr_un name;
	int status;
	char bytes[SIZE];
} at;
static pid_t child;
static atomic_int waiting;

static void by_read(void)
{
	CHECK(read(in, buf, SIZE) == 1);
}

static void by_readv(void)
{
	struct iovec v[2] = {{buf, 1}, {buf + PAGE, SIZE - PAGE}};
	CHECK(readv(in, v, 2) == 1);
}

static void by_recvfrom(void)
{
	struct sockaddr_un name;
	socklen_t size = sizeof(name);
	CHECK(recvfrom(in, buf, SIZE, 0, (struct sockaddr *)&name, &size) == 1);
	CHECK(size == 0);
}

static void by_recvmsg(void)
{
	char control[64], name[64];
	struct iovec v[2] = {{buf, 1}, {buf + 1, SIZE - 1}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control),
		.msg_name = name, .msg_namelen = sizeof(name)};
	CHECK(recvmsg(in, &m, 0) == 1);
	CHECK(m.msg_controllen == 0 && m.msg_namelen == 0 && m.msg_flags == 0);
}

static void drain(void)
{
	char c;
	CHECK(read(in, &c, 1) == 1);
}

static void by_poll(void)
{
	at.poll = (struct pollfd){.fd = in, .events = POLLIN};
	CHECK(poll(&at.poll, 1, -1) == 1 && at.poll.revents == POLLIN && at.poll.fd == in);
	drain();
}

static void by_ppoll(void)
{
	struct timespec limit = {100, 0};
	at.poll = (struct pollfd){.fd = in, .events = POLLIN};
	CHECK(ppoll(&at.poll, 1, &limit, NULL) == 1 && at.poll.revents == POLLIN);
	drain();
}

static void by_select(void)
{
	struct timeval limit = {100, 0};
	FD_ZERO(&at.set);
	FD_SET(in, &at.set);
	CHECK(select(in + 1, &at.set, NULL, NULL, &limit) == 1 && FD_ISSET(in, &at.set));
	drain();
}

static void by_epoll(void)
{
	int ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = buf};
	CHECK(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, in, &e) == 0);
	CHECK(epoll_wait(ep, &at.event, 16, -1) == 1);
	CHECK(at.event.events == EPOLLIN && at.event.data.ptr == buf);
	close(ep);
	drain();
}

static void by_accept(void)
{
	socklen_t size = sizeof(at.name);
	int s = accept(listener, (struct sockaddr *)&at.name, &size);
	CHECK(s >= 0 && at.name.sun_family == AF_UNIX && size == sizeof(sa_family_t));
	close(s);
}

static void by_wait(void)
{
	CHECK(waitpid(child, &at.status, 0) == child && WEXITSTATUS(at.status) == 7);
}

static void by_waitid(void)
{
	siginfo_t *info = (siginfo_t *)&at;
	CHECK(waitid(P_PID, child, info, WEXITED) == 0 && info->si_pid == child && info->si_status == 7);
}

static int gone_pipe[2];
static char *gone;

static void *into_nothing(void *arg)
{
	waiting = 1;
	CHECK_ERR(read(gone_pipe[0], gone, 1), EFAULT);
	return arg;
}

/* Another thread takes the memory away while the call sleeps. */
static void unmapped(void)
{
	pthread_t t;
	CHECK(pipe(gone_pipe) == 0);
	gone = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(gone != MAP_FAILED);
	waiting = 0;
	CHECK(pthread_create(&t, NULL, into_nothing, NULL) == 0);
	while (!waiting)
		sched_yield();
	sleep_ms(10);
	CHECK(munmap(gone, PAGE) == 0);
	CHECK(write(gone_pipe[1], "x", 1) == 1);
	CHECK(pthread_join(t, NULL) == 0);
	ok("memory that is gone");
}

static void *sleeper(void *arg)
{
	waiting = 1;
	((void (*)(void))arg)();
	return NULL;
}

/* What main looks at without a call in between. A program whose output depends on when it
 * sees something is not one that runs alike everywhere; what it must not see is a change
 * here that comes elsewhere, or never, in another variant. */
static long look(void)
{
	char first = buf[0], second = buf[PAGE];
	short events = at.poll.revents;
	char bytes[32];
	memcpy(bytes, &at, sizeof(bytes));
	long i;
	for (i = 0; i < SPIN; i++) {
		__asm__ volatile("" ::: "memory");
		if (buf[0] != first || buf[PAGE] != second || at.poll.revents != events || memcmp(bytes, &at, sizeof(bytes)) != 0)
			break;
	}
	return i;
}

static void by_writing(void)
{
	CHECK(write(out, "x", 1) == 1);
}

static void by_connecting(void)
{
	struct sockaddr_un name;
	socklen_t size = sizeof(name);
	CHECK(getsockname(listener, (struct sockaddr *)&name, &size) == 0);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(s >= 0 && connect(s, (struct sockaddr *)&name, size) == 0);
	close(s);
}

static void rounds(const char *name, void (*sleep)(void), void (*wake)(void), int forks)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_t t;
		memset(buf, 0, sizeof(buf));
		memset(&at, 0, sizeof(at));
		if (forks) {
			child = fork();
			CHECK(child >= 0);
			if (child == 0) {
				drain();
				_exit(7);
			}
		}
		waiting = 0;
		CHECK(pthread_create(&t, NULL, sleeper, (void *)sleep) == 0);
		while (!waiting)
			sched_yield();
		sleep_ms(10);
		wake();
		/* Variants compare the argument of this call. */
		lseek(-1, look(), SEEK_SET);
		CHECK(pthread_join(t, NULL) == 0);
	}
	ok(name);
}

int main(void)
{
	begin();
	int p[2], s[2];
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	/* The kernel chooses the name. */
	CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)) == 0 && listen(listener, 5) == 0);
	in = p[0], out = p[1];
	rounds("read", by_read, by_writing, 0);
	rounds("readv", by_readv, by_writing, 0);
	rounds("poll", by_poll, by_writing, 0);
	rounds("ppoll", by_ppoll, by_writing, 0);
	rounds("select", by_select, by_writing, 0);
	rounds("epoll", by_epoll, by_writing, 0);
	rounds("wait4", by_wait, by_writing, 1);
	rounds("waitid", by_waitid, by_writing, 1);
	in = s[0], out = s[1];
	rounds("recvfrom", by_recvfrom, by_writing, 0);
	rounds("recvmsg", by_recvmsg, by_writing, 0);
	rounds("accept", by_accept, by_connecting, 0);
	unmapped();
	return 0;
}
