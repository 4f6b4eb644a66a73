/*
 * A leader that an attack has taken over opens the memory of a process while it
 * runs ahead of the others. With -DHONEST the program does not open it. Whatever
 * follows the opening must not happen unless all variants have opened it.
 */
#include "check.h"

int main(int argc, char **argv)
{
	begin_in(argc, argv);
#ifdef HONEST
	CHECK(getppid() > 0);
#else
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	long word = 1, got = 0;
	CHECK(pread(fd, &got, sizeof got, (off_t)(uintptr_t)&word) == sizeof got && got == 1);
#endif
	put_file("after", "after", 5, 0644);
	ok("reached");
	return 0;
}
