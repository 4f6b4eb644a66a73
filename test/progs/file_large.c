/* Payloads from nothing to megabytes in one call, and short ones at odd sizes. */
#include "check.h"
#include <sys/uio.h>

#define BIG ((size_t)8 << 20)

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char *out = malloc(BIG), *in = malloc(BIG);
	CHECK(out && in);
	fill(out, BIG, 1);
	int fd = open("big", O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(write(fd, out, BIG) == (ssize_t)BIG);
	CHECK(pread(fd, in, BIG, 0) == (ssize_t)BIG);
	CHECK(memcmp(in, out, BIG) == 0);
	printf("8 MB %016llx\n", (unsigned long long)checksum(in, BIG));

	static const size_t sizes[] = {1, 63, 64, 65, 511, 4095, 4096, 4097, 65535, 65536, 65537, 1048575, 1048577};
	off_t at = 0;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		CHECK(pwrite(fd, out + i, sizes[i], at) == (ssize_t)sizes[i]);
		memset(in, 0, sizes[i]);
		CHECK(pread(fd, in, sizes[i], at) == (ssize_t)sizes[i]);
		CHECK(memcmp(in, out + i, sizes[i]) == 0);
		at += (off_t)sizes[i];
	}
	ok("odd sizes");

	struct iovec v[64];
	for (int i = 0; i < 64; i++)
		v[i] = (struct iovec){out + (size_t)i * 100000, 100000};
	CHECK(pwritev(fd, v, 64, 0) == 6400000);
	for (int i = 0; i < 64; i++)
		v[i] = (struct iovec){in + (size_t)(63 - i) * 100000, 100000};
	CHECK(preadv(fd, v, 64, 0) == 6400000);
	CHECK(memcmp(in, out + 6300000, 100000) == 0 && memcmp(in + 6300000, out, 100000) == 0);
	ok("large vectors");

	/* Larger than the file: only what is there comes back, the rest of the buffer stays. */
	CHECK(ftruncate(fd, 5000) == 0);
	memset(in, 0x5a, BIG);
	CHECK(pread(fd, in, BIG, 0) == 5000);
	CHECK(in[5000] == 0x5a && in[BIG - 1] == 0x5a);
	ok("short read");

	int p[2];
	CHECK(pipe(p) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(close(p[0]) == 0);
		write_all(p[1], out, BIG);
		_exit(0);
	}
	CHECK(close(p[1]) == 0);
	memset(in, 0, BIG);
	CHECK(read_all(p[0], in, BIG) == BIG);
	CHECK(memcmp(in, out, BIG) == 0);
	reap_exit(child, 0);
	ok("8 MB through a pipe");
	CHECK(ftruncate(fd, 0) == 0);
	return 0;
}
