/* Stacks: recursion six megabytes deep, a mapping that grows down, large arrays. */
#include "check.h"

static uint64_t __attribute__((noinline)) deep(size_t left, uint64_t seed)
{
	volatile char frame[4096];
	for (size_t i = 0; i < sizeof frame; i += 512)
		frame[i] = (char)(seed + i);
	if (left <= sizeof frame)
		return seed;
	uint64_t below = deep(left - sizeof frame, seed * 31 + 1);
	for (size_t i = 0; i < sizeof frame; i += 512)
		CHECK(frame[i] == (char)(seed + i));
	return below ^ seed;
}

int main(void)
{
	begin();
	printf("deep %016llx\n", (unsigned long long)deep((size_t)6 << 20, 1));
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(deep((size_t)6 << 20, 2) != 0 ? 0 : 1);
	reap_exit(child, 0);
	ok("six megabytes of stack, again in a child");

	/* A kernel writing far below the stack pointer's page makes it grow, too. */
	int p[2];
	CHECK(pipe(p) == 0 && write(p[1], "stack", 5) == 5);
	{
		volatile char large[1 << 20];
		CHECK(read(p[0], (char *)large, 5) == 5);
		CHECK(large[0] == 's' && large[4] == 'k');
	}
	ok("a read into untouched stack");

	/* Free room below a mapping that grows down: touched page by page. */
	char *room = mmap(NULL, 8 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(room != MAP_FAILED);
	char *top = room + (8 << 20);
	CHECK(munmap(room, 8 << 20) == 0);
	char *g = mmap(top - 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
	CHECK(g == top - 2 * PAGE);
	for (size_t i = 1; i <= 200; i++) {
		top[-(ptrdiff_t)(i * PAGE)] = (char)i;
		CHECK(top[-(ptrdiff_t)(i * PAGE)] == (char)i);
	}
	ok("MAP_GROWSDOWN");
	return 0;
}
