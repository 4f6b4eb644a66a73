/*
 * restart.c [NAME MODE]: interrupts a sleeping call and shows with which of its internal
 * codes the kernel ends it, as only a tracer sees, and how the program goes on. Without
 * arguments it lists the calls.
 *
 * MODE is "once" for a handler without SA_RESTART, "again" for one with it, "none" for
 * no handler.
 */
#include "native.h"

#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reg.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* What the caller tells its tracer: its call's arguments, where the call returns to, and
 * what the handler saw. */
static struct seen {
	uint64_t args[6];
	uint64_t behind, rip, rax;
} *seen;

static struct timespec long_time = {1000, 0}, far;
static struct timeval long_timeval = {1000, 0};
static uint64_t no_mask;
static struct { const void *set; size_t size; } mask_pair = {&no_mask, 8};
static int ends[2];
static char data[1 << 16];
static struct iovec vec = {data, 1};
static struct msghdr message = {.msg_iov = &vec, .msg_iovlen = 1};
static struct mmsghdr messages = {.msg_hdr = {.msg_iov = &vec, .msg_iovlen = 1}};
static int ipc_id = -1;
static int ipc_is_sem;

#define SET(...) do { long v[] = {__VA_ARGS__}; memcpy(seen->args, v, sizeof v); } while (0)
#define NEED(x) do { if ((x) < 0) missing(#x); } while (0)
#define P(x) ((long)(uintptr_t)(x))

static void missing(const char *what)
{
	printf("missing %s: %s\n", what, strerror(errno));
	exit(0);
}

static void empty_pipe(void) { NEED(pipe(ends)); }

static void full_pipe(void)
{
	empty_pipe();
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	while (write(ends[1], data, sizeof data) > 0)
		;
	fcntl(ends[1], F_SETFL, 0);
}

static void full_socket(void)
{
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	while (send(ends[1], data, sizeof data, MSG_DONTWAIT) > 0)
		;
}

static void timeout(int option) { setsockopt(ends[option == SO_SNDTIMEO], SOL_SOCKET, option, &long_timeval, sizeof long_timeval); }

static void listening(int backlog)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	NEED(ends[0] = socket(AF_UNIX, SOCK_STREAM, 0));
	snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "signals-%d", getpid());
	NEED(bind(ends[0], (void *)&a, sizeof a));
	NEED(listen(ends[0], backlog));
}

static void connecting(void)
{
	static struct sockaddr_un a;
	socklen_t n = sizeof a;
	listening(0);
	getsockname(ends[0], (void *)&a, &n);
	for (int fd; (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0;)
		if (connect(fd, (void *)&a, n) && errno == EAGAIN)
			break;
	NEED(ends[1] = socket(AF_UNIX, SOCK_STREAM, 0));
	SET(ends[1], P(&a), (long)n);
}

/* A child that does nothing and does not outlive its parent. */
static void child(void (*first)(void))
{
	int ready[2];
	NEED(pipe(ready));
	pid_t pid = fork();
	NEED(pid);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (first)
			first();
		close(ready[0]), close(ready[1]);
		for (;;)
			pause();
	}
	close(ready[1]);
	char c;
	NEED(read(ready[0], &c, 1));
}

static FILE *locked;
static struct flock region = {.l_type = F_WRLCK, .l_len = 1};
static void lock_region(void) { NEED(fcntl(fileno(locked), F_SETLK, &region)); }

static void file_lock(int cmd)
{
	if (!(locked = tmpfile()))
		missing("tmpfile");
	child(lock_region);
	SET(fileno(locked), cmd, P(&region));
}

static void s_flock(void)
{
	char path[64];
	if (!(locked = tmpfile()))
		missing("tmpfile");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(locked));
	NEED(ends[0] = open(path, O_RDWR));
	NEED(flock(ends[0], LOCK_EX));
	SET(fileno(locked), LOCK_EX);
}

static void fifo(int at)
{
	static char path[64];
	snprintf(path, sizeof path, "%s/signals-fifo-%d", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", getpid());
	NEED(mkfifo(path, 0600));
	if (at)
		SET(AT_FDCWD, P(path), O_RDONLY);
	else
		SET(P(path), O_RDONLY);
}

static void queue(long fill)
{
	static struct { long type; char c; } m = {1, 0};
	NEED(ipc_id = msgget(IPC_PRIVATE, 0600));
	if (fill)
		while (msgsnd(ipc_id, &m, 1, IPC_NOWAIT) == 0)
			;
	SET(ipc_id, P(&m), 1, 0, 0);
}

static void semaphore(long timed)
{
	static struct sembuf op = {0, -1, 0};
	NEED(ipc_id = semget(IPC_PRIVATE, 1, 0600));
	ipc_is_sem = 1;
	SET(ipc_id, P(&op), 1, timed ? P(&long_time) : 0);
}

static void posix_queue(long fill)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
	char name[32];
	snprintf(name, sizeof name, "/signals-%d", getpid());
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	NEED(q);
	mq_unlink(name);
	if (fill)
		NEED(mq_send(q, data, 1, 0));
	SET(q, P(data), 1, 0, 0);
}

static void aio(long masked)
{
	static aio_context_t ctx;
	static struct io_event ev;
	NEED(syscall(SYS_io_setup, 1, &ctx));
	SET((long)ctx, 1, 1, P(&ev), P(&long_time), masked ? P(&mask_pair) : 0);
}

static uint32_t word;
static uint64_t waitv[3] = {0, 0, 2};
static void future(void) { clock_gettime(CLOCK_MONOTONIC, &far), far.tv_sec += 1000; }
static void tty(void)
{
	NEED(ends[1] = posix_openpt(O_RDWR | O_NOCTTY));
	NEED(grantpt(ends[1]) | unlockpt(ends[1]));
	NEED(ends[0] = open(ptsname(ends[1]), O_RDWR | O_NOCTTY));
}

#define SETUP(name, ...) static void s_##name(void) { __VA_ARGS__; }
static struct pollfd no_poll;
static struct epoll_event events;
SETUP(read, empty_pipe(); SET(ends[0], P(data), 1))
SETUP(read_eventfd, SET(eventfd(0, 0), P(data), 8))
SETUP(read_timerfd, SET(timerfd_create(CLOCK_MONOTONIC, 0), P(data), 8))
SETUP(read_signalfd, sigset_t s; sigemptyset(&s); SET(signalfd(-1, &s, 0), P(data), 128))
SETUP(read_inotify, SET(inotify_init(), P(data), 4096))
SETUP(read_tty, tty(); SET(ends[0], P(data), 1))
SETUP(read_socket, NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)); SET(ends[0], P(data), 1))
SETUP(readv, empty_pipe(); SET(ends[0], P(&vec), 1))
SETUP(preadv2, empty_pipe(); SET(ends[0], P(&vec), 1, -1, -1, 0))
SETUP(write, full_pipe(); SET(ends[1], P(data), 1))
SETUP(writev, full_pipe(); SET(ends[1], P(&vec), 1))
SETUP(pwritev2, full_pipe(); SET(ends[1], P(&vec), 1, -1, -1, 0))
SETUP(splice, full_pipe(); int e[2]; NEED(pipe(e)); SET(e[0], 0, ends[1], 0, 1, 0))
SETUP(tee, full_pipe(); int e[2]; NEED(pipe(e)); SET(e[0], ends[1], 1, 0))
SETUP(vmsplice, full_pipe(); SET(ends[1], P(&vec), 1, 0))
SETUP(sendfile, if (!(locked = tmpfile())) missing("tmpfile"); NEED(ftruncate(fileno(locked), 9)); full_pipe(); SET(ends[1], fileno(locked), 0, 1))
SETUP(open, fifo(0))
SETUP(openat, fifo(1))
SETUP(fcntl, file_lock(F_SETLKW))
SETUP(fcntl_ofd, file_lock(F_OFD_SETLKW))
SETUP(wait4, child(NULL); SET(-1, 0, 0, 0))
SETUP(waitid, child(NULL); SET(P_ALL, 0, 0, WEXITED, 0))
SETUP(connect, connecting())
SETUP(connect_timeout, connecting(); timeout(SO_SNDTIMEO))
SETUP(accept, listening(1); SET(ends[0], 0, 0))
SETUP(accept4, listening(1); SET(ends[0], 0, 0, 0))
SETUP(accept_timeout, listening(1); timeout(SO_RCVTIMEO); SET(ends[0], 0, 0))
SETUP(recvfrom, NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)); SET(ends[0], P(data), 1, 0, 0, 0))
SETUP(recvfrom_udp, NEED(ends[0] = socket(AF_INET, SOCK_DGRAM, 0)); SET(ends[0], P(data), 1, 0, 0, 0))
SETUP(recvfrom_timeout, NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends)); timeout(SO_RCVTIMEO); SET(ends[0], P(data), 1, 0, 0, 0))
SETUP(recvmsg, NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends)); SET(ends[0], P(&message), 0))
SETUP(recvmmsg, NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends)); SET(ends[0], P(&messages), 1, 0, 0))
SETUP(sendto, full_socket(); SET(ends[1], P(data), 1 << 16, MSG_NOSIGNAL, 0, 0))
SETUP(sendto_timeout, full_socket(); timeout(SO_SNDTIMEO); SET(ends[1], P(data), 1 << 16, MSG_NOSIGNAL, 0, 0))
SETUP(sendmsg, full_socket(); vec.iov_len = 1 << 16; SET(ends[1], P(&message), 0))
SETUP(sendmmsg, full_socket(); vec.iov_len = 1 << 16; SET(ends[1], P(&messages), 1, 0))
SETUP(mq_timedreceive, posix_queue(0))
SETUP(mq_timedsend, posix_queue(1))
SETUP(poll, SET(P(&no_poll), 0, 1000000))
SETUP(poll_forever, SET(P(&no_poll), 0, -1))
SETUP(ppoll, SET(P(&no_poll), 0, P(&long_time), 0, 8))
SETUP(select, SET(0, 0, 0, 0, P(&long_timeval)))
SETUP(pselect6, SET(0, 0, 0, 0, P(&long_time), P(&mask_pair)))
SETUP(epoll_wait, SET(epoll_create1(0), P(&events), 1, -1))
SETUP(epoll_pwait, SET(epoll_create1(0), P(&events), 1, -1, P(&no_mask), 8))
SETUP(epoll_pwait2, SET(epoll_create1(0), P(&events), 1, 0, P(&no_mask), 8))
SETUP(nanosleep, SET(P(&long_time), 0))
SETUP(clock_nanosleep, SET(CLOCK_MONOTONIC, 0, P(&long_time), 0))
SETUP(clock_nanosleep_until, future(); SET(CLOCK_MONOTONIC, TIMER_ABSTIME, P(&far), 0))
SETUP(pause, (void)0)
SETUP(rt_sigsuspend, SET(P(&no_mask), 8))
SETUP(rt_sigtimedwait, SET(P(&no_mask), 0, P(&long_time), 8))
SETUP(futex, SET(P(&word), FUTEX_WAIT, 0, 0))
SETUP(futex_timeout, SET(P(&word), FUTEX_WAIT_PRIVATE, 0, P(&long_time)))
SETUP(futex_bitset, future(); SET(P(&word), FUTEX_WAIT_BITSET, 0, P(&far), 0, -1))
SETUP(futex_waitv, future(); waitv[1] = (uintptr_t)&word; SET(P(waitv), 1, 0, P(&far), CLOCK_MONOTONIC))
SETUP(msgrcv, queue(0))
SETUP(msgsnd, queue(1))
SETUP(semop, semaphore(0))
SETUP(semtimedop, semaphore(1))
SETUP(io_getevents, aio(0))
SETUP(io_pgetevents, aio(1))

#define CALL(setup, call) {#setup, SYS_##call, s_##setup}
#define SAME(call) CALL(call, call)
static const struct call {
	const char *name;
	long nr;
	void (*setup)(void);
} calls[] = {
	SAME(read), CALL(read_eventfd, read), CALL(read_timerfd, read), CALL(read_signalfd, read),
	CALL(read_inotify, read), CALL(read_tty, read), CALL(read_socket, read), SAME(readv), SAME(preadv2),
	SAME(write), SAME(writev), SAME(pwritev2), SAME(splice), SAME(tee), SAME(vmsplice), SAME(sendfile),
	SAME(open), SAME(openat), SAME(fcntl), CALL(fcntl_ofd, fcntl), SAME(flock), SAME(wait4), SAME(waitid),
	SAME(connect), CALL(connect_timeout, connect), SAME(accept), SAME(accept4), CALL(accept_timeout, accept),
	SAME(recvfrom), CALL(recvfrom_udp, recvfrom), CALL(recvfrom_timeout, recvfrom), SAME(recvmsg), SAME(recvmmsg),
	SAME(sendto), CALL(sendto_timeout, sendto), SAME(sendmsg), SAME(sendmmsg), SAME(mq_timedreceive),
	SAME(mq_timedsend), SAME(poll), CALL(poll_forever, poll), SAME(ppoll), SAME(select), SAME(pselect6),
	SAME(epoll_wait), SAME(epoll_pwait), SAME(epoll_pwait2), SAME(nanosleep), SAME(clock_nanosleep),
	CALL(clock_nanosleep_until, clock_nanosleep), SAME(pause), SAME(rt_sigsuspend), SAME(rt_sigtimedwait),
	SAME(futex), CALL(futex_timeout, futex), CALL(futex_bitset, futex), SAME(futex_waitv), SAME(msgrcv), SAME(msgsnd),
	SAME(semop), SAME(semtimedop), SAME(io_getevents), SAME(io_pgetevents),
};

static void on_signal(int sig, siginfo_t *info, void *p)
{
	(void)sig, (void)info;
	const ucontext_t *uc = p;
	seen->rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	seen->rax = (uint64_t)uc->uc_mcontext.gregs[REG_RAX];
	syscall(SYS_exit_group, 0);
}

/* The call, and the end of the program with its result. */
__attribute__((noreturn)) static void run(long nr)
{
	raise(SIGSTOP);
	register long r10 __asm__("r10") = seen->args[3], r8 __asm__("r8") = seen->args[4], r9 __asm__("r9") = seen->args[5];
	__asm__ volatile("lea 1f(%%rip), %%rcx\n\tmov %%rcx, %0\n\tsyscall\n1:\n\t"
		"mov %%rax, %%rdi\n\tmov $231, %%eax\n\tsyscall"
		: "=m"(seen->behind) : "a"(nr), "D"(seen->args[0]), "S"(seen->args[1]), "d"(seen->args[2]), "r"(r10), "r"(r8), "r"(r9)
		: "rcx", "r11", "memory");
	__builtin_unreachable();
}

static void step(pid_t pid, int sig, int want)
{
	int status;
	ptrace(PTRACE_SYSCALL, pid, 0, (long)sig);
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != want)
		printf("fail stop %#x instead of %#x\n", status, want), kill(pid, SIGKILL), exit(1);
}

static void wait_until_asleep(pid_t pid)
{
	char path[64], line[512];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	/* One that did not sleep has stopped again. */
	for (int asleep = 0; asleep < 3;) {
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, line, sizeof line - 1);
		close(fd);
		line[n > 0 ? n : 0] = 0;
		char *p = strrchr(line, ')');
		if (!p || p[2] == 't')
			return;
		asleep = p[2] == 'S' ? asleep + 1 : 0;
		usleep(300);
	}
}

int main(int argc, char **argv)
{
	const size_t n = sizeof calls / sizeof *calls;
	const struct call *c = calls;
	if (argc < 3) {
		for (; c < calls + n; c++)
			puts(c->name);
		return 0;
	}
	while (strcmp(c->name, argv[1]))
		if (++c == calls + n)
			fail(argv[1]);
	const int sys = SIGTRAP | 0x80, handled = strcmp(argv[2], "none") != 0;
	seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* What belongs to a process, not to its descriptors, has to be the caller's own. */
	const int own = c->setup == s_wait4 || c->setup == s_waitid || c->setup == s_io_getevents || c->setup == s_io_pgetevents;
	if (!own)
		c->setup();
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | (strcmp(argv[2], "again") ? 0 : SA_RESTART)};
	sigaction(SIGUSR1, &sa, NULL);
	pid_t pid = fork();
	if (pid == 0) {
		if (own)
			c->setup();
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		run(c->nr);
	}
	int status;
	struct user_regs_struct r;
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	do {
		step(pid, 0, sys);
		ptrace(PTRACE_GETREGS, pid, 0, &r);
	} while (r.rip != seen->behind);
	ptrace(PTRACE_SYSCALL, pid, 0, 0);
	wait_until_asleep(pid);
	syscall(SYS_tgkill, pid, pid, SIGUSR1);
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != sys)
		fail("no end of the call");
	ptrace(PTRACE_GETREGS, pid, 0, &r);
	printf("nr %ld\ncode %lld\nargs %lu %lu %lu %lu %lu %lu\n", c->nr, (long long)r.rax, seen->args[0], seen->args[1], seen->args[2], seen->args[3], seen->args[4], seen->args[5]);
	step(pid, 0, SIGUSR1);
	step(pid, handled ? SIGUSR1 : 0, sys);
	ptrace(PTRACE_GETREGS, pid, 0, &r);
	if (handled)
		printf("rax %lld\nback %lld\n", (long long)seen->rax, (long long)(seen->behind - seen->rip));
	else if (r.rip == seen->behind)
		printf("rax %lld\nback 2\n", (long long)r.orig_rax);
	else
		printf("rax %lld\nback 0\n", (long long)r.rdi);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (ipc_id >= 0)
		ipc_is_sem ? semctl(ipc_id, 0, IPC_RMID) : msgctl(ipc_id, IPC_RMID, NULL);
	if (c->setup == s_open || c->setup == s_openat)
		unlink((char *)(c->setup == s_open ? seen->args[0] : seen->args[1]));
	return 0;
}
