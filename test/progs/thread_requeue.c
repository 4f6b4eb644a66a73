/* FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI, by which C libraries once made conditions
 * of mutexes that inherit priorities. */
#include "threads.h"
#include <limits.h>
#include <stdatomic.h>

enum { WAIT, WAKE, REQUEUE = 3, CMP_REQUEUE, LOCK_PI = 6, UNLOCK_PI, WAIT_REQUEUE_PI = 11, CMP_REQUEUE_PI };
enum { PRIVATE = 128, CLOCK_REAL = 256, OWNER = 0x3fffffff, WAITERS = 4 };

static atomic_uint seq, lock, other, waiting;
static volatile long counter, rang;

static long futex(atomic_uint *at, int op, unsigned val, void *limit, atomic_uint *at2, unsigned val3)
{
	return syscall(SYS_futex, at, op | PRIVATE, val, limit, at2, val3);
}

static long move(unsigned wake, long most, unsigned val)
{
	return futex(&seq, CMP_REQUEUE_PI, wake, (void *)most, &lock, val);
}

static void take(void)
{
	unsigned none = 0;
	if (!atomic_compare_exchange_strong(&lock, &none, gettid()))
		CHECK(futex(&lock, LOCK_PI, 0, NULL, NULL, 0) == 0);
}

static void give(void)
{
	unsigned own = gettid();
	if (!atomic_compare_exchange_strong(&lock, &own, 0))
		CHECK(futex(&lock, UNLOCK_PI, 0, NULL, NULL, 0) == 0);
}

static void *waiter(void *arg)
{
	unsigned val = seq;
	waiting++;
	CHECK(futex(&seq, WAIT_REQUEUE_PI, val, NULL, &lock, 0) == 0);
	CHECK((lock & OWNER) == (unsigned)gettid());
	long seen = counter;
	sched_yield();
	counter = seen + 1;
	give();
	return arg;
}

static void *plain(void *arg)
{
	unsigned val = seq;
	waiting++;
	while (seq == val)
		CHECK(futex(&seq, WAIT, val, NULL, NULL, 0) == 0 || errno == EAGAIN);
	return arg;
}

static void begin_waiting(pthread_t *t, int n, void *(*start)(void *))
{
	waiting = 0;
	for (int i = 0; i < n; i++)
		CHECK(pthread_create(&t[i], NULL, start, NULL) == 0);
	while (waiting < (unsigned)n)
		sleep_ms(1);
	sleep_ms(100);
}

static void join(pthread_t *t, int n)
{
	for (int i = 0; i < n; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

static void ring(int sig)
{
	UNUSED(sig);
	rang++;
}

static void errors(void)
{
	unsigned none = seq + 1;
	CHECK_ERR(move(0, 1, seq), EINVAL);
	CHECK_ERR(move(2, 1, seq), EINVAL);
	CHECK_ERR(move(-1, 1, seq), EINVAL);
	CHECK_ERR(move(1, -1, seq), EINVAL);
	CHECK_ERR(move(1, 1, none), EAGAIN);
	CHECK_ERR(futex(&seq, CMP_REQUEUE_PI, 1, (void *)1, &seq, seq), EINVAL);
	CHECK_ERR(futex(&seq, CMP_REQUEUE_PI, 1, (void *)1, (void *)((char *)&lock + 1), seq), EINVAL);
	CHECK_ERR(futex(&seq, CMP_REQUEUE_PI | CLOCK_REAL, 1, (void *)1, &lock, seq), ENOSYS);
	CHECK_ERR(futex((void *)8, CMP_REQUEUE_PI, 1, (void *)1, &lock, seq), EFAULT);
	CHECK(move(1, INT_MAX, seq) == 0);
	CHECK(lock == 0);

	struct timespec limit = {0, 1000000000};
	CHECK_ERR(futex(&seq, WAIT_REQUEUE_PI, seq, &limit, &lock, 0), EINVAL);
	CHECK_ERR(futex(&seq, WAIT_REQUEUE_PI, seq, (void *)8, &lock, 0), EFAULT);
	CHECK_ERR(futex(&seq, WAIT_REQUEUE_PI, seq, NULL, &seq, 0), EINVAL);
	CHECK_ERR(futex(&seq, WAIT_REQUEUE_PI, none, NULL, &lock, 0), EAGAIN);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &limit) == 0);
	CHECK_ERR(futex(&seq, WAIT_REQUEUE_PI, seq, &limit, &lock, 0), ETIMEDOUT);
	CHECK(clock_gettime(CLOCK_REALTIME, &limit) == 0);
	CHECK_ERR(futex(&seq, WAIT_REQUEUE_PI | CLOCK_REAL, seq, &limit, &lock, 0), ETIMEDOUT);
}

/* A mutex that the caller of FUTEX_CMP_REQUEUE_PI has, and one that nobody has. */
static void move_all(int locked, long most, long moved)
{
	pthread_t t[WAITERS];
	counter = 0;
	begin_waiting(t, WAITERS, waiter);
	if (locked)
		take();
	seq++;
	CHECK(move(1, most, seq) == moved);
	if (locked) {
		sleep_ms(20);
		CHECK(counter == 0);
		give();
	}
	if (moved < WAITERS) {
		seq++;
		CHECK(move(1, INT_MAX, seq) == WAITERS - moved);
	}
	join(t, WAITERS);
	CHECK(counter == WAITERS);
	CHECK((lock & OWNER) == 0);
	lock = 0;
}

int main(void)
{
	begin();
	errors();
	ok("errors");
	move_all(1, INT_MAX, WAITERS);
	ok("the mutex is taken");
	move_all(0, INT_MAX, WAITERS);
	ok("the mutex is free");
	move_all(1, 1, 2);
	ok("some are moved, then others");

	pthread_t t;
	begin_waiting(&t, 1, waiter);
	CHECK_ERR(futex(&seq, WAKE, 1, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex(&seq, CMP_REQUEUE, 1, (void *)1, &other, seq), EINVAL);
	CHECK_ERR(futex(&seq, CMP_REQUEUE_PI, 1, (void *)1, &other, seq), EINVAL);
	struct sigaction sa = {.sa_handler = ring};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(pthread_kill(t, SIGUSR1) == 0);
	while (!rang)
		sleep_ms(1);
	sleep_ms(50);
	seq++;
	CHECK(move(1, 0, seq) == 1);
	join(&t, 1);
	ok("a signal, and what is not for such waiters");

	begin_waiting(&t, 1, plain);
	CHECK_ERR(move(1, 1, seq), EINVAL);
	seq++;
	CHECK(futex(&seq, WAKE, 1, NULL, NULL, 0) == 1);
	join(&t, 1);
	ok("waiters that cannot be moved");
	return 0;
}
