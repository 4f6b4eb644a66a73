/* Waiting for several futexes, and the calls of the second interface, where there are. */
#include "threads.h"
#include <stdatomic.h>

enum { NR_WAITV = 449, NR_WAKE = 454, NR_WAIT = 455, NR_REQUEUE = 456 };
enum { SIZE_U32 = 2, PRIVATE = 128, NUMA = 4 };

struct waiter {
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

static atomic_uint words[4], waiting;

static struct waiter on(atomic_uint *word, unsigned val)
{
	return (struct waiter){val, (uint64_t)(uintptr_t)word, SIZE_U32 | PRIVATE, 0};
}

static long waitv(struct waiter *w, unsigned n, struct timespec *limit)
{
	return syscall(NR_WAITV, w, n, 0, limit, CLOCK_MONOTONIC);
}

static long old_wake(atomic_uint *word, int n)
{
	return syscall(SYS_futex, word, 1 | PRIVATE, n, NULL, NULL, 0);
}

static struct timespec after_ms(long ms)
{
	struct timespec t;
	CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	t.tv_nsec += ms * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static void *several(void *arg)
{
	struct waiter w[4];
	for (int i = 0; i < 4; i++)
		w[i] = on(&words[i], 0);
	waiting++;
	long woken = waitv(w, 4, NULL);
	CHECK(woken == 2 || (woken == -1 && errno == EAGAIN));
	return arg;
}

static void first_interface(void)
{
	struct waiter w[129];
	for (int i = 0; i < 129; i++)
		w[i] = on(&words[0], 0);
	struct timespec limit = after_ms(20);
	CHECK_ERR(waitv(w, 1, &limit), ETIMEDOUT);
	CHECK_ERR(waitv(w, 128, &limit), ETIMEDOUT);
	CHECK_ERR(waitv(w, 129, &limit), EINVAL);
	CHECK_ERR(waitv(w, 1u << 31, &limit), EINVAL);
	CHECK_ERR(waitv(w, 0, NULL), EINVAL);
	CHECK_ERR(waitv(NULL, 1, NULL), EINVAL);
	CHECK_ERR(waitv(bad_address, 1, NULL), EFAULT);
	CHECK_ERR(waitv(w, 1, bad_address), EFAULT);
	CHECK_ERR(syscall(NR_WAITV, w, 1, 1, NULL, 0), EINVAL);
	CHECK_ERR(syscall(NR_WAITV, w, 1, 0, &limit, 99), EINVAL);
	w[1].val = 5;
	CHECK_ERR(waitv(w, 2, NULL), EAGAIN);
	w[1] = on(bad_address, 0);
	CHECK_ERR(waitv(w, 2, NULL), EFAULT);
	w[1].uaddr = (uint64_t)(uintptr_t)&words[0] + 1;
	CHECK_ERR(waitv(w, 2, NULL), EINVAL);
	w[1].uaddr--;
	w[1].reserved = 1;
	CHECK_ERR(waitv(w, 2, NULL), EINVAL);
	ok("errors");

	pthread_t t;
	CHECK(pthread_create(&t, NULL, several, NULL) == 0);
	while (waiting == 0)
		sleep_ms(1);
	sleep_ms(30);
	words[2] = 1;
	old_wake(&words[2], 1);
	CHECK(pthread_join(t, NULL) == 0);
	words[2] = 0;
	ok("one of several");
}

static void *shared_waiter(void *arg)
{
	atomic_uint *word = arg;
	while (*word == 0)
		syscall(NR_WAIT, word, 0UL, 1UL, SIZE_U32 | PRIVATE, NULL, 0);
	return NULL;
}

static void second_interface(void)
{
	if (syscall(NR_WAKE, &words[0], 1UL, 1, SIZE_U32 | PRIVATE) == -1 && errno == ENOSYS) {
		ok("second interface");
		return;
	}
	struct timespec limit = after_ms(20);
	CHECK(syscall(NR_WAKE, &words[0], 1UL, 1, SIZE_U32 | PRIVATE) == 0);
	CHECK_ERR(syscall(NR_WAKE, &words[0], 1UL, 1, 1 << 30), EINVAL);
	CHECK_ERR(syscall(NR_WAIT, &words[0], 0UL, 1UL, SIZE_U32 | PRIVATE, &limit, CLOCK_MONOTONIC), ETIMEDOUT);
	CHECK_ERR(syscall(NR_WAIT, &words[0], 1UL, 1UL, SIZE_U32 | PRIVATE, NULL, 0), EAGAIN);
	CHECK_ERR(syscall(NR_WAIT, &words[0], 0UL, 0UL, SIZE_U32 | PRIVATE, NULL, 0), EINVAL);
	CHECK_ERR(syscall(NR_WAIT, bad_address, 0UL, 1UL, SIZE_U32 | PRIVATE, NULL, 0), EFAULT);
	struct waiter two[2] = {on(&words[0], 0), on(&words[1], 0)};
	CHECK(syscall(NR_REQUEUE, two, 0, 1, 1) == 0);
	two[0].val = 1;
	CHECK_ERR(syscall(NR_REQUEUE, two, 0, 1, 1), EAGAIN);
	CHECK_ERR(syscall(NR_REQUEUE, NULL, 0, 1, 1), EINVAL);
	CHECK_ERR(syscall(NR_REQUEUE, bad_address, 0, 1, 1), EFAULT);

	pthread_t t;
	CHECK(pthread_create(&t, NULL, shared_waiter, &words[3]) == 0);
	sleep_ms(20);
	words[3] = 1;
	syscall(NR_WAKE, &words[3], 1UL, 1, SIZE_U32 | PRIVATE);
	CHECK(pthread_join(t, NULL) == 0);

	/* Waiters move from one futex to another and are woken there. */
	words[0] = words[1] = 0;
	pthread_t many[3];
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&many[i], NULL, shared_waiter, &words[0]) == 0);
	long moved = 0;
	two[0].val = 0;
	while (moved < 3) {
		long n = syscall(NR_REQUEUE, two, 0, 0, 3);
		CHECK(n >= 0);
		moved += n;
		sleep_ms(1);
	}
	CHECK(syscall(NR_WAKE, &words[0], 1UL, 3, SIZE_U32 | PRIVATE) == 0);
	words[0] = 1;
	CHECK(syscall(NR_WAKE, &words[1], 1UL, 3, SIZE_U32 | PRIVATE) == 3);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(many[i], NULL) == 0);
	ok("second interface");
}

int main(void)
{
	begin();
	first_interface();
	second_interface();
	return 0;
}
