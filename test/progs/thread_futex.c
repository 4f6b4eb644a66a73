/* What futex(2) does with those that wait: which of them a set of bits wakes, which are moved to
 * another word and woken there, what wakes two words at once, in memory of one process and of
 * several, and how long a wait lasts. */
#include "threads.h"
#include <stdatomic.h>

enum { WAIT, WAKE, REQUEUE = 3, CMP_REQUEUE, WAKE_OP, WAIT_BITSET = 9, WAKE_BITSET, PRIVATE = 128, CLOCK_REAL = 256 };
enum { ADD = 1, EQUAL = 0, GREATER = 4, WAITERS = 4 };

struct shared {
	atomic_uint word, other, waiting, woken;
};

static struct shared *s;
/* PRIVATE, or 0 where waiters are processes. */
static int scope;

static long futex(atomic_uint *at, int op, unsigned val, void *limit, atomic_uint *at2, unsigned val3)
{
	return syscall(SYS_futex, at, op | scope, val, limit, at2, val3);
}

/* Waits at the first word for one bit of its own, until its last call ends. */
static void *waiter(void *arg)
{
	s->waiting++;
	CHECK(futex(&s->word, WAIT_BITSET, 0, NULL, NULL, 1u << (long)arg) == 0);
	s->woken |= 1u << (long)arg;
	return NULL;
}

/* The waiters, threads or processes, each of which sleeps. */
static union {
	pthread_t thread;
	pid_t process;
} who[WAITERS];

static void begin_waiting(void)
{
	s->word = s->other = s->waiting = s->woken = 0;
	for (long i = 0; i < WAITERS; i++) {
		if (scope == PRIVATE) {
			CHECK(pthread_create(&who[i].thread, NULL, waiter, (void *)i) == 0);
			continue;
		}
		who[i].process = fork();
		CHECK(who[i].process >= 0);
		if (who[i].process == 0) {
			waiter((void *)i);
			_exit(0);
		}
	}
	while (s->waiting < WAITERS)
		sleep_ms(1);
	/* Asleep, and not only about to be. */
	sleep_ms(100);
}

static void end(int i)
{
	if (scope == PRIVATE)
		CHECK(pthread_join(who[i].thread, NULL) == 0);
	else
		reap_exit(who[i].process, 0);
}

static void bits(void)
{
	begin_waiting();
	CHECK(futex(&s->word, WAKE_BITSET, WAITERS, NULL, NULL, 1u << WAITERS) == 0);
	CHECK(futex(&s->word, WAKE_BITSET, WAITERS, NULL, NULL, 1u << 2) == 1);
	end(2);
	CHECK(s->woken == 1u << 2);
	CHECK(futex(&s->word, WAKE_BITSET, WAITERS, NULL, NULL, 1u << 1 | 1u << 2 | 1u << 3) == 2);
	end(1);
	end(3);
	CHECK(s->woken == (1u << 1 | 1u << 2 | 1u << 3));
	/* Without bits all are meant. */
	CHECK(futex(&s->word, WAKE, WAITERS, NULL, NULL, 0) == 1);
	end(0);
	CHECK_ERR(futex(&s->word, WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex(&s->word, WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
}

static void moves(int op)
{
	begin_waiting();
	if (op == CMP_REQUEUE)
		CHECK_ERR(futex(&s->word, op, 1, (void *)1, &s->other, 1), EAGAIN);
	CHECK(futex(&s->word, op, 0, (void *)2, &s->other, 0) == 2);
	CHECK(futex(&s->word, WAKE, WAITERS, NULL, NULL, 0) == 2);
	CHECK(futex(&s->word, WAKE, WAITERS, NULL, NULL, 0) == 0);
	while (__builtin_popcount(s->woken) < 2)
		sleep_ms(1);
	sleep_ms(20);
	CHECK(__builtin_popcount(s->woken) == 2);
	CHECK(futex(&s->other, WAKE, WAITERS, NULL, NULL, 0) == 2);
	for (int i = 0; i < WAITERS; i++)
		end(i);
}

static void two_at_once(void)
{
	const unsigned add = ADD << 28 | 3 << 12;
	begin_waiting();
	CHECK(futex(&s->word, REQUEUE, 0, (void *)2, &s->other, 0) == 2);
	/* The second word was 0, and is not greater than that. */
	CHECK(futex(&s->word, WAKE_OP, 1, (void *)2, &s->other, add | GREATER << 24) == 1);
	CHECK(s->other == 3);
	CHECK(futex(&s->word, WAKE_OP, 1, (void *)2, &s->other, add | EQUAL << 24 | 3) == 3);
	CHECK(s->other == 6);
	for (int i = 0; i < WAITERS; i++)
		end(i);
}

static void times(void)
{
	struct timespec t, soon = {0, 20000000};
	double began = now();
	s->word = 0;
	CHECK_ERR(futex(&s->word, WAIT, 0, &soon, NULL, 0), ETIMEDOUT);
	CHECK(now() - began >= 0.02);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	t.tv_sec++;
	began = now();
	CHECK_ERR(futex(&s->word, WAIT_BITSET, 0, &t, NULL, ~0u), ETIMEDOUT);
	CHECK(now() - began >= 0.5);
	CHECK(clock_gettime(CLOCK_REALTIME, &t) == 0);
	CHECK_ERR(futex(&s->word, WAIT_BITSET | CLOCK_REAL, 0, &t, NULL, ~0u), ETIMEDOUT);
	t.tv_nsec = -1;
	CHECK_ERR(futex(&s->word, WAIT_BITSET, 0, &t, NULL, ~0u), EINVAL);
}

static void all(const char *where)
{
	bits();
	moves(REQUEUE);
	moves(CMP_REQUEUE);
	two_at_once();
	times();
	ok(where);
}

int main(void)
{
	begin();
	static struct shared own;
	s = &own;
	scope = PRIVATE;
	all("threads");
	s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(s != MAP_FAILED);
	scope = 0;
	all("processes");
	return 0;
}
