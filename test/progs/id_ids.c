/* User, group, process, group and session ids, each from every call that gives it. */
#include "check.h"
#include <sys/fsuid.h>

int main(void)
{
	begin();
	uid_t r, e, s;
	gid_t rg, eg, sg;
	CHECK(getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0);
	CHECK(r == getuid() && e == geteuid() && rg == getgid() && eg == getegid());
	printf("uid %u %u %u gid %u %u %u\n", r, e, s, rg, eg, sg);
	CHECK(setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1) == 0 && setresgid((gid_t)-1, (gid_t)-1, (gid_t)-1) == 0);
	CHECK(setuid(getuid()) == 0 && setgid(getgid()) == 0);
	CHECK(setreuid((uid_t)-1, (uid_t)-1) == 0 && setregid((gid_t)-1, (gid_t)-1) == 0);
	gid_t groups[256];
	int n = getgroups(256, groups);
	CHECK(n >= 0 && getgroups(0, NULL) == n);
	if (n > 1)
		CHECK_ERR(getgroups(1, groups), EINVAL);
	printf("groups %d:", n);
	for (int i = 0; i < n; i++)
		printf(" %u", groups[i]);
	printf("\n");
	CHECK(setfsuid((uid_t)-1) == (int)geteuid() && setfsgid((gid_t)-1) == (int)getegid());
	ok("users and groups");

	CHECK(getpgrp() == getpgid(0) && getpgid(getpid()) == getpgrp());
	CHECK(getsid(0) == getsid(getpid()));
	pid_t self = getpid(), child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(getppid() == self && getpid() != self);
		CHECK(getpgrp() == getpgid(self) && getsid(0) == getsid(self));
		_exit(0);
	}
	CHECK(getpgid(child) == getpgrp());
	reap_exit(child, 0);
	ok("processes");

	struct {
		uint32_t version;
		int pid;
	} header = {0x20080522, 0};
	struct {
		uint32_t effective, permitted, inheritable;
	} caps[2];
	CHECK(syscall(SYS_capget, &header, caps) == 0);
	header.pid = getpid();
	CHECK(syscall(SYS_capget, &header, caps) == 0);
	header.version = 1;
	CHECK_ERR(syscall(SYS_capget, &header, caps), EINVAL);
	CHECK(header.version == 0x20080522);
	ok("capabilities");

	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (getuid() != 0) {
			CHECK_ERR(setuid(0), EPERM);
			_exit(0);
		}
		CHECK(syscall(SYS_setgroups, 0, NULL) == 0 && setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0);
		CHECK(getuid() == 12345 && getegid() == 12345);
		CHECK_ERR(setuid(0), EPERM);
		CHECK_ERR(open("/proc/1/mem", O_RDONLY), EACCES);
		_exit(0);
	}
	reap_exit(child, 0);
	ok("a child drops its privileges");
	return 0;
}
