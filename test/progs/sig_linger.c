/*
 * A close that waits for its peer to read ends when a signal comes, also where calls are dealt
 * with beside the variants.
 */
#include "check.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

static volatile sig_atomic_t came;

static void count(int sig)
{
	(void)sig;
	came++;
}

int main(void)
{
	struct sigaction act = { .sa_handler = count };
	struct itimerval soon = { { 0, 0 }, { 0, 200000 } };
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger hour = { 1, 3600 };
	socklen_t size = sizeof addr;
	static char much[1 << 16];

	CHECK(sigaction(SIGALRM, &act, NULL) == 0);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(listener >= 0 && bind(listener, (void *)&addr, sizeof addr) == 0 && listen(listener, 1) == 0);
	CHECK(getsockname(listener, (void *)&addr, &size) == 0);
	int sock = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(sock >= 0 && connect(sock, (void *)&addr, sizeof addr) == 0);
	int peer = accept(listener, NULL, NULL);
	CHECK(peer >= 0);
	/* Before the engine has seen some calls of a thread they are all its own. */
	for (int i = 0; i < 40; i++)
		umask(022);
	while (send(sock, much, sizeof much, MSG_DONTWAIT) > 0)
		;
	CHECK(errno == EAGAIN);
	CHECK(setsockopt(sock, SOL_SOCKET, SO_LINGER, &hour, sizeof hour) == 0);
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	CHECK(close(sock) == 0 || errno == EINTR);
	/* Variants get it with their next call. */
	while (!came)
		(void)getppid();
	puts("ok");
	return 0;
}
