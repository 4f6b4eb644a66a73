/* Hints where new memory would be welcome: worked out from an address of the program's own,
 * and read as a number that is the same in all variants, near what one of them has mapped. */
#include "check.h"

#define SIZE (1 << 20)
#define FAR (64 << 20)

/* Gives back what is not where it was wanted, as allocators do. */
static int wanted(char *hint)
{
	char *p = mmap(hint, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	if (p == hint)
		return 1;
	CHECK(!munmap(p, SIZE));
	return 0;
}

/* What the kernel says about the end of the mapping that has an address. */
static char *told_end(const char *of)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512], name[512] = "", at[64] = "";
	unsigned long start, end, last = 0;

	CHECK(f);
	/* Whose addresses these are nobody knows; so it is looked for by its file's name. */
	snprintf(at, sizeof(at), "%s", of);
	while (fgets(line, sizeof(line), f)) {
		name[0] = 0;
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %511s", &start, &end, name) >= 2 && strstr(name, at))
			last = end;
	}
	fclose(f);
	return (char *)last;
}

static char variable[SIZE];

int main(int argc, char **argv)
{
	char *told, *own = (char *)(((uintptr_t)variable + FAR) & ~0xfffUL);
	const char *name = strrchr(argv[0], '/');
	int i;

	UNUSED(argc);
	begin();
	printf("near a variable: %d\n", wanted(own));
	told = told_end(name ? name : argv[0]);
	CHECK(told);
	/* Whether one that was read is followed is not the same everywhere; what comes of it is. */
	for (i = 0; i < 8; i++)
		wanted(told + 2 * FAR + (size_t)i * FAR);
	ok("hints");
	return 0;
}
