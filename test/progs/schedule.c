/*
 * What threads of a variant do to each other, as mutant.c is for what they do to
 * the world: built with -DMUT=name the second thread differs from the leader's
 * build, -DMUT=none, in one thing that concerns the order in which threads run.
 *
 * The main thread holds two locks when it starts the second one, and gives them up
 * when that one waits in the kernel.
 */
#include "threads.h"
#include <stdatomic.h>

enum mutation {
	none,
	other_lock,
	other_order,
	extra_wake,
	missing_wake,
	wake_more,
	other_value,
	other_store,
	spin_order,
};

#ifndef MUT
#define MUT none
#endif

static const volatile enum mutation mutation = MUT;

enum { LOCKS = 2 };
enum { FUTEX_WAIT, FUTEX_WAKE, FUTEX_PRIVATE = 128 };

/* A lock is 0 when it is free and 1 when it is not; unlocking always wakes. */
static atomic_int lock_word[LOCKS];
static atomic_int turn, written;
static char order[2];

static long futex(atomic_int *word, int op, int val)
{
	return syscall(SYS_futex, word, op | FUTEX_PRIVATE, val, NULL, NULL, 0);
}

static void lock(int i)
{
	while (atomic_exchange(&lock_word[i], 1) != 0)
		futex(&lock_word[i], FUTEX_WAIT, 1);
}

static void unlock(int i, int wake)
{
	atomic_store(&lock_word[i], 0);
	if (wake > 0)
		futex(&lock_word[i], FUTEX_WAKE, wake);
}

static void *second(void *arg)
{
	/* Both are taken. Which one it waits for first is what the kernel sees. */
	int first = mutation == other_lock || mutation == other_order ? 1 : 0;
	lock(first);
	if (mutation == other_lock)
		first = 0;
	else
		lock(1 - first);

	if (mutation == extra_wake)
		futex(&lock_word[0], FUTEX_WAKE, 1);
	unlock(1, mutation == missing_wake ? 0 : 1);
	unlock(0, mutation == wake_more ? 2 : 1);
	CHECK(futex(&lock_word[0], FUTEX_WAIT, mutation == other_value ? 6 : 7) == -1 && errno == EAGAIN);

	/* An order that the kernel sees nothing of, until what it made is written. */
	while (mutation != spin_order && !atomic_load(&turn))
		;
	order[atomic_fetch_add(&written, 1)] = mutation == other_store ? 'x' : '2';
	return arg;
}

int main(void)
{
	pthread_t thread;
	begin();
	for (int i = 0; i < LOCKS; i++)
		lock(i);
	CHECK(pthread_create(&thread, NULL, second, NULL) == 0);
	while (futex(&lock_word[0], FUTEX_WAKE, 1) != 1)
		sleep_ms(1);
	for (int i = 0; i < LOCKS; i++)
		unlock(i, 1);
	if (mutation == spin_order)
		while (!atomic_load(&written))
			;
	order[atomic_fetch_add(&written, 1)] = '1';
	atomic_store(&turn, 1);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(write(STDOUT_FILENO, order, 2) == 2);
	return 0;
}
