/* Waiting for signals: descriptors, calls, and masks that change while a call waits. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

static volatile sig_atomic_t hits;
static volatile int fd_seen, band, code;

static void counts(int sig)
{
	UNUSED(sig);
	hits++;
}

static void io(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(sig);
	UNUSED(ctx);
	fd_seen = si->si_fd;
	band = (int)si->si_band;
	code = si->si_code;
	hits++;
}

static sigset_t set_of(int a, int b)
{
	sigset_t s;
	sigemptyset(&s);
	if (a)
		sigaddset(&s, a);
	if (b)
		sigaddset(&s, b);
	return s;
}

/* Starts a child that sends sig n times, with values, once its parent sleeps. */
static pid_t sender(int sig, int n)
{
	pid_t parent = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		wait_until_blocked(parent);
		for (int i = 0; i < n; i++)
			CHECK(sigqueue(parent, sig, (union sigval){.sival_int = 10 + i}) == 0);
		_exit(0);
	}
	return child;
}

static sigset_t none, usr1, both;
static int epfd;

/* Each lets through what is blocked now. */
static int by_pselect(void) { return pselect(0, NULL, NULL, NULL, NULL, &none); }
static int by_ppoll(void) { return ppoll(NULL, 0, NULL, &none); }
static int by_epoll(void) { struct epoll_event e; return epoll_pwait(epfd, &e, 1, -1, &none); }
static int by_sigsuspend(void) { return sigsuspend(&none); }

int main(void)
{
	begin();
	sigemptyset(&none);
	usr1 = set_of(SIGUSR1, 0);
	both = set_of(SIGUSR1, SIGUSR2);
	CHECK((epfd = epoll_create1(0)) >= 0);
	struct sigaction sa = {.sa_handler = counts};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	siginfo_t si;
	pid_t child;

	/* A signal between the look and the wait is not lost: it is let through by the wait. */
	int (*waits[])(void) = {by_pselect, by_ppoll, by_epoll, by_sigsuspend};
	CHECK(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
	for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
		hits = 0;
		CHECK(raise(SIGUSR1) == 0 && hits == 0);
		CHECK_ERR(waits[i](), EINTR);
		CHECK(hits == 1);
		hits = 0;
		child = sender(SIGUSR1, 1);
		CHECK_ERR(waits[i](), EINTR);
		CHECK(hits == 1);
		reap_exit(child, 0);
	}
	ok("pselect, ppoll, epoll_pwait, sigsuspend");

	/* A hundred times, from another process, at any moment. */
	hits = 0;
	pid_t parent = getpid();
	CHECK(sigprocmask(SIG_BLOCK, &both, NULL) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		sigset_t s = set_of(SIGUSR2, 0);
		for (int i = 0; i < 100; i++) {
			CHECK(kill(parent, SIGUSR1) == 0);
			CHECK(sigwaitinfo(&s, NULL) == SIGUSR2);
		}
		_exit(0);
	}
	for (int i = 0; i < 100; i++) {
		CHECK(hits == i);
		CHECK_ERR(waits[i % 4](), EINTR);
		CHECK(hits == i + 1 && kill(child, SIGUSR2) == 0);
	}
	reap_exit(child, 0);
	ok("to and fro");

	/* sigtimedwait */
	struct timespec soon = {0, 10000000}, late = {1000, 0};
	CHECK_ERR(sigtimedwait(&both, &si, &soon), EAGAIN);
	child = sender(SIGUSR2, 1);
	CHECK(sigtimedwait(&both, &si, &late) == SIGUSR2 && si.si_code == SI_QUEUE && si.si_pid == child && si.si_value.sival_int == 10);
	reap_exit(child, 0);
	int rt = SIGRTMIN + 3;
	sigset_t rts = set_of(rt, 0);
	CHECK(sigprocmask(SIG_BLOCK, &rts, NULL) == 0);
	child = sender(rt, 5);
	for (int i = 0; i < 5; i++)
		CHECK(sigwaitinfo(&rts, &si) == rt && si.si_value.sival_int == 10 + i);
	reap_exit(child, 0);
	ok("sigtimedwait");

	/* signalfd */
	struct signalfd_siginfo got[4];
	int fd = signalfd(-1, &usr1, SFD_NONBLOCK | SFD_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_ERR(read(fd, got, sizeof got), EAGAIN);
	CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 3}) == 0);
	struct pollfd p = {fd, POLLIN, 0};
	CHECK(poll(&p, 1, -1) == 1 && p.revents == POLLIN);
	CHECK(read(fd, got, sizeof got) == sizeof got[0] && got[0].ssi_signo == SIGUSR1 && got[0].ssi_int == 3 && got[0].ssi_pid == (uint32_t)getpid());
	CHECK(signalfd(fd, &both, 0) == fd && fcntl(fd, F_SETFL, 0) == 0);
	child = sender(SIGUSR2, 1);
	CHECK(read(fd, got, sizeof got) == sizeof got[0] && got[0].ssi_signo == SIGUSR2 && got[0].ssi_pid == (uint32_t)child);
	reap_exit(child, 0);
	CHECK_ERR(read(fd, got, sizeof got[0] - 1), EINVAL);
	sigset_t chld = set_of(SIGCHLD, 0);
	CHECK(sigprocmask(SIG_BLOCK, &chld, NULL) == 0 && signalfd(fd, &chld, 0) == fd);
	struct epoll_event e = {.events = EPOLLIN};
	CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(9);
	do /* The children before have left one. */
		CHECK(epoll_wait(epfd, &e, 1, -1) == 1 && read(fd, got, sizeof got) == sizeof got[0] && got[0].ssi_signo == SIGCHLD);
	while (got[0].ssi_pid != (uint32_t)child);
	CHECK(got[0].ssi_code == CLD_EXITED && got[0].ssi_status == 9);
	reap_exit(child, 9);
	CHECK(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL) == 0 && close(fd) == 0);
	ok("signalfd");

	/* SIGIO, and another signal that says which descriptor. */
	int s[2];
	char c;
	CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(sigaction(SIGIO, &sa, NULL) == 0 && fcntl(s[0], F_SETOWN, getpid()) == 0 && fcntl(s[0], F_GETOWN) == getpid());
	CHECK(fcntl(s[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0);
	hits = 0;
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(write(s[1], "x", 1) == 1);
		_exit(0);
	}
	while (hits == 0)
		sleep_ms(2);
	CHECK(read(s[0], &c, 1) == 1 && c == 'x');
	reap_exit(child, 0);
	sa = (struct sigaction){.sa_sigaction = io, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(SIGRTMIN, &sa, NULL) == 0 && fcntl(s[0], F_SETSIG, SIGRTMIN) == 0 && fcntl(s[0], F_GETSIG) == SIGRTMIN);
	hits = 0;
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(write(s[1], "y", 1) == 1);
		_exit(0);
	}
	while (hits == 0)
		sleep_ms(2);
	CHECK(fd_seen == s[0] && code == POLL_IN && (band & POLLIN));
	CHECK(read(s[0], &c, 1) == 1 && c == 'y' && fcntl(s[0], F_SETFL, 0) == 0);
	reap_exit(child, 0);
	ok("SIGIO");
	return 0;
}
