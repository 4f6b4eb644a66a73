/* MvArmor's gettid: in a process with one thread it is the process id. */
#include "check.h"

int main(void)
{
	begin();
	pid_t tid = (pid_t)syscall(SYS_gettid);
	CHECK(tid > 0);
	CHECK(tid == getpid());
	int unused;
	CHECK((pid_t)syscall(SYS_set_tid_address, &unused) == tid);
	CHECK(syscall(SYS_tgkill, getpid(), tid, 0) == 0);
	printf("tid %d\n", (int)tid);
	return 0;
}
