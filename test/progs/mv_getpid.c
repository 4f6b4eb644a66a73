/* MvArmor's getpid: the raw call, its id checked against every other source. */
#include "check.h"

int main(void)
{
	begin();
	pid_t pid = (pid_t)syscall(SYS_getpid);
	CHECK(pid > 0);
	CHECK(pid == getpid());
	for (int i = 0; i < 1000; i++)
		CHECK((pid_t)syscall(SYS_getpid) == pid);

	char link[32];
	ssize_t n = readlink("/proc/self", link, sizeof link - 1);
	CHECK(n > 0);
	link[n] = 0;
	CHECK(atoi(link) == (int)pid);
	CHECK(getpgid(0) == getpgid(pid));
	CHECK(kill(pid, 0) == 0);
	printf("pid %d\n", (int)pid);
	return 42;
}
