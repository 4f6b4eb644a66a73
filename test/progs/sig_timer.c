/* Timers: alarm, setitimer of each kind, timer_create with each kind of notice. */
#include "check.h"
#include <pthread.h>
#include <sys/time.h>

static volatile sig_atomic_t hits, code, value, overrun;

static void counts(int sig)
{
	UNUSED(sig);
	hits++;
}

static void informed(int sig, siginfo_t *si, void *ctx)
{
	UNUSED(sig);
	UNUSED(ctx);
	code = si->si_code;
	value = si->si_value.sival_int;
	overrun = si->si_overrun;
	hits++;
}

static void handle(int sig, int flags)
{
	struct sigaction sa = {.sa_handler = counts, .sa_flags = flags};
	if (flags & SA_SIGINFO)
		sa.sa_sigaction = informed;
	CHECK(sigaction(sig, &sa, NULL) == 0);
	hits = 0;
}

/* Uses processor time, in user mode and in the kernel, until the n-th signal. */
static void work_until(int n)
{
	while (hits < n) {
		for (volatile int i = 0; i < 10000; i++)
			;
		syscall(SYS_getppid);
	}
}

static void interval(int which, int sig)
{
	struct itimerval it = {{0, 10000}, {0, 10000}}, old;
	handle(sig, 0);
	CHECK(setitimer(which, &it, NULL) == 0);
	work_until(3);
	CHECK(getitimer(which, &old) == 0 && old.it_interval.tv_usec == 10000);
	memset(&it, 0, sizeof it);
	CHECK(setitimer(which, &it, &old) == 0 && old.it_interval.tv_usec == 10000);
	CHECK(getitimer(which, &old) == 0 && old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int notified;

static void notify(union sigval v)
{
	pthread_mutex_lock(&lock);
	notified += v.sival_int;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static timer_t timer(struct sigevent *ev, clockid_t clock, long first, long every)
{
	timer_t t;
	struct itimerspec its = {{0, every}, {0, first}};
	CHECK(timer_create(clock, ev, &t) == 0 && timer_settime(t, 0, &its, NULL) == 0);
	return t;
}

static volatile pid_t taker;

static void takes(int sig)
{
	UNUSED(sig);
	taker = (pid_t)syscall(SYS_gettid);
	hits++;
}

static void *other(void *arg)
{
	*(pid_t *)arg = (pid_t)syscall(SYS_gettid);
	while (hits == 0)
		sleep_ms(5);
	return NULL;
}

int main(void)
{
	begin();
	handle(SIGALRM, 0);
	CHECK(alarm(100) == 0 && alarm(1) >= 99);
	CHECK_ERR(pause(), EINTR);
	CHECK(hits == 1 && alarm(0) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		signal(SIGALRM, SIG_DFL);
		alarm(1);
		for (;;)
			;
	}
	reap_signal(child, SIGALRM);
	ok("alarm");

	interval(ITIMER_REAL, SIGALRM);
	interval(ITIMER_VIRTUAL, SIGVTALRM);
	interval(ITIMER_PROF, SIGPROF);
	ok("setitimer");

	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
	handle(SIGUSR1, SA_SIGINFO);
	timer_t t = timer(&ev, CLOCK_MONOTONIC, 10000000, 0);
	while (hits == 0)
		pause();
	CHECK(code == SI_TIMER && value == 77 && overrun == 0 && timer_getoverrun(t) == 0);
	struct itimerspec left;
	CHECK(timer_gettime(t, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0);
	CHECK(timer_delete(t) == 0);
	t = timer(&ev, CLOCK_REALTIME, 1000000, 1000000);
	for (int n = 0; n < 10; n++)
		sleep_ms(2);
	CHECK(timer_delete(t) == 0 && hits > 2);
	t = timer(&ev, CLOCK_PROCESS_CPUTIME_ID, 5000000, 5000000);
	hits = 0;
	work_until(2);
	CHECK(timer_delete(t) == 0);
	ok("SIGEV_SIGNAL");

	/* What comes while it is blocked is counted. */
	sigset_t set;
	siginfo_t si;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	t = timer(&ev, CLOCK_MONOTONIC, 1000000, 1000000);
	sleep_ms(50);
	CHECK(sigwaitinfo(&set, &si) == SIGUSR1 && si.si_code == SI_TIMER && si.si_overrun > 5 && si.si_value.sival_int == 77);
	CHECK(timer_delete(t) == 0);
	ok("overrun");

	ev = (struct sigevent){.sigev_notify = SIGEV_NONE};
	t = timer(&ev, CLOCK_MONOTONIC, 1000000, 0);
	sleep_ms(5);
	CHECK(timer_gettime(t, &left) == 0 && left.it_value.tv_nsec == 0 && timer_delete(t) == 0);
	ok("SIGEV_NONE");

	ev = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_int = 5};
	t = timer(&ev, CLOCK_MONOTONIC, 1000000, 0);
	pthread_mutex_lock(&lock);
	while (notified == 0)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
	CHECK(notified == 5 && timer_delete(t) == 0);
	ok("SIGEV_THREAD");

	/* To one thread of several: the kernel's interface has no name for it in C. */
	struct sigaction sa = {.sa_handler = takes};
	CHECK(sigaction(SIGUSR2, &sa, NULL) == 0);
	hits = 0;
	pthread_t thread;
	volatile pid_t tid = 0;
	CHECK(pthread_create(&thread, NULL, other, (void *)&tid) == 0);
	while (tid == 0)
		sleep_ms(1);
	struct { int value[2], signo, notify, tid, pad[11]; } to = {.signo = SIGUSR2, .notify = 4 /* SIGEV_THREAD_ID */, .tid = tid};
	int id;
	struct itimerspec its = {.it_value.tv_nsec = 1000000};
	CHECK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &to, &id) == 0 && syscall(SYS_timer_settime, id, 0, &its, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0 && hits == 1 && taker == tid);
	CHECK(syscall(SYS_timer_delete, id) == 0);
	ok("SIGEV_THREAD_ID");
	return 0;
}
