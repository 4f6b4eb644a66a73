/* vfork and posix_spawn: the child borrows the parent's memory, the parent waits. */
#include "check.h"
#include <spawn.h>

extern char **environ;

static volatile int shared;

static void with_vfork(const char *self)
{
	volatile pid_t parent = getpid();
	pid_t child = vfork();
	if (child == 0) {
		shared = 1234;
		_exit(getppid() == parent ? 9 : 1);
	}
	CHECK(child > 0);
	CHECK(shared == 1234);
	reap_exit(child, 9);
	ok("vfork and exit");

	child = vfork();
	if (child == 0) {
		execl(self, "vforked", ".", "child", "11", (char *)NULL);
		_exit(127);
	}
	CHECK(child > 0);
	reap_exit(child, 11);
	ok("vfork and exec");

	child = vfork();
	if (child == 0) {
		execl("missing", "missing", (char *)NULL);
		shared = errno;
		_exit(127);
	}
	CHECK(child > 0);
	CHECK(shared == ENOENT);
	reap_exit(child, 127);
	ok("vfork and failed exec");
}

static void with_spawn(const char *self)
{
	pid_t pid;
	char *av[] = {"spawned", ".", "child", "12", NULL};
	CHECK(posix_spawn(&pid, self, NULL, NULL, av, environ) == 0);
	reap_exit(pid, 12);
	ok("posix_spawn");

	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	CHECK(posix_spawn_file_actions_init(&fa) == 0 && posix_spawnattr_init(&attr) == 0);
	CHECK(posix_spawn_file_actions_addopen(&fa, 1, "out", O_WRONLY | O_CREAT | O_TRUNC, 0644) == 0);
	CHECK(posix_spawn_file_actions_adddup2(&fa, 1, 7) == 0);
	CHECK(posix_spawn_file_actions_addclose(&fa, 7) == 0);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK(posix_spawnattr_setsigmask(&attr, &set) == 0);
	sigfillset(&set);
	CHECK(posix_spawnattr_setsigdefault(&attr, &set) == 0);
	CHECK(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP) == 0);
	char *av2[] = {"spawned", ".", "mask", NULL};
	CHECK(posix_spawn(&pid, self, &fa, &attr, av2, environ) == 0);
	reap_exit(pid, 0);
	char buf[64] = {0};
	CHECK(get_file("out", buf, sizeof buf) == 18);
	CHECK(strcmp(buf, "masked, own group\n") == 0);
	ok("posix_spawn with actions and attributes");

	CHECK(posix_spawn(&pid, "missing", NULL, NULL, av, environ) == ENOENT);
	CHECK(posix_spawnp(&pid, "no-such-program-anywhere", NULL, NULL, av, environ) == ENOENT);
	CHECK_ERR(wait(NULL), ECHILD);
	for (int i = 0; i < 30; i++) {
		CHECK(posix_spawn(&pid, self, NULL, NULL, av, environ) == 0);
		reap_exit(pid, 12);
	}
	CHECK(system("exit 3") == 3 << 8);
	FILE *p = popen("echo from the shell; exit 4", "r");
	CHECK(p != NULL && fgets(buf, sizeof buf, p) && strcmp(buf, "from the shell\n") == 0);
	CHECK(pclose(p) == 4 << 8);
	ok("posix_spawn failing, repeated, system and popen");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	if (argc > 3)
		return atoi(argv[3]);
	if (argc > 2) {
		sigset_t set;
		CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
		CHECK(sigismember(&set, SIGUSR2) == 1 && sigismember(&set, SIGUSR1) == 0);
		CHECK(getpgrp() == getpid());
		puts("masked, own group");
		return 0;
	}
	with_vfork("/proc/self/exe");
	with_spawn("/proc/self/exe");
	return 0;
}
