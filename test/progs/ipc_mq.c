/* POSIX message queues: order, limits, time limits, waits, notification. */
#include "check.h"
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>

static char name[64];

static mqd_t create(long most, long size, int flags)
{
	struct mq_attr attr;
	memset(&attr, 0x77, sizeof attr); /* the kernel looks at two members */
	attr.mq_maxmsg = most;
	attr.mq_msgsize = size;
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | flags, 0600, &attr);
	CHECK(q != (mqd_t)-1);
	return q;
}

static void finish(mqd_t q)
{
	CHECK(mq_close(q) == 0 && mq_unlink(name) == 0);
}

static void messages(void)
{
	char buf[200];
	unsigned prio = 77;
	mqd_t q = create(4, 100, O_NONBLOCK);
	CHECK_ERR(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL), EEXIST);
	CHECK(fcntl(q, F_GETFD) == FD_CLOEXEC);
	CHECK_ERR(mq_receive(q, buf, 100, &prio), EAGAIN);
	CHECK(mq_send(q, "low", 3, 1) == 0 && mq_send(q, "high", 4, 9) == 0 && mq_send(q, "", 0, 5) == 0 && mq_send(q, "last", 4, 1) == 0);
	CHECK_ERR(mq_send(q, "x", 1, 1), EAGAIN);
	struct mq_attr attr = {.mq_flags = 0}, old;
	CHECK(mq_getattr(q, &old) == 0);
	printf("flags %#lx, most %ld, size %ld, now %ld\n", (long)old.mq_flags, (long)old.mq_maxmsg, (long)old.mq_msgsize, (long)old.mq_curmsgs);
	for (int i = 0; i < 4; i++) {
		memset(buf, 'z', sizeof buf);
		ssize_t n = mq_receive(q, buf, sizeof buf, i == 1 ? NULL : &prio);
		CHECK(n >= 0 && buf[n] == 'z');
		printf("%zd %u %.*s\n", n, i == 1 ? 0 : prio, (int)n, buf);
	}
	CHECK(mq_setattr(q, &attr, &old) == 0 && old.mq_flags == O_NONBLOCK && old.mq_curmsgs == 0);
	CHECK(mq_getattr(q, &old) == 0 && old.mq_flags == 0);
	attr.mq_flags = 1;
	CHECK_ERR(mq_setattr(q, &attr, NULL), EINVAL);
	ok("messages");

	struct timespec past = {1, 0}, wrong = {0, -1};
	CHECK_ERR(mq_timedreceive(q, buf, sizeof buf, &prio, &past), ETIMEDOUT);
	CHECK_ERR(mq_timedreceive(q, buf, sizeof buf, &prio, &wrong), EINVAL);
	CHECK_ERR(mq_timedreceive(q, buf, sizeof buf, &prio, bad_address), EFAULT);
	CHECK_ERR(mq_receive(q, buf, 99, &prio), EMSGSIZE);
	CHECK_ERR(mq_receive(0, buf, 100, &prio), EBADF);
	CHECK_ERR(mq_send(q, buf, 101, 0), EMSGSIZE);
	CHECK_ERR(mq_send(q, buf, (size_t)1 << 40, 0), EMSGSIZE);
	CHECK_ERR(mq_send(q, buf, (size_t)-1, 0), EMSGSIZE);
	CHECK_ERR(mq_send(-1, buf, (size_t)-1, 0), EBADF);
	CHECK_ERR(mq_send(q, buf, 1, 1 << 20), EINVAL);
	CHECK_ERR(mq_send(q, bad_address, 1, 0), EFAULT);
	CHECK(mq_send(q, "x", 1, 0) == 0);
	CHECK_ERR(mq_receive(q, bad_address, 100, &prio), EFAULT);
	CHECK_ERR(syscall(SYS_mq_getsetattr, q, bad_address, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_mq_getsetattr, q, NULL, bad_address), EFAULT);
	CHECK_ERR(syscall(SYS_mq_open, bad_address, O_RDWR, 0, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_mq_open, "a/b", O_RDWR, 0, NULL), EACCES);
	CHECK_ERR(syscall(SYS_mq_open, name + 1, O_RDWR, 0, bad_address), EFAULT);
	attr = (struct mq_attr){.mq_maxmsg = -1, .mq_msgsize = 1};
	CHECK_ERR(syscall(SYS_mq_open, "invalid", O_RDWR | O_CREAT, 0600, &attr), EINVAL);
	finish(q);
	CHECK_ERR(mq_open(name, O_RDWR), ENOENT);
	CHECK_ERR(mq_unlink(name), ENOENT);
	CHECK_ERR(syscall(SYS_mq_unlink, bad_address), EFAULT);
	ok("errors");
}

static void processes(void)
{
	mqd_t q = create(3, 512, 0), back;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		mqd_t own = mq_open(name, O_RDONLY);
		CHECK(own != (mqd_t)-1);
		uint64_t sum = 0;
		for (int i = 0; i < 50; i++) {
			char buf[512];
			ssize_t n = mq_receive(own, buf, sizeof buf, NULL);
			CHECK(n == i * 10);
			sum = sum * 31 + checksum(buf, (size_t)n);
		}
		struct pollfd p = {.fd = own, .events = POLLIN};
		CHECK(poll(&p, 1, 0) == 0);
		_exit((int)(sum % 251));
	}
	uint64_t sum = 0;
	for (int i = 0; i < 50; i++) {
		char buf[512];
		fill(buf, (size_t)i * 10, (unsigned)i);
		sum = sum * 31 + checksum(buf, (size_t)i * 10);
		CHECK(mq_send(q, buf, (size_t)i * 10, 3) == 0);
	}
	back = q;
	reap_exit(child, (int)(sum % 251));
	finish(back);
	ok("a stream");
}

static volatile sig_atomic_t rang, value;

static void ring(int sig, siginfo_t *info, void *context)
{
	UNUSED(sig);
	UNUSED(context);
	CHECK(info->si_code == SI_MESGQ && info->si_pid == getpid());
	value = info->si_value.sival_int;
	rang++;
}

static void by_signal(void)
{
	mqd_t q = create(3, 10, 0);
	struct sigaction sa = {.sa_sigaction = ring, .sa_flags = SA_SIGINFO};
	struct sigevent ev;
	char buf[10];
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	memset(&ev, 0, sizeof ev);
	ev.sigev_notify = SIGEV_SIGNAL;
	ev.sigev_signo = SIGUSR1;
	ev.sigev_value.sival_int = 4711;
	CHECK(mq_notify(q, &ev) == 0);
	CHECK_ERR(mq_notify(q, &ev), EBUSY);
	/* It is there when the call is over. */
	CHECK(mq_send(q, "x", 1, 0) == 0 && rang == 1 && value == 4711);
	CHECK(mq_send(q, "x", 1, 0) == 0 && rang == 1);
	CHECK(mq_receive(q, buf, sizeof buf, NULL) == 1 && mq_receive(q, buf, sizeof buf, NULL) == 1);
	ev.sigev_notify = SIGEV_NONE;
	CHECK(mq_notify(q, &ev) == 0);
	CHECK(mq_send(q, "x", 1, 0) == 0 && rang == 1);
	CHECK(mq_receive(q, buf, sizeof buf, NULL) == 1);
	ev.sigev_notify = SIGEV_SIGNAL;
	CHECK(mq_notify(q, &ev) == 0 && mq_notify(q, NULL) == 0);
	CHECK(mq_send(q, "x", 1, 0) == 0 && rang == 1);
	ev.sigev_notify = 99;
	CHECK_ERR(mq_notify(q, &ev), EINVAL);
	CHECK_ERR(syscall(SYS_mq_notify, q, bad_address), EFAULT);
	ev.sigev_notify = SIGEV_SIGNAL;
	CHECK_ERR(mq_notify(0, &ev), EBADF);
	finish(q);
	ok("notified by signal");
}

static sem_t called;
static int secret = 12345;

static void notified(union sigval v)
{
	CHECK(v.sival_ptr == &secret && *(int *)v.sival_ptr == 12345);
	secret++;
	CHECK(sem_post(&called) == 0);
}

static void by_thread(void)
{
	mqd_t q = create(3, 10, 0);
	struct sigevent ev;
	pthread_attr_t attr;
	memset(&ev, 0, sizeof ev);
	CHECK(sem_init(&called, 0, 0) == 0 && pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
	ev.sigev_notify = SIGEV_THREAD;
	ev.sigev_notify_function = notified;
	ev.sigev_notify_attributes = &attr;
	ev.sigev_value.sival_ptr = &secret;
	CHECK(mq_notify(q, &ev) == 0);
	CHECK(mq_send(q, "x", 1, 0) == 0);
	CHECK(sem_wait(&called) == 0 && secret == 12346);
	finish(q);
	ok("notified by a thread");
}

static void *echo(void *arg)
{
	mqd_t *q = arg;
	char buf[64];
	for (;;) {
		unsigned prio;
		ssize_t n = mq_receive(q[0], buf, sizeof buf, &prio);
		CHECK(n >= 0 && mq_send(q[1], buf, (size_t)n, prio + 1) == 0);
		if (n == 0)
			return NULL;
	}
}

static void threads(void)
{
	mqd_t q[2];
	q[0] = create(2, 64, 0);
	CHECK(mq_unlink(name) == 0);
	q[1] = create(2, 64, 0);
	pthread_t t;
	CHECK(pthread_create(&t, NULL, echo, q) == 0);
	for (int i = 60; i >= 0; i--) {
		char buf[64], got[64];
		unsigned prio;
		fill(buf, (size_t)i, 7);
		CHECK(mq_send(q[0], buf, (size_t)i, (unsigned)i) == 0);
		CHECK(mq_receive(q[1], got, sizeof got, &prio) == i && prio == (unsigned)i + 1 && memcmp(buf, got, (size_t)i) == 0);
	}
	CHECK(pthread_join(t, NULL) == 0 && mq_close(q[0]) == 0);
	finish(q[1]);
	ok("threads");
}

static void interrupted(void)
{
	mqd_t q = create(1, 10, 0);
	struct sigaction sa = {.sa_handler = SIG_DFL};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		char buf[10];
		CHECK(mq_receive(q, buf, sizeof buf, NULL) == 3);
		_exit(4);
	}
	wait_until_blocked(child);
	CHECK(kill(child, SIGSTOP) == 0 && kill(child, SIGCONT) == 0);
	CHECK(mq_send(q, "abc", 3, 0) == 0);
	reap_exit(child, 4);
	struct timespec soon;
	CHECK(clock_gettime(CLOCK_REALTIME, &soon) == 0);
	soon.tv_sec += soon.tv_nsec > 900000000;
	soon.tv_nsec = (soon.tv_nsec + 50000000) % 1000000000;
	char buf[10];
	CHECK_ERR(mq_timedreceive(q, buf, sizeof buf, NULL, &soon), ETIMEDOUT);
	CHECK(mq_send(q, "abc", 3, 0) == 0);
	CHECK_ERR(mq_timedsend(q, "abc", 3, 0, &soon), ETIMEDOUT);
	finish(q);
	ok("waits end");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	/* Queues are the host's: the name is as unique as the directory. */
	struct stat st;
	CHECK(stat(".", &st) == 0);
	snprintf(name, sizeof name, "/multivar-test-%llx-%llx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	messages();
	processes();
	by_signal();
	by_thread();
	threads();
	interrupted();
	return 0;
}
