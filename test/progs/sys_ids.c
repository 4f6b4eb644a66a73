/* Ids of processes, users and groups, limits and capabilities. */
#include "sys.h"
#include <sys/resource.h>

int main(void)
{
	begin();
	unsigned a, b, c, list[65536 / 4];
	/* These cannot fail. */
	CALL(getpid);
	CALL(getppid);
	CALL(gettid);
	CALL(getpgrp);
	VALUE(getuid);
	VALUE(geteuid);
	VALUE(getgid);
	VALUE(getegid);
	CALL(getpgid, 0);
	CALL(getpgid, -1);
	CALL(getsid, 0);
	CALL(getsid, -1);
	VALUE(getresuid, &a, &b, &c);
	printf("%u %u %u\n", a, b, c);
	VALUE(getresuid, NOWHERE, &b, &c);
	VALUE(getresgid, &a, &b, &c);
	VALUE(getresgid, NOWHERE, &b, &c);
	CALL(getgroups, 0, NULL);
	CALL(getgroups, -1, NULL);
	long n = syscall(SYS_getgroups, 65536 / 4, list);
	CALL(setgroups, n, list);
	CALL(setgroups, -1, NULL);
	VALUE(setuid, getuid());
	VALUE(setuid, -1);
	VALUE(setgid, getgid());
	VALUE(setgid, -1);
	VALUE(setreuid, -1, -1);
	VALUE(setregid, -1, -1);
	VALUE(setresuid, -1, -1, -1);
	VALUE(setresgid, -1, -1, -1);
	/* They answer the id of before, whatever they do. */
	VALUE(setfsuid, -1);
	VALUE(setfsgid, -1);
	uint32_t header[2] = {0x20080522, 0}, sets[6];
	VALUE(capget, header, sets);
	VALUE(capset, header, sets);
	sets[1] = sets[4] = ~0u;
	sets[0] = ~0u;
	VALUE(capset, header, sets);
	header[0] = 1;
	header[1] = -1;
	VALUE(capget, header, sets);
	struct rlimit limit;
	VALUE(getrlimit, RLIMIT_CORE, &limit);
	VALUE(getrlimit, 99, &limit);
	VALUE(setrlimit, RLIMIT_CORE, &limit);
	VALUE(setrlimit, 99, &limit);
	VALUE(prlimit64, 0, RLIMIT_CORE, NULL, &limit);
	VALUE(prlimit64, 0, 99, NULL, &limit);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CALL(setpgid, 0, 0);
		CALL(setpgid, 0, -1);
		CALL(setsid);
		_exit(0);
	}
	reap_exit(child, 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CALL(setsid);
		CALL(setsid);
		/* It has no terminal that could be hung up. */
		CHECK(getsid(0) == getpid());
		CALL(vhangup);
		/* As an ordinary user, whom more is denied. */
		CALL(setresgid, 65534, 65534, 65534);
		CALL(setresuid, 65534, 65534, 65534);
		VALUE(setresuid, 0, 0, 0);
		VALUE(setresgid, 0, 0, 0);
		VALUE(setreuid, 0, 0);
		VALUE(setregid, 0, 0);
		VALUE(setpriority, PRIO_PROCESS, 0, -20);
		VALUE(setgroups, 0, NULL);
		VALUE(vhangup);
		CALL(sethostname, "x", 1);
		CALL(syslog, 3, NULL, -1);
		CALL(chroot, ".");
		struct rlimit none = {0, 0};
		CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
		long made = CALL(fork);
		if (made == 0)
			_exit(0);
		made = shown("vfork", vfork());
		_exit(0);
	}
	reap_exit(child, 0);
	CALL(syslog, 10, NULL, 0);
	VALUE(prctl, 36, 0, 0, 0, 0);
	VALUE(prctl, 9999, 0, 0, 0, 0);
	VALUE(arch_prctl, 0x9999, 0);
	uint64_t modules[16] = {0};
	uint32_t size = sizeof modules;
	long count = CALL(lsm_list_modules, modules, &size, 0);
	printf("modules %ld, bytes %u, %016llx\n", count, size, (unsigned long long)checksum(modules, sizeof modules));
	size = 1;
	CALL(lsm_list_modules, modules, &size, 0);
	printf("bytes %u\n", size);
	unsigned long base;
	VALUE(arch_prctl, 0x1003, &base);
	return 0;
}
