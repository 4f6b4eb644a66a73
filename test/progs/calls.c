/* Makes as many plain calls as the argument says, and nothing else; with another argument it reads the
 * time stamp counter of x86-64 as often. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0;

#ifdef __x86_64__
	if (argc > 2) {
		uint64_t last = 0;

		while (n-- > 0) {
			uint64_t now = __builtin_ia32_rdtsc();

			if (now < last)
				return 1;
			last = now;
		}
		return 0;
	}
#endif
	while (n-- > 0)
		syscall(SYS_getppid);
	return 0;
}
