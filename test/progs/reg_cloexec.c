/* What an exec closes and what it keeps, and the numbers given out after it. */
#include "check.h"
#include <dirent.h>

static void list(void)
{
	DIR *d = opendir("/proc/self/fd");
	CHECK(d != NULL);
	char open_now[128] = {0};
	for (struct dirent *e; (e = readdir(d));) {
		int n = atoi(e->d_name);
		if (e->d_name[0] != '.' && n != dirfd(d) && n < 127)
			open_now[n] = 1;
	}
	closedir(d);
	printf("open:");
	for (int i = 0; i < 128; i++)
		if (open_now[i])
			printf(" %d", i);
	printf("\n");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	if (argc > 2 && strcmp(argv[2], "after") == 0) {
		list();
		CHECK(fcntl(3, F_GETFD) == -1 && errno == EBADF);
		CHECK(fcntl(4, F_GETFD) == 0);
		char c;
		CHECK(read(4, &c, 1) == 1 && c == '2');
		CHECK(open("file", O_RDONLY) == 3);
		CHECK(open("file", O_RDONLY | O_CLOEXEC) == 5);
		/* Once more: 5 goes, 3 stays. */
		execl("/proc/self/exe", argv[0], ".", "last", (char *)NULL);
		CHECK(!"exec");
	}
	if (argc > 2) {
		CHECK(open("file", O_RDONLY) == 5);
		CHECK(close(5) == 0);
		list();
		CHECK(syscall(SYS_close_range, 4u, 6u, 0u) == 0);
		list();
		CHECK(syscall(SYS_close_range, 3u, ~0u, 4u) == 0); /* CLOSE_RANGE_CLOEXEC */
		CHECK(fcntl(3, F_GETFD) == FD_CLOEXEC && fcntl(7, F_GETFD) == FD_CLOEXEC);
		list();
		CHECK(syscall(SYS_close_range, 3u, ~0u, 0u) == 0);
		list();
		CHECK_ERR(syscall(SYS_close_range, 5u, 4u, 0u), EINVAL);
		return 0;
	}
	put_file("file", "123456789", 9, 0644);
	CHECK(open("file", O_RDONLY | O_CLOEXEC) == 3);
	CHECK(open("file", O_RDONLY) == 4);
	char c;
	CHECK(read(4, &c, 1) == 1);
	int p[2];
	CHECK(pipe2(p, O_CLOEXEC) == 0 && p[0] == 5 && p[1] == 6);
	CHECK(open("file", O_RDWR | O_CLOEXEC) == 7);
	CHECK(fcntl(7, F_SETFD, 0) == 0);
	CHECK(open("file", O_RDWR) == 8);
	CHECK(fcntl(8, F_SETFD, FD_CLOEXEC) == 0);
	/* A failed exec closes nothing. */
	CHECK_ERR(execl("missing", "missing", (char *)NULL), ENOENT);
	list();
	execl("/proc/self/exe", argv[0], ".", "after", (char *)NULL);
	CHECK(!"exec");
}
