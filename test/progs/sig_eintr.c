/* Calls that a signal finds asleep, with and without SA_RESTART. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>

static volatile sig_atomic_t hits;
static int sockets[2], full[2], wake[2], listener, epfd, semaphore, messages;
static pid_t child;
static uint32_t word;
static const char data[1 << 18];

static void handler(int sig)
{
	UNUSED(sig);
	hits++;
}

static long reads(void) { char c; return read(wake[0], &c, 1); }
static long receives(void) { char c; return recv(sockets[0], &c, 1, 0); }
static long writes(void) { return write(full[1], data, 1); }
static long writes_part(void) { return write(sockets[1], data, sizeof data) < (long)sizeof data ? 0 : -1; }
static long accepts(void) { return accept(listener, NULL, NULL); }
static long waits(void) { return waitpid(child, NULL, 0); }
static long waits_id(void) { siginfo_t si; return waitid(P_PID, (id_t)child, &si, WEXITED | WNOWAIT); }
static long sleeps(void) { struct timespec ts = {1000, 0}; return nanosleep(&ts, &ts); }
static long sleeps_until(void)
{
	struct timespec ts = {1 << 30, 0};
	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	return errno ? -1 : 0;
}
static long futex(void) { return syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0); }
static long futex_timed(void) { struct timespec ts = {1000, 0}; return syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &ts, NULL, 0); }
static long polls(void) { struct pollfd p = {wake[0], POLLIN, 0}; return poll(&p, 1, -1); }
static long polls_timed(void) { struct pollfd p = {wake[0], POLLIN, 0}; return poll(&p, 1, 1000000); }
static long selects(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(wake[0], &set);
	return select(wake[0] + 1, &set, NULL, NULL, NULL);
}
static long epolls(void) { struct epoll_event e; return epoll_wait(epfd, &e, 1, -1); }
static long locks(void) { struct flock f = {.l_type = F_WRLCK}; return fcntl(listener + 100, F_SETLKW, &f); }
static long flocks(void) { return flock(listener + 100, LOCK_EX); }
static long opens(void) { int fd = open("fifo", O_RDONLY); return fd < 0 ? fd : close(fd); }
static long pauses(void) { return pause(); }
static long suspends(void) { sigset_t none; sigemptyset(&none); return sigsuspend(&none); }
static long awaits(void) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); return syscall(SYS_rt_sigtimedwait, &s, NULL, NULL, 8); }
static long takes(void) { struct sembuf op = {0, -1, 0}; return semop(semaphore, &op, 1); }
static long takes_timed(void)
{
	struct sembuf op = {0, -1, 0};
	struct timespec ts = {1000, 0};
	return syscall(SYS_semtimedop, semaphore, &op, 1, &ts);
}
static long is_sent(void) { struct { long type; char text[8]; } m; return msgrcv(messages, &m, sizeof m.text, 2, 0); }
static long sends(void) { static struct { long type; char text[4096]; } m = {.type = 1}; return msgsnd(messages, &m, sizeof m.text, 0); }

/* What lets a call go on that has been started again. */
static void to_reader(void) { CHECK(write(wake[1], "x", 1) == 1); }
static void to_receiver(void) { CHECK(write(sockets[1], "x", 1) == 1); }
static void to_writer(void) { char b[4096]; CHECK(read(full[0], b, sizeof b) == sizeof b); }
static void to_accept(void)
{
	struct sockaddr_un a;
	socklen_t len = sizeof a;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(getsockname(listener, (struct sockaddr *)&a, &len) == 0 && connect(fd, (struct sockaddr *)&a, len) == 0);
}
static void to_waiter(void) { CHECK(kill(child, SIGKILL) == 0); }
static void to_futex(void)
{
	/* A private word of the parent's: only another signal gets it out. */
	CHECK(kill(getppid(), SIGALRM) == 0);
}
static void to_open(void) { int fd = open("fifo", O_WRONLY); CHECK(fd >= 0); close(fd); }

/* Sends parent a signal when it sleeps; with restart, lets the call end when it sleeps again. */
static void disturb(void (*end)(void))
{
	pid_t parent = getppid();
	wait_until_blocked(parent);
	CHECK(kill(parent, SIGUSR1) == 0);
	if (end != NULL) {
		sleep_ms(50);
		wait_until_blocked(parent);
		end();
	}
	_exit(0);
}

static void alarmed(int sig)
{
	UNUSED(sig);
	word = 1;
}

static void one(const char *name, long (*call)(void), void (*end)(void), int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	/* Ends a futex that was started again: the value has changed by then. */
	sa.sa_handler = alarmed;
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	hits = 0;
	word = 0;
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		pause();
		_exit(0);
	}
	pid_t disturber = fork();
	CHECK(disturber >= 0);
	if (disturber == 0)
		disturb(flags & SA_RESTART ? end : NULL);
	errno = 0;
	long ret = call();
	int e = errno;
	CHECK(hits == 1);
	printf("%s%s: %s\n", name, flags & SA_RESTART ? ", SA_RESTART" : "", ret < 0 ? errname(e) : "goes on");
	reap_exit(disturber, 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* A second thread, which gets no signal. */
static void *stays(void *arg)
{
	char c;
	return read(*(int *)arg, &c, 1) == 1 ? arg : NULL;
}

static pthread_t start(int *in)
{
	sigset_t all, old;
	pthread_t t;
	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_BLOCK, &all, &old) == 0);
	CHECK(pthread_create(&t, NULL, stays, in) == 0);
	CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	return t;
}

static void fill_pipe(int fd)
{
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	while (write(fd, data, 4096) > 0)
		;
	while (write(fd, data, 1) > 0)
		;
	CHECK(errno == EAGAIN && fcntl(fd, F_SETFL, 0) == 0);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	static const struct {
		const char *name;
		long (*call)(void);
		void (*end)(void);
	} cases[] = {
		{"read", reads, to_reader}, {"recv", receives, to_receiver}, {"write", writes, to_writer},
		{"accept", accepts, to_accept}, {"waitpid", waits, to_waiter}, {"waitid", waits_id, to_waiter},
		{"nanosleep", sleeps, NULL}, {"clock_nanosleep", sleeps_until, NULL},
		{"futex", futex, to_futex}, {"futex, timed", futex_timed, NULL},
		{"poll", polls, NULL}, {"poll, timed", polls_timed, NULL}, {"select", selects, NULL}, {"epoll_wait", epolls, NULL},
		{"fcntl", locks, NULL}, {"flock", flocks, NULL}, {"open", opens, to_open},
		{"semop", takes, NULL}, {"semtimedop", takes_timed, NULL}, {"msgrcv", is_sent, NULL}, {"msgsnd", sends, NULL},
		{"pause", pauses, NULL}, {"sigsuspend", suspends, NULL}, {"sigwaitinfo", awaits, NULL},
	};
	CHECK(pipe(wake) == 0 && pipe(full) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "socket"};
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 5) == 0);
	CHECK(mkfifo("fifo", 0600) == 0 && (epfd = epoll_create1(0)) >= 0);
	CHECK((semaphore = semget(IPC_PRIVATE, 1, 0600)) >= 0 && (messages = msgget(IPC_PRIVATE, 0600)) >= 0);
	static struct { long type; char text[4096]; } m = {.type = 1};
	while (msgsnd(messages, &m, sizeof m.text, IPC_NOWAIT) == 0)
		;
	CHECK(errno == EAGAIN);
	/* Locks are held by another process. */
	put_file("locked", "x", 1, 0600);
	pid_t holder = fork();
	CHECK(holder >= 0);
	if (holder == 0) {
		int fd = open("locked", O_RDWR);
		struct flock f = {.l_type = F_WRLCK};
		CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0 && fcntl(fd, F_SETLK, &f) == 0);
		to_reader();
		pause();
	}
	CHECK(reads() == 1 && dup2(open("locked", O_RDWR), listener + 100) >= 0);

	/* Then beside a thread, with which results come late in the variants. */
	int last[2];
	pthread_t other = {0};
	CHECK(pipe(last) == 0);
	for (size_t n = sizeof cases / sizeof cases[0], k = 0; k < 2 * n; k++) {
		size_t i = k % n;
		if (k == n)
			other = start(last);
		if (i == 0)
			fill_pipe(full[1]);
		one(cases[i].name, cases[i].call, cases[i].end, 0);
		/* Those without a way to end do not start again, or could do so for ever. */
		if (cases[i].end || (cases[i].call != locks && cases[i].call != flocks))
			one(cases[i].name, cases[i].call, cases[i].end, SA_RESTART);
	}
	one("write of much", writes_part, NULL, 0);
	CHECK(write(last[1], "x", 1) == 1 && pthread_join(other, NULL) == 0);
	CHECK(semctl(semaphore, 0, IPC_RMID) == 0 && msgctl(messages, IPC_RMID, NULL) == 0);
	CHECK(kill(holder, SIGKILL) == 0);
	reap_signal(holder, SIGKILL);
	return 0;
}
