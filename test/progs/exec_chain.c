/*
 * Execs a list of programs one after the other, each this one in another
 * flavour: static after dynamic and back. What the process is stays.
 *
 * usage: exec_chain DIRECTORY [PROGRAM ...]
 */
#include "check.h"

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char text[64] = {0};
	int links = 0;
	if (getenv("CHAIN_FD")) {
		int fd = atoi(getenv("CHAIN_FD"));
		CHECK(fd == 3);
		CHECK(atoi(getenv("CHAIN_PID")) == getpid());
		CHECK(pread(fd, text, sizeof text - 1, 0) > 0);
		links = atoi(text);
	} else {
		int fd = open("links", O_RDWR | O_CREAT | O_TRUNC, 0644);
		char number[16];
		CHECK(fd == 3);
		setenv("CHAIN_FD", "3", 1);
		snprintf(number, sizeof number, "%d", (int)getpid());
		setenv("CHAIN_PID", number, 1);
	}
	/* Heap and file contents before and after each exec. */
	char *heap = malloc(1 << 20);
	CHECK(heap != NULL);
	memset(heap, links, 1 << 20);
	printf("link %d, %d to go\n", links, argc - 2);
	int n = snprintf(text, sizeof text, "%d\n", links + 1);
	CHECK(pwrite(3, text, (size_t)n, 0) == n);
	if (argc == 2)
		return links;
	char *next = argv[2];
	argv[2] = ".";
	argv[1] = next;
	execv(next, argv + 1);
	CHECK(!"exec");
}
