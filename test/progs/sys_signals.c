/* Signals: one success and one failure of each call. */
#include "sys.h"

#define SIZE 8ul

static void handler(int sig) { UNUSED(sig); }

int main(void)
{
	begin();
	uint64_t set = 1ull << (SIGUSR1 - 1), old;
	char info[128] = {0};
	struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } action;
	VALUE(rt_sigaction, SIGUSR1, NULL, &action, SIZE);
	VALUE(rt_sigaction, SIGKILL, &action, NULL, SIZE);
	VALUE(rt_sigprocmask, SIG_BLOCK, &set, &old, SIZE);
	VALUE(rt_sigprocmask, 99, &set, &old, SIZE);
	VALUE(rt_sigpending, &old, SIZE);
	VALUE(rt_sigpending, &old, 99);
	VALUE(kill, getpid(), SIGUSR1);
	VALUE(kill, getpid(), 99);
	struct timespec none = {0, 0};
	VALUE(rt_sigtimedwait, &set, info, &none, SIZE);
	VALUE(rt_sigtimedwait, &set, info, &none, SIZE);
	long tid = syscall(SYS_gettid);
	VALUE(tkill, tid, SIGUSR1);
	VALUE(tkill, -1, SIGUSR1);
	VALUE(rt_sigtimedwait, &set, NULL, &none, SIZE);
	VALUE(tgkill, getpid(), tid, SIGUSR1);
	VALUE(tgkill, getpid(), -1, SIGUSR1);
	VALUE(rt_sigtimedwait, &set, NULL, &none, SIZE);
	memset(info, 0, sizeof info);
	((int *)info)[2] = -1;
	((int *)info)[4] = getpid();
	VALUE(rt_sigqueueinfo, getpid(), SIGUSR1, info);
	VALUE(rt_sigqueueinfo, getpid(), 99, info);
	VALUE(rt_sigtimedwait, &set, NULL, &none, SIZE);
	VALUE(rt_tgsigqueueinfo, getpid(), tid, SIGUSR1, info);
	VALUE(rt_tgsigqueueinfo, getpid(), tid, 99, info);
	VALUE(rt_sigtimedwait, &set, NULL, &none, SIZE);
	int pidfd = (int)CALL(pidfd_open, getpid(), 0);
	VALUE(pidfd_send_signal, pidfd, SIGUSR1, NULL, 0);
	VALUE(pidfd_send_signal, pidfd, 99, NULL, 0);
	int fd = (int)CALL(signalfd4, -1, &set, SIZE, 0);
	CALL(signalfd4, -1, &set, SIZE, 99);
	CALL(signalfd, fd, &set, SIZE);
	CALL(signalfd, fd, &set, 1);
	SHOW("signal", read(fd, info, sizeof info));
	printf("%d\n", *(int *)info);
	struct { void *sp; int flags; size_t size; } stack;
	VALUE(sigaltstack, NULL, &stack);
	VALUE(sigaltstack, NOWHERE, NULL);
	/* Waits for a signal end with one, so these fail only. */
	CHECK(signal(SIGUSR1, handler) != SIG_ERR);
	CHECK(raise(SIGUSR1) == 0);
	uint64_t all = 0;
	VALUE(rt_sigsuspend, &all, SIZE);
	VALUE(rt_sigsuspend, &all, 99);
	CHECK(signal(SIGALRM, handler) != SIG_ERR);
	alarm(1);
	VALUE(pause);
	/* Of a process whose calls no signal has interrupted. */
	VALUE(restart_syscall);
	return 0;
}
