/* Failed execs: the right errno, and a process that goes on as if nothing had been asked. */
#include "check.h"

static volatile sig_atomic_t hits;

static void handler(int sig)
{
	UNUSED(sig);
	hits++;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char *av[] = {"x", NULL}, *env[] = {"A=b", NULL};
	put_file("empty", "", 0, 0755);
	put_file("text", "not a program\n", 14, 0755);
	put_file("plain", "not a program\n", 14, 0644);
	put_file("short", "\177ELF", 4, 0755);
	unsigned char elf[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
	elf[16] = 2;
	elf[18] = 183; /* EM_AARCH64 */
	elf[20] = 1;
	put_file("arm", elf, sizeof elf, 0755);
	elf[18] = 62;
	put_file("hollow", elf, sizeof elf, 0755);
	CHECK(mkdir("dir", 0755) == 0 && symlink("loop", "loop") == 0);

	struct sigaction sa = {.sa_handler = handler};
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	int fd = open("plain", O_RDONLY | O_CLOEXEC);
	CHECK(fd == 3);
	char *memory = malloc(100000);
	CHECK(memory != NULL);
	memset(memory, 5, 100000);

	CHECK_ERR(execve("none", av, env), ENOENT);
	CHECK_ERR(execve("", av, env), ENOENT);
	CHECK_ERR(execve("plain/x", av, env), ENOTDIR);
	CHECK_ERR(execve("plain", av, env), EACCES);
	CHECK_ERR(execve("dir", av, env), EACCES);
	CHECK_ERR(execve("loop", av, env), ELOOP);
	CHECK_ERR(execve("empty", av, env), ENOEXEC);
	CHECK_ERR(execve("text", av, env), ENOEXEC);
	CHECK_ERR(execve("short", av, env), ENOEXEC);
	CHECK_ERR(execve("arm", av, env), ENOEXEC);
	CHECK_ERR(execve("hollow", av, env), ENOEXEC);
	int writing = open("busy", O_WRONLY | O_CREAT, 0755);
	CHECK(writing == 4);
	SHOW("open for writing", execve("busy", av, env));
	CHECK(close(writing) == 0 && unlink("busy") == 0);
	CHECK_ERR(syscall(SYS_execveat, 99, "x", av, env, 0), EBADF);
	CHECK_ERR(syscall(SYS_execveat, fd, "", av, env, 0), ENOENT);
	CHECK_ERR(syscall(SYS_execveat, fd, "", av, env, AT_EMPTY_PATH), EACCES);
	CHECK_ERR(syscall(SYS_execveat, AT_FDCWD, "text", av, env, 0x4000), EINVAL);
	ok("errors");

	char c;
	CHECK(read(fd, &c, 1) == 1 && c == 'n' && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(raise(SIGUSR1) == 0 && hits == 1 && memory[99999] == 5 && getenv("A") == NULL);
	/* The C library's search: the first that can be run, a refused one remembered. */
	CHECK(mkdir("bin1", 0755) == 0 && mkdir("bin2", 0755) == 0);
	put_file("bin1/tool", "x", 1, 0644);
	setenv("PATH", "bin1:bin2", 1);
	CHECK_ERR(execlp("tool", "tool", (char *)NULL), EACCES);
	CHECK_ERR(execlp("nothing", "nothing", (char *)NULL), ENOENT);
	static const char sh[] = "#!/bin/sh\nexit 6\n";
	put_file("bin2/tool", sh, sizeof sh - 1, 0755);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		execlp("tool", "tool", (char *)NULL);
		_exit(1);
	}
	reap_exit(child, 6);
	ok("the process goes on");
	return 0;
}
