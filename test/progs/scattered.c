/* Touches one page in each of as many places, 64 MiB apart, as the argument says. */
#include "check.h"

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	for (long i = 0, n = atol(argv[1]); i < n; i++) {
		char *p = mmap((void *)(0x100000000000UL + (unsigned long)i * (64UL << 20)), PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		CHECK(p != MAP_FAILED);
		*p = 1;
	}
	ok("everywhere");
	return 0;
}
