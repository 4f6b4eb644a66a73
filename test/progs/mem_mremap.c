/* mremap: growing in place, moving, shrinking, to a given address, and refusing. */
#include "check.h"

int main(void)
{
	begin();
	char *area = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED);
	int rw = PROT_READ | PROT_WRITE, fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	/* Four pages with free room behind them grow where they are. */
	CHECK(mmap(area, 4 * PAGE, rw, fixed, -1, 0) == area);
	CHECK(munmap(area + 4 * PAGE, 4 * PAGE) == 0);
	fill(area, 4 * PAGE, 1);
	uint64_t sum = checksum(area, 4 * PAGE);
	CHECK(mremap(area, 4 * PAGE, 8 * PAGE, 0) == area);
	CHECK(checksum(area, 4 * PAGE) == sum && area[8 * PAGE - 1] == 0);
	area[8 * PAGE - 1] = 1;
	ok("in place");

	/* Something in the way: refused, or moved if that is allowed. */
	CHECK(mremap(area, 8 * PAGE, 16 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
	char *moved = mremap(area, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED && moved != area);
	CHECK(checksum(moved, 4 * PAGE) == sum && moved[8 * PAGE - 1] == 1 && moved[16 * PAGE - 1] == 0);
	ok("moved");

	CHECK(mremap(moved, 16 * PAGE, 4 * PAGE, 0) == moved);
	CHECK(checksum(moved, 4 * PAGE) == sum);
	int p[2];
	CHECK(pipe(p) == 0);
	CHECK_ERR(write(p[1], moved + 4 * PAGE, 1), EFAULT);
	CHECK(mremap(moved, 4 * PAGE, 4 * PAGE, 0) == moved);
	ok("shrunk");

	char *target = area + 20 * PAGE;
	CHECK(mremap(moved, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
	CHECK(checksum(target, 4 * PAGE) == sum && target[6 * PAGE - 1] == 0);
	CHECK_ERR(write(p[1], moved, 1), EFAULT);
	ok("to a given address");

	CHECK(mremap(target + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(target, PAGE, 0, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(target, PAGE, PAGE, MREMAP_FIXED, area) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(target, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE) == MAP_FAILED && errno == EINVAL);
	CHECK(mremap(moved, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	ok("refused");

	/* A vector that doubles, as realloc makes one. */
	size_t n = 1;
	char *v = mmap(NULL, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(v != MAP_FAILED);
	for (; n < 4096; n *= 2) {
		v[(n - 1) * PAGE] = (char)n;
		v = mremap(v, n * PAGE, 2 * n * PAGE, MREMAP_MAYMOVE);
		CHECK(v != MAP_FAILED);
		for (size_t i = 1; i <= n; i *= 2)
			CHECK(v[(i - 1) * PAGE] == (char)i);
	}
	CHECK(munmap(v, n * PAGE) == 0);
	ok("doubling to 16 MB");
	return 0;
}
