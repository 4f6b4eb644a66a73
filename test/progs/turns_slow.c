/* A thread sends, by a socket that blocks and has little room, to another one of the same program,
 * and a signal finds it where it waits for that. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

enum { TIMES = 200, SIZE = 4096, WARM = 300 };

static int s[2];
static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	UNUSED(sig);
	alarms++;
}

static void *take(void *arg)
{
	static char b[65536];
	long all = 0;

	while (all < (long)TIMES * SIZE) {
		ssize_t n = read(s[1], b, sizeof(b));

		CHECK(n > 0);
		all += n;
		if (all % 7 == 0)
			sched_yield();
	}
	return arg;
}

static void option(int fd, int level, int name, int value) { CHECK(!setsockopt(fd, level, name, &value, sizeof(value))); }

static void pair(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(l >= 0);
	option(l, SOL_SOCKET, SO_RCVBUF, 1);
	CHECK(!bind(l, (struct sockaddr *)&a, n) && !listen(l, 1) && !getsockname(l, (struct sockaddr *)&a, &n));
	s[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(s[0] >= 0);
	option(s[0], SOL_SOCKET, SO_SNDBUF, 8192);
	option(s[0], IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
	option(s[0], IPPROTO_TCP, TCP_NODELAY, 1);
	CHECK(!connect(s[0], (struct sockaddr *)&a, n));
	s[1] = accept(l, NULL, NULL);
	CHECK(s[1] >= 0 && !close(l));
}

/* Nobody takes what is sent until the handler has run. */
static void interrupted(void)
{
	static char data[SIZE];
	struct sigaction act = { .sa_handler = on_alarm };
	ssize_t n = SIZE;
	int i;

	pair();
	CHECK(!sigaction(SIGALRM, &act, NULL));
	for (i = 0; i < WARM; i++)
		CHECK(getppid() > 0);
	alarm(1);
	for (i = 0; i < TIMES && n == SIZE; i++)
		n = send(s[0], data, SIZE, 0);
	/* A signal is taken in front of a call at the latest. */
	CHECK(getppid() > 0);
	CHECK(alarms == 1 && (n == -1 ? errno == EINTR : n > 0 && n < SIZE));
	CHECK(!close(s[0]) && !close(s[1]));
}

int main(void)
{
	static char data[SIZE];
	pthread_t t;
	int i;

	begin();
	interrupted();
	pair();
	CHECK(!pthread_create(&t, NULL, take, NULL));
	for (i = 0; i < TIMES; i++)
		CHECK(send(s[0], data, SIZE, 0) == SIZE);
	CHECK(!pthread_join(t, NULL));
	ok("slow");
	return 0;
}
