/*
 * Calls that a front-end may deal with beside the variants: one stage for each kind of
 * argument, with a success and a failure. Built with -DMUT=name the value of the constant
 * below is another one, and the stage of that name asks for something else than the leader's
 * build, -DMUT=none.
 */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

enum mutation {
	none,
	command,
	option,
	option_value,
	lock,
	length,
	poll_events,
	poll_fd,
	set,
	sleep_time,
	event,
	event_word,
	offset,
	timer,
	written,
	parts,
	part,
	room,
	behind_code,
	closed,
	opened,
	open_flags,
	open_dir,
	stat_flags,
	message,
	message_parts,
	much,
	much_gone,
	messages,
	messages_split,
	messages_room,
	stamp,
	stamp_call,
	stamp_processor,
};

#ifndef MUT
#define MUT none
#endif

static const volatile enum mutation mutation = MUT;

static int is(enum mutation m) { return mutation == m; }

/* Before the engine has seen some calls of a thread they are all its own; and none of those
 * that follow is the first of its interval. */
static void warm(void)
{
	for (int i = 0; i < 150; i++)
		umask(022);
	(void)!getppid();
}

static void commands(int fd, int sock)
{
	CHECK(fcntl(fd, F_SETFD, is(command) ? 0 : FD_CLOEXEC) == 0);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	CHECK_ERR(fcntl(-1, F_GETFD), EBADF);
	int n = -1, flags = fcntl(sock, F_GETFL);
	CHECK(flags >= 0 && fcntl(sock, F_SETFL, flags | O_NONBLOCK) == 0);
	CHECK_ERR(read(sock, &n, sizeof n), EAGAIN);
	CHECK(ioctl(sock, FIONREAD, &n) == 0 && n == 0);
	n = 0;
	CHECK(ioctl(sock, FIONBIO, &n) == 0 && fcntl(sock, F_GETFL) == flags);
	CHECK_ERR(ioctl(fd, TIOCGWINSZ, (char[8]){0}), ENOTTY);
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = is(lock) ? 1 : 0, .l_len = 10};
	CHECK(fcntl(fd, F_SETLK, &l) == 0);
	l.l_type = 99;
	CHECK_ERR(fcntl(fd, F_SETLK, &l), EINVAL);
	ok("commands");
}

#ifdef __x86_64__
static uint64_t counter(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static uint64_t counter_and_processor(void)
{
	uint32_t low, high, processor;
	__asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(processor));
	return (uint64_t)high << 32 | low;
}

static void stamps(void)
{
	uint64_t last = counter(), now;
	for (int i = 0; i < 20; i++) {
		now = i % 2 ? counter() : counter_and_processor();
		CHECK(now >= last);
		last = now;
		(void)!getegid();
	}
	if (is(stamp))
		(void)!getegid();
	else
		counter();
	(void)!geteuid();
	if (is(stamp_call))
		counter();
	else
		(void)!getegid();
	(void)!geteuid();
	if (is(stamp_processor))
		counter_and_processor();
	else
		counter();
	ok("stamps");
}
#endif

static void options(int sock)
{
	int on = is(option_value) ? 0 : 1, got = -1;
	socklen_t size = sizeof got;
	CHECK(setsockopt(sock, SOL_SOCKET, is(option) ? SO_OOBINLINE : SO_KEEPALIVE, &on, sizeof on) == 0);
	CHECK(getsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &got, &size) == 0 && size == sizeof got && got == 1);
	static const int ask[] = {SO_TYPE, SO_ERROR, SO_SNDBUF, SO_RCVBUF, SO_RCVLOWAT, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN};
	for (size_t i = 0; i < sizeof ask / sizeof *ask; i++)
		CHECK(getsockopt(sock, SOL_SOCKET, ask[i], &got, &size) == 0 && size == sizeof got);
	/* What the kernel does not write stays. */
	unsigned char cut[4] = {0xaa, 0xaa, 0xaa, 0xaa};
	size = is(length) ? 3 : 2;
	CHECK(getsockopt(sock, SOL_SOCKET, SO_TYPE, cut, &size) == 0 && size == 2 && cut[0] == SOCK_STREAM && cut[2] == 0xaa);
	CHECK(setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0);
	CHECK(getsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &got, &(socklen_t){sizeof got}) == 0 && got != 0);
	CHECK_ERR(setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, 1), EINVAL);
	CHECK_ERR(getsockopt(0, SOL_SOCKET, SO_TYPE, &got, &(socklen_t){sizeof got}), ENOTSOCK);
	ok("options");
}

static void names(int sock, int peer)
{
	struct {
		struct sockaddr_in in;
		unsigned char behind[8];
	} own, other;
	memset(&own, 0x55, sizeof own);
	memset(&other, 0x55, sizeof other);
	socklen_t size = sizeof own, half = 4;
	CHECK(getsockname(sock, (void *)&own, &size) == 0 && size == sizeof own.in && own.behind[0] == 0x55);
	size = sizeof other;
	CHECK(getpeername(peer, (void *)&other, &size) == 0 && size == sizeof own.in);
	CHECK(own.in.sin_port == other.in.sin_port && other.behind[7] == 0x55);
	memset(&other, 0x55, sizeof other);
	CHECK(getsockname(sock, (void *)&other, &half) == 0 && half == sizeof own.in && other.in.sin_port == own.in.sin_port &&
	      other.in.sin_addr.s_addr == 0x55555555);
	CHECK_ERR(getsockname(sock, (void *)&own, &(socklen_t){-1}), EINVAL);
	ok("names");
}

/* More than what is compared byte by byte. What was written is something else behind it. */
static void writes_much(int file)
{
	static char bytes[500000];
	struct iovec v[2] = {{bytes, 150000}, {bytes + 250000, 150000}};
	memset(bytes, is(much_gone) ? 'b' : 'a', sizeof bytes);
	CHECK(pwrite(file, bytes, sizeof bytes, 0) == sizeof bytes);
	memset(bytes, 'b', sizeof bytes);
	if (is(much))
		bytes[300001] ^= 1;
	CHECK(pwritev(file, v, 2, 0) == 300000);
	CHECK_ERR(pwrite(file, bytes, sizeof bytes, -1), EINVAL);
	ok("much");
}

/* The same of several messages, and of one that is received. */
static void several(int sock, int peer)
{
	char text[16];
	struct iovec w[3] = {{"first", 5}, {is(messages) ? "next" : "text", 4}, {"and more", 8}}, v = {text, is(messages_room) ? 8 : 9};
	int first = is(messages_split) ? 2 : 1;
	struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = w, .msg_iovlen = (size_t)first}}, {.msg_hdr = {.msg_iov = w + first, .msg_iovlen = (size_t)(3 - first)}}};
	CHECK(sendmmsg(sock, m, 2, MSG_DONTWAIT) == 2 && m[0].msg_len == 5 && m[1].msg_len == 12);
	memset(w, 0, sizeof w);
	CHECK(recvfrom(peer, text, 8, MSG_WAITALL, NULL, NULL) == 8);
	m[0] = (struct mmsghdr){.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
	CHECK(recvmmsg(peer, m, 1, 0, NULL) == 1 && m[0].msg_len == 9 && m[0].msg_hdr.msg_flags == 0);
	CHECK_ERR(recvmmsg(-1, m, 1, 0, NULL), EBADF);
	CHECK_ERR(sendmmsg(-1, m, 1, 0), EBADF);
}

static void transfers(int sock, int peer, int file)
{
	char text[64] = "some bytes that go round";
	struct sockaddr_in from;
	socklen_t size = sizeof from;
	CHECK(write(sock, text, is(written) ? 23 : 24) == 24);
	CHECK(recvfrom(peer, text, 10, MSG_PEEK, (void *)&from, &size) == 10);
	size_t first = is(room) ? 6 : 5;
	struct iovec v[2] = {{text, first}, {text + first, sizeof text - first}};
	CHECK(readv(peer, v, 2) == 24 && strncmp(text, "some bytes that go round", 24) == 0);
	first = is(parts) ? 6 : 5;
	struct iovec w[2] = {{text, first}, {is(part) ? "bytes that go around" : text + first, 24 - first}};
	CHECK(writev(sock, w, 2) == 24);
	CHECK(recvfrom(peer, text, 24, MSG_WAITALL, NULL, NULL) == 24);
	/* Code whose calls may have been exchanged, and what differs behind it. */
	w[0] = (struct iovec){(void *)getppid, 16};
	w[1] = (struct iovec){is(behind_code) ? "code" : "bytes", 4};
	CHECK(writev(sock, w, 2) == 20);
	char code[20];
	CHECK(recvfrom(peer, code, 20, MSG_WAITALL, NULL, NULL) == 20);
	w[1].iov_len = -1;
	CHECK_ERR(writev(sock, w, 2), EINVAL);
	/* A message is another one by the time at which a difference is looked at. */
	w[0] = (struct iovec){is(message) ? "message" : "massage", 7};
	w[1] = (struct iovec){"and more", 8};
	w[0].iov_len -= is(message_parts);
	w[1].iov_len += is(message_parts);
	struct msghdr m = {.msg_iov = w, .msg_iovlen = 2};
	CHECK(sendmsg(sock, &m, MSG_NOSIGNAL) == 15);
	memset(&m, 0, sizeof m);
	memset(w, 0, sizeof w);
	CHECK(recvfrom(peer, text, 15, MSG_WAITALL, NULL, NULL) == 15);
	several(sock, peer);
	CHECK(sendto(peer, text, 24, MSG_NOSIGNAL, NULL, 0) == 24);
	CHECK(recvfrom(sock, text, 24, MSG_WAITALL, NULL, NULL) == 24);
	CHECK_ERR(recvfrom(sock, text, 24, MSG_DONTWAIT, NULL, NULL), EAGAIN);
	off_t at = is(offset) ? 1 : 2;
	CHECK(sendfile(sock, file, &at, 10) == 10 && at == 12);
	CHECK(read(peer, text, sizeof text) == 10 && text[0] == 'c');
	CHECK_ERR(sendfile(sock, -1, NULL, 10), EBADF);
	ok("transfers");
}

/* What libraries make of it is another call, or leaves the rest of the time out. */
static int sys_select(int n, fd_set *in, fd_set *out, fd_set *more, struct timeval *tv)
{
	return (int)syscall(SYS_select, n, in, out, more, tv);
}

static void waits(int sock, int peer)
{
	struct pollfd p[3] = {
		{.fd = sock, .events = is(poll_events) ? POLLIN | POLLPRI : POLLIN, .revents = 77},
		{.fd = -1, .events = (short)(is(none) ? 5 : 6)}, /* events of no descriptor do not count */
		{.fd = is(poll_fd) ? sock : peer, .events = POLLOUT},
	};
	CHECK(poll(p, 2, 0) == 0 && p[0].revents == 0);
	CHECK(poll(p, 3, -1) == 1 && p[2].revents == POLLOUT && p[0].revents == 0);
	CHECK(poll(p, 2, 1) == 0);
	CHECK(ppoll(p, 2, &(struct timespec){0, 1000}, NULL) == 0);
	CHECK_ERR(poll(bad_address, 2, 0), EFAULT);

	fd_set in, out;
	struct timeval tv = {0, 1000};
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(sock, &in);
	FD_SET(is(set) ? sock : peer, &out);
	CHECK(sys_select(peer + 1, &in, &out, NULL, NULL) == 1 && !FD_ISSET(sock, &in) && FD_ISSET(peer, &out));
	FD_SET(sock, &in);
	CHECK(sys_select(peer + 1, &in, NULL, NULL, &tv) == 0 && !FD_ISSET(sock, &in) && tv.tv_usec == 0);
	CHECK(write(peer, "x", 1) == 1);
	FD_SET(sock, &in);
	CHECK(sys_select(sock + 1, &in, NULL, NULL, NULL) == 1 && FD_ISSET(sock, &in));
	CHECK_ERR(sys_select(-1, NULL, NULL, NULL, NULL), EINVAL);

	int ep = epoll_create1(0);
	static int place;
	struct epoll_event e = {.events = is(event) ? EPOLLIN | EPOLLPRI : EPOLLIN, .data.ptr = &place}, got[4];
	CHECK(ep >= 0);
	(void)!getppid();
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, sock, &e) == 0);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, sock, &e), EEXIST);
	CHECK(epoll_wait(ep, got, 4, -1) == 1 && got[0].events == EPOLLIN && got[0].data.ptr == &place);
	e.data.u64 = is(event_word) ? 42 : 41;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, sock, &e) == 0);
	CHECK(epoll_wait(ep, got, 4, 0) == 1);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, sock, NULL) == 0 && epoll_wait(ep, got, 4, 1) == 0);
	CHECK(read(sock, got, 1) == 1);
	CHECK(close(ep) == 0);
	ok("waits");
}

static void times(void)
{
	struct timespec ts = {0, is(sleep_time) ? 2000000 : 1000000}, left = {5, 5};
	CHECK(syscall(SYS_nanosleep, &ts, &left) == 0 && left.tv_sec == 5); /* which one libraries take is their choice */
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL) == 0);
	ts.tv_nsec = -1;
	CHECK_ERR(nanosleep(&ts, NULL), EINVAL);
	int t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	CHECK(t >= 0);
	uint64_t count;
	(void)!getppid();
	struct itimerspec it = {.it_value = {is(timer) ? 1001 : 1000, 0}};
	CHECK(timerfd_settime(t, 0, &it, NULL) == 0 && timerfd_gettime(t, &it) == 0 && it.it_value.tv_sec <= 1000);
	CHECK_ERR(read(t, &count, sizeof count), EAGAIN);
	CHECK(sched_yield() == 0);
	CHECK(close(is(closed) ? t + 100 : t) == 0);
	CHECK_ERR(close(t), EBADF);
	ok("times");
}

/* Descriptors become others, and block or not, while a front-end may remember them. */
static void changing(int sock, int peer, int file)
{
	char c = 'c', text[100];
	for (int i = 0; i < 3; i++) {
		int copy = dup(sock);
		CHECK(copy >= 0);
		CHECK(write(peer, &c, 1) == 1 && read(copy, text, sizeof text) == 1);
		CHECK(fcntl(sock, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
		CHECK_ERR(read(copy, text, 1), EAGAIN);
		CHECK(dup2(file, copy) == copy);
		CHECK(pread(copy, text, sizeof text, 0) == 26 && lseek(copy, 0, SEEK_SET) == 0);
		CHECK(fcntl(sock, F_SETFL, O_RDWR) == 0 && close(copy) == 0);
		CHECK_ERR(read(copy, text, 1), EBADF);
		CHECK(read(file, text, 3) == 3 && memcmp(text, "abc", 3) == 0);
	}
	/* One that does not block takes a part. */
	CHECK(fcntl(sock, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
	static char much[1 << 19];
	size_t n = 0, got = 0;
	ssize_t k;
	while ((k = write(sock, much, sizeof much)) > 0)
		n += (size_t)k;
	CHECK(k == -1 && errno == EAGAIN && n > 0);
	CHECK(fcntl(sock, F_SETFL, O_RDWR) == 0 && shutdown(sock, SHUT_WR) == 0);
	while ((k = read(peer, much, sizeof much)) > 0)
		got += (size_t)k;
	CHECK(k == 0 && got == n);
	CHECK_ERR(sendto(sock, much, 1, MSG_NOSIGNAL, NULL, 0), EPIPE);
	ok("changing");
}

/* A file is opened so often that agents may; see file_known.c. */
static void opens(int file)
{
	char name[PATH_MAX];
	CHECK(getcwd(name, sizeof name - 16));
	strcat(name, "/letters");
	struct stat st;
	for (int i = 0; i < 8; i++) {
		int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY, 0);
		CHECK(fd >= 0 && close(fd) == 0);
	}
	if (is(opened))
		name[strlen(name) - 1] = 'r';
	int fd = (int)syscall(SYS_openat, is(open_dir) ? -1 : AT_FDCWD, name, is(open_flags) ? O_NONBLOCK : O_RDONLY, 0);
	CHECK(fd >= 0);
	CHECK(syscall(SYS_newfstatat, file, "", &st, is(stat_flags) ? AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH) == 0 && st.st_size == 26);
	CHECK(close(fd) == 0);
	ok("opens");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int file = open("letters", O_RDWR | O_CREAT | O_EXCL, 0644), listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(file >= 0 && write(file, "abcdefghijklmnopqrstuvwxyz", 26) == 26);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	CHECK(bind(listener, (void *)&at, sizeof at) == 0 && listen(listener, 1) == 0 && getsockname(listener, (void *)&at, &size) == 0);
	int sock = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(sock, (void *)&at, sizeof at) == 0);
	int peer = accept(listener, NULL, NULL);
	CHECK(sock >= 0 && peer > sock);
	warm();
	commands(file, sock);
#ifdef __x86_64__
	stamps();
#endif
	options(sock);
	names(sock, peer);
	transfers(sock, peer, file);
	waits(sock, peer);
	times();
	opens(file);
	changing(sock, peer, file);
	writes_much(file);
	char where[PATH_MAX];
	CHECK(syscall(SYS_getcwd, where, sizeof where) > 1);
	CHECK_ERR(syscall(SYS_getcwd, where, 1), ERANGE);
	ok("all");
	return 0;
}
