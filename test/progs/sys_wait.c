/* Calls that wait for descriptors, children and other threads. */
#include "sys.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int p[2];
	CHECK(pipe(p) == 0);
	struct pollfd pfd = {p[1], POLLOUT, 0};
	struct timespec none = {0, 0};
	struct timeval no = {0, 0};
	fd_set set;
	VALUE(poll, &pfd, 1, 0);
	VALUE(poll, &pfd, -1, 0);
	VALUE(ppoll, &pfd, 1, &none, NULL, 0);
	VALUE(ppoll, &pfd, 1, &none, NOWHERE, 99);
	FD_ZERO(&set);
	FD_SET(p[1], &set);
	VALUE(select, p[1] + 1, NULL, &set, NULL, &no);
	VALUE(select, -1, NULL, NULL, NULL, &no);
	VALUE(pselect6, p[1] + 1, NULL, &set, NULL, &none, NULL);
	VALUE(pselect6, -1, NULL, NULL, NULL, &none, NULL);
	struct epoll_event e = {.events = EPOLLOUT, .data.u64 = 7};
	close((int)CALL(epoll_create, 1));
	CALL(epoll_create, 0);
	int ep = (int)CALL(epoll_create1, 0);
	CALL(epoll_create1, 99);
	VALUE(epoll_ctl, ep, EPOLL_CTL_ADD, p[1], &e);
	VALUE(epoll_ctl, ep, EPOLL_CTL_ADD, p[1], &e);
	VALUE(epoll_wait, ep, &e, 1, 0);
	VALUE(epoll_wait, ep, &e, 0, 0);
	VALUE(epoll_pwait, ep, &e, 1, 0, NULL, 8);
	VALUE(epoll_pwait, ep, &e, 0, 0, NULL, 8);
	VALUE(epoll_pwait2, ep, &e, 1, &none, NULL, 8);
	VALUE(epoll_pwait2, ep, &e, 0, &none, NULL, 8);
	close((int)CALL(eventfd, 0));
	int ev = (int)CALL(eventfd2, 3, 0);
	CALL(eventfd2, 0, 99);
	uint64_t got;
	SHOW("event", read(ev, &got, 8));
	int status;
	VALUE(wait4, -1, &status, WNOHANG, NULL);
	VALUE(waitid, P_ALL, 0, NULL, WEXITED | WNOHANG, NULL);
	for (int i = 0; i < 3; i++) {
		pid_t child = i == 1 ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0) : i == 2 ? (pid_t)syscall(SYS_fork) : fork();
		CHECK(child >= 0);
		if (child == 0)
			syscall(SYS_exit_group, 4);
		if (i == 0)
			CHECK(syscall(SYS_waitid, P_PID, child, NULL, WEXITED, NULL) == 0);
		else
			CHECK(syscall(SYS_wait4, child, &status, 0, NULL) == child);
	}
	ok("children");
	int self = (int)CALL(pidfd_open, getpid(), 0);
	CALL(pidfd_getfd, self, p[0], 0);
	CALL(pidfd_getfd, self, p[0], 99);
	CALL(clone, 0x10000 /* CLONE_THREAD without what it needs */, NULL, NULL, NULL, 0);
	CALL(clone3, NULL, 0);
	CALL(execve, "none", NULL, NULL);
	CALL(execveat, AT_FDCWD, "none", NULL, NULL, 0);
	unsigned word = 1;
	VALUE(futex, &word, 1, 1);
	VALUE(futex, &word, 0, 0, NULL);
	return 0;
}
