/* Opens the file that is its first argument as often as the second one says. */
#include "check.h"

int main(int argc, char **argv)
{
	struct stat st;
	CHECK(argc == 3);
	for (long n = strtol(argv[2], NULL, 10); n > 0; n--) {
		int fd = open(argv[1], O_RDONLY);
		CHECK(fd >= 0 && syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0 && close(fd) == 0);
	}
	return 0;
}
