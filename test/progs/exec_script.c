/* Scripts: interpreter, its one argument, scripts that interpret scripts, and their failures. */
#include "check.h"

static char exe[PATH_MAX];

static void script(const char *name, const char *first, mode_t mode)
{
	char text[2 * PATH_MAX];
	int n = snprintf(text, sizeof text, "%s\nthis is never read\n", first);
	put_file(name, text, (size_t)n, mode);
	CHECK(chmod(name, mode) == 0);
}

/* Runs path with two arguments in a child; the child's output is ours. */
static void runs(const char *path)
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		char *av[] = {"ignored", "one", "", "three", NULL};
		execv(path, av);
		printf("%s: %s\n", path, errname(errno));
		_exit(0);
	}
	reap_exit(child, 0);
}

int main(int argc, char **argv)
{
	begin();
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	CHECK(n > 0);
	exe[n] = 0;
	if (argc != 2) {
		printf("interpreted:");
		for (int i = 0; i < argc; i++)
			printf(" [%s]", strcmp(argv[i], exe) == 0 ? "this program" : argv[i]);
		printf("\n");
		return 0;
	}
	CHECK(chdir(argv[1]) == 0);
	char line[PATH_MAX + 300];
	snprintf(line, sizeof line, "#!%s", exe);
	script("plain", line, 0755);
	snprintf(line, sizeof line, "#! \t%s   one argument with spaces  ", exe);
	script("argument", line, 0755);
	script("nested", "#!./plain -n", 0755);
	script("deeper", "#!./nested", 0755);
	script("none", "#!./no-such-interpreter", 0755);
	script("empty", "#!", 0755);
	script("directory", "#!.", 0755);
	script("noexec", line, 0644);
	script("garbage", "neither magic nor number", 0755);
	script("loop", "#!./loop", 0755);
	runs("./plain");
	runs("./argument");
	runs("./nested");
	runs("./deeper");
	runs("./none");
	runs("./empty");
	runs("./directory");
	runs("./noexec");
	runs("./garbage");
	runs("./loop");
	/* A shell falls back to itself, where the kernel refuses. */
	CHECK(system("./garbage 2>/dev/null") != 0);
	static const char sh[] = "#!/bin/sh -e\necho \"$0 $1 $#\"\nfalse\necho not reached\n";
	put_file("sh", sh, sizeof sh - 1, 0755);
	CHECK(system("./sh hello") == 1 << 8);
	return 0;
}
