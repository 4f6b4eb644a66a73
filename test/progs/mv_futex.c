/* MvArmor's futex: a thread that spins until it may go on wakes the one that let it. */
#include "threads.h"
#include <stdatomic.h>

enum { FUTEX_WAIT, FUTEX_WAKE };

static atomic_int foo;

static void *wake(void *arg)
{
	while (atomic_load(&foo) == 0)
		;
	sleep_ms(50);
	atomic_store(&foo, 2);
	long woken = syscall(SYS_futex, &foo, FUTEX_WAKE, 1);
	CHECK(woken == 0 || woken == 1);
	return arg;
}

int main(void)
{
	begin();
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, wake, NULL) == 0);
	atomic_store(&foo, 1);
	while (atomic_load(&foo) == 1)
		CHECK(syscall(SYS_futex, &foo, FUTEX_WAIT, 1, NULL) == 0 || errno == EAGAIN);
	CHECK(pthread_join(thread, NULL) == 0);
	printf("foo: %d\n", atomic_load(&foo));
	return 0;
}
