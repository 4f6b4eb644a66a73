/* MvArmor's signals: a handler for SIGUSR1 and kill of the own process. */
#include "check.h"

static volatile sig_atomic_t foo;

static void handler(int sig)
{
	foo = sig == SIGUSR1 ? 13371337 : -1;
}

int main(void)
{
	begin();
	struct sigaction sa = {.sa_handler = handler}, old;
	sigemptyset(&sa.sa_mask);
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(kill(getpid(), SIGUSR1) == 0);
	CHECK(foo == 13371337);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0);
	CHECK(old.sa_handler == handler);
	printf("foo: %d\n", (int)foo);
	return 0;
}
