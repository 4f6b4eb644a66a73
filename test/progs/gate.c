/*
 * The policies' program: makes one call of the class named, whose effect can be
 * seen as the entry "effect" in the directory argv[1]. The build with -DDIFFERS=1
 * computes for a while, so that a leader that does not wait is far ahead, and
 * then makes that call with one other argument. Code and layout are the same in
 * both builds.
 *
 * usage: gate DIRECTORY clone|exec|map|protect|write|socket|send|name
 */
#include "check.h"
#include <sys/socket.h>

#ifndef DIFFERS
#define DIFFERS 0
#endif

static const volatile int differs = DIFFERS;

static void effect(void)
{
	CHECK(mkdir("effect", 0755) == 0);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(argc >= 3);
	const char *what = argv[2];
	int exec = differs ? PROT_READ | PROT_WRITE : PROT_READ | PROT_EXEC;
	if (strcmp(what, "effect") == 0) {
		effect();
		return 0;
	}
	/* All that is no part of the call itself comes before. */
	int fd = open("written", O_RDWR | O_CREAT, 0644), s[2];
	CHECK(fd >= 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	if (differs)
		for (volatile long i = 0; i < 1000000000; i++)
			;
	if (strcmp(what, "clone") == 0) {
		/* An exit signal of another kind: the same call, one scalar. */
		long pid = syscall(SYS_clone, differs ? SIGUSR1 : SIGCHLD, NULL, NULL, NULL, NULL);
		CHECK(pid >= 0);
		if (pid == 0) {
			effect();
			_exit(0);
		}
		CHECK(waitpid((pid_t)pid, NULL, __WALL) == pid);
	} else if (strcmp(what, "exec") == 0) {
		execl("/proc/self/exe", argv[0], ".", differs ? "EFFECT" : "effect", (char *)NULL);
		CHECK(!"exec");
	} else if (strcmp(what, "map") == 0) {
		CHECK(mmap(NULL, PAGE, exec, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
		effect();
	} else if (strcmp(what, "protect") == 0) {
		CHECK(mprotect(page, PAGE, exec) == 0);
		effect();
	} else if (strcmp(what, "write") == 0) {
		CHECK(write(fd, differs ? "x" : "y", 1) == 1);
		effect();
	} else if (strcmp(what, "socket") == 0) {
		CHECK(write(s[0], differs ? "x" : "y", 1) == 1);
	} else if (strcmp(what, "send") == 0) {
		CHECK(send(s[0], differs ? "x" : "y", 1, 0) == 1);
		effect();
	} else if (strcmp(what, "name") == 0) {
		CHECK(mkdir(differs ? "EFFECT" : "effect", 0755) == 0);
	}
	return 0;
}
