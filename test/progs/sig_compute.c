/*
 * A signal that arrives while the program computes, between its last look at what
 * the handler notes and a call that waits for events: the wait must not last.
 */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static volatile sig_atomic_t noted;

static void note(int sig)
{
	UNUSED(sig);
	noted = 1;
}

static void compute(void)
{
	for (volatile long i = 0; i < 100000000; i++)
		;
}

/* Sends SIGUSR1 while the parent computes, most likely. */
static pid_t sender(void)
{
	pid_t parent = getpid(), pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		sleep_ms(20);
		CHECK(kill(parent, SIGUSR1) == 0);
		_exit(0);
	}
	return pid;
}

int main(void)
{
	begin();
	struct sigaction sa = {.sa_handler = note, .sa_flags = SA_RESTART};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev;
	sigset_t none;
	sigemptyset(&none);
	for (int how = 0; how < 6; how++) {
		noted = 0;
		pid_t pid = sender();
		while (!noted) {
			compute();
			if (noted)
				break;
			int r = -1;
			switch (how) {
			case 0: r = epoll_wait(ep, &ev, 1, -1); break;
			case 1: r = poll(NULL, 0, -1); break;
			case 2: r = ppoll(NULL, 0, NULL, &none); break;
			case 3: r = select(0, NULL, NULL, NULL, NULL); break;
			case 4: r = pselect(0, NULL, NULL, NULL, NULL, &none); break;
			case 5: r = epoll_pwait(ep, &ev, 1, -1, &none); break;
			}
			CHECK(r == -1 && errno == EINTR);
		}
		reap_exit(pid, 0);
	}
	ok("woken");
	return 0;
}
