/* execve with two megabytes of environment, many arguments, and more than the kernel takes. */
#include "check.h"
#include <sys/resource.h>

extern char **environ;

enum { STRINGS = 20, LENGTH = 105000, ARGS = 5000 };

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	if (argc > 2 && strcmp(argv[2], "env") == 0) {
		uint64_t sum = 0;
		size_t total = 0, n = 0;
		for (char **e = environ; *e; e++, n++) {
			sum = sum * 31 + checksum(*e, strlen(*e));
			total += strlen(*e) + 1;
		}
		printf("environment: %zu strings, %zu bytes, %016llx\n", n, total, (unsigned long long)sum);
		char *av[ARGS + 4] = {argv[0], ".", "args"};
		char text[ARGS][8];
		for (int i = 0; i < ARGS; i++) {
			snprintf(text[i], sizeof text[i], "%d", i);
			av[i + 3] = text[i];
		}
		char *const none[] = {NULL};
		execve("/proc/self/exe", av, none);
		CHECK(!"exec");
	}
	if (argc > 2) {
		CHECK(argc == ARGS + 3 && environ[0] == NULL);
		for (int i = 0; i < ARGS; i++)
			CHECK(atoi(argv[i + 3]) == i);
		ok("five thousand arguments, no environment");
		return 0;
	}

	/* The kernel takes a quarter of the stack limit. */
	struct rlimit rl;
	CHECK(getrlimit(RLIMIT_STACK, &rl) == 0);
	if (rl.rlim_cur != RLIM_INFINITY && rl.rlim_cur < 32 << 20) {
		rl.rlim_cur = 32 << 20;
		CHECK(setrlimit(RLIMIT_STACK, &rl) == 0);
	}
	static char *env[STRINGS + 1], *big[60];
	for (int i = 0; i < STRINGS; i++) {
		env[i] = malloc(LENGTH);
		CHECK(env[i] != NULL);
		int n = snprintf(env[i], 32, "STRING_%d=", i);
		memset(env[i] + n, 'a' + i, LENGTH - (size_t)n - 1);
		env[i][LENGTH - 1] = 0;
	}
	char *av[] = {argv[0], ".", "env", NULL};
	char *whole = malloc(200000);
	CHECK(whole != NULL);
	memset(whole, 'x', 199999);
	whole[199999] = 0;
	big[0] = whole;
	CHECK_ERR(execve("/proc/self/exe", av, big), E2BIG);
	char *many[] = {argv[0], whole, NULL};
	CHECK_ERR(execve("/proc/self/exe", many, env), E2BIG);
	/* Each string fits; all together pass the six megabytes that are the most in any case. */
	for (int i = 0; i < 59; i++)
		big[i] = env[i % STRINGS];
	CHECK_ERR(execve("/proc/self/exe", av, big), E2BIG);
	ok("too big");
	execve("/proc/self/exe", av, env);
	CHECK(!"exec");
}
