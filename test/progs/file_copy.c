/* Copies inside the kernel: sendfile, copy_file_range, splice, tee. */
#include "check.h"
#include <sys/sendfile.h>
#include <sys/socket.h>

#define SIZE 300000

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char *data = malloc(SIZE), *back = malloc(SIZE);
	CHECK(data && back);
	fill(data, SIZE, 3);
	put_file("from", data, SIZE, 0644);
	int from = open("from", O_RDONLY), to = open("to", O_RDWR | O_CREAT | O_TRUNC, 0644);

	size_t done = 0;
	while (done < SIZE) {
		ssize_t n = sendfile(to, from, NULL, SIZE - done);
		CHECK(n > 0);
		done += (size_t)n;
	}
	CHECK(sendfile(to, from, NULL, 1) == 0);
	CHECK(pread(to, back, SIZE, 0) == SIZE && memcmp(back, data, SIZE) == 0);
	off_t at = 1000;
	CHECK(lseek(to, 0, SEEK_SET) == 0);
	CHECK(sendfile(to, from, &at, 500) == 500);
	CHECK(at == 1500 && lseek(from, 0, SEEK_CUR) == SIZE);
	CHECK(pread(to, back, 500, 0) == 500 && memcmp(back, data + 1000, 500) == 0);
	CHECK_ERR(sendfile(to, 99, NULL, 1), EBADF);
	ok("sendfile between files");

	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	at = 7;
	CHECK(sendfile(s[0], from, &at, 4096) == 4096);
	CHECK(read_all(s[1], back, 4096) == 4096 && memcmp(back, data + 7, 4096) == 0);
	ok("sendfile to a socket");

	int64_t in_at = 10, out_at = 100000;
	CHECK(ftruncate(to, 0) == 0);
	long n = syscall(SYS_copy_file_range, from, &in_at, to, &out_at, 1000UL, 0U);
	if (n == -1) {
		printf("copy_file_range: %s\n", errname(errno));
	} else {
		CHECK(n == 1000 && in_at == 1010 && out_at == 101000);
		CHECK(pread(to, back, 1000, 100000) == 1000 && memcmp(back, data + 10, 1000) == 0);
		ok("copy_file_range");
	}

	int p[2], q[2];
	CHECK(pipe(p) == 0 && pipe(q) == 0);
	in_at = 50;
	CHECK(syscall(SYS_splice, from, &in_at, p[1], NULL, 2000UL, 0U) == 2000);
	CHECK(in_at == 2050);
	CHECK(syscall(SYS_tee, p[0], q[1], 2000UL, 0U) == 2000);
	CHECK(read_all(q[0], back, 2000) == 2000 && memcmp(back, data + 50, 2000) == 0);
	out_at = 0;
	CHECK(syscall(SYS_splice, p[0], NULL, to, &out_at, 2000UL, 0U) == 2000);
	CHECK(pread(to, back, 2000, 0) == 2000 && memcmp(back, data + 50, 2000) == 0);
	ok("splice and tee");
	return 0;
}
