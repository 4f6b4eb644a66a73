/* MvArmor's getpid_libc: the C library's getpid around a fork. */
#include "check.h"

int main(void)
{
	begin();
	pid_t self = getpid();
	printf("parent %d\n", (int)self);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(getpid() != self);
		CHECK(getppid() == self);
		printf("child %d sees 0\n", (int)getpid());
		_exit(getpid() == (pid_t)syscall(SYS_getpid) ? 0 : 1);
	}
	reap_exit(child, 0);
	CHECK(getpid() == self);
	printf("parent %d saw %d\n", (int)self, (int)child);
	return 0;
}
