/*
 * Ends in the way given: "exit N", "_exit N", "return N", "atexit N", "signal N"
 * (sent to itself), "abort", "fault", "exec" (true).
 */
#include "check.h"
#include <sys/resource.h>

static void last_words(void)
{
	puts("at exit");
}

int main(int argc, char **argv)
{
	begin();
	CHECK(argc >= 2);
	struct rlimit none = {0, 0};
	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	const char *how = argv[1];
	int n = argc > 2 ? atoi(argv[2]) : 0;
	printf("ends by %s %d\n", how, n);
	if (strcmp(how, "exit") == 0)
		exit(n);
	if (strcmp(how, "_exit") == 0)
		_exit(n);
	if (strcmp(how, "return") == 0)
		return n;
	if (strcmp(how, "thread") == 0)
		syscall(SYS_exit, n);
	if (strcmp(how, "atexit") == 0) {
		atexit(last_words);
		exit(n);
	}
	if (strcmp(how, "signal") == 0)
		kill(getpid(), n);
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "fault") == 0)
		*(volatile char *)bad_address = 1;
	if (strcmp(how, "exec") == 0)
		execl("/bin/true", "true", (char *)NULL);
	CHECK(!"ended");
}
