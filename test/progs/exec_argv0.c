/* argv[0] is what the caller says, whatever the file is called; also empty or missing. */
#include "check.h"
#include <sys/auxv.h>

static void state(int argc, char **argv)
{
	char exe[PATH_MAX], comm[32] = {0};
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	CHECK(n > 0);
	exe[n] = 0;
	get_file("/proc/self/comm", comm, sizeof comm - 1);
	comm[strcspn(comm, "\n")] = 0;
	printf("argc %d argv[0] '%s' execfn '%s' comm '%s' exe '%s'\n", argc, argv[0],
	       strrchr((char *)getauxval(AT_EXECFN), '/') + 1, comm, strrchr(exe, '/') + 1);
}

int main(int argc, char **argv)
{
	extern char **environ;
	begin();
	const char *step = getenv("STEP");
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	CHECK(n > 0);
	exe[n] = 0;
	if (step == NULL) {
		CHECK(argc == 2 && chdir(argv[1]) == 0);
		CHECK(symlink(exe, "a-link") == 0);
		setenv("STEP", "1", 1);
		char *av[] = {"a name with spaces", "arg", NULL};
		execve(exe, av, environ);
	} else if (strcmp(step, "1") == 0) {
		state(argc, argv);
		setenv("STEP", "2", 1);
		char *av[] = {"", NULL};
		execve("./a-link", av, environ);
	} else if (strcmp(step, "2") == 0) {
		state(argc, argv);
		setenv("STEP", "3", 1);
		/* The kernel makes an empty argv[0] for a program that is given none. */
		char *av[] = {NULL};
		execve(exe, av, environ);
	} else if (strcmp(step, "3") == 0) {
		state(argc, argv);
		setenv("STEP", "4", 1);
		int fd = open("a-link", O_PATH), dir = open(".", O_RDONLY);
		char *av[] = {"by descriptor", "0", NULL};
		CHECK(fd == 3 && dir == 4);
		CHECK_ERR(syscall(SYS_execveat, dir, "a-link", av, environ, AT_SYMLINK_NOFOLLOW), ELOOP);
		syscall(SYS_execveat, dir, "a-link", av, environ, 0);
	} else if (strcmp(step, "4") == 0) {
		state(argc, argv);
		setenv("STEP", "5", 1);
		char *av[] = {"fexecve", NULL};
		int fd = open(exe, O_RDONLY | O_CLOEXEC);
		CHECK(fd == 5);
		fexecve(fd, av, environ);
	} else {
		CHECK(strncmp((char *)getauxval(AT_EXECFN), "/dev/fd/", 8) == 0);
		CHECK(open("/dev/null", O_RDONLY) == 5);
		CHECK(argc == 1 && strcmp(argv[0], "fexecve") == 0);
		ok("fexecve");
		return 0;
	}
	CHECK(!"exec");
}
