/* The kernel looks at the lower half of a count of vectors only. */
#include "check.h"
#include <sys/uio.h>

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int p[2];
	char text[8] = "";
	struct iovec out = { "vectors", 7 }, in = { text, 7 };
	CHECK(pipe(p) == 0);
	CHECK(syscall(SYS_writev, p[1], &out, 0x100000001ul) == 7);
	CHECK(syscall(SYS_readv, p[0], &in, 0x100000001ul) == 7);
	CHECK(strcmp(text, "vectors") == 0);
	CHECK(write(STDOUT_FILENO, text, 7) == 7);
	ok("count");
	return 0;
}
