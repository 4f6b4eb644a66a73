/* The program break: growth, shrinking, contents, refusal, fork and exec. */
#include "check.h"
#include <sys/resource.h>

/* The raw call returns the break, the old one when it refuses. */
static char *raw_brk(char *to)
{
	return (char *)syscall(SYS_brk, to);
}

int main(int argc, char **argv)
{
	begin();
	UNUSED(argc);
	char *start = raw_brk(NULL);
	CHECK(start == raw_brk(NULL));
	CHECK(raw_brk(start + 100000) == start + 100000);
	for (size_t i = 0; i < 100000; i += 1000)
		CHECK(start[i] == 0);
	memset(start, 7, 100000);
	CHECK(raw_brk(start + (64 << 20)) == start + (64 << 20));
	CHECK(start[99999] == 7 && start[(64 << 20) - 1] == 0);
	start[(64 << 20) - 1] = 1;
	ok("growth");

	CHECK(raw_brk(start + 50000) == start + 50000);
	CHECK(start[49999] == 7);
	CHECK(raw_brk(start + 200000) == start + 200000);
	CHECK(start[60000] == 0);
	CHECK(raw_brk(start) == start);
	ok("shrinking gives the pages back");

	CHECK(raw_brk((char *)1) == start);
	CHECK(raw_brk((char *)(1UL << 62)) == start);
	struct rlimit rl = {1 << 20, RLIM_INFINITY}, old;
	CHECK(getrlimit(RLIMIT_DATA, &old) == 0);
	rl.rlim_max = old.rlim_max;
	CHECK(setrlimit(RLIMIT_DATA, &rl) == 0);
	CHECK(raw_brk(start + (256 << 20)) == start);
	CHECK(setrlimit(RLIMIT_DATA, &old) == 0);
	ok("refusal");

	CHECK(raw_brk(start + 8192) == start + 8192);
	start[0] = 9;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(raw_brk(NULL) == start + 8192 && start[0] == 9);
		CHECK(raw_brk(start + 16384) == start + 16384);
		_exit(0);
	}
	reap_exit(child, 0);
	CHECK(raw_brk(NULL) == start + 8192);
	CHECK(raw_brk(start) == start);
	ok("a child's break is its own");

	/* The C library's allocator on top, small and large. */
	uint64_t sum = 0;
	char *all[300];
	for (size_t i = 0; i < 300; i++) {
		all[i] = malloc(i * i + 1);
		CHECK(all[i] != NULL);
		memset(all[i], (int)i, i * i + 1);
	}
	for (size_t i = 0; i < 300; i += 2)
		free(all[i]);
	for (size_t i = 1; i < 300; i += 2) {
		all[i] = realloc(all[i], 2 * i * i + 1);
		CHECK(all[i] != NULL);
		sum += checksum(all[i], i * i + 1);
		free(all[i]);
	}
	void *big = malloc(100 << 20);
	CHECK(big != NULL);
	free(big);
	printf("heap %016llx\n", (unsigned long long)sum);
	UNUSED(argv);
	return 0;
}
