/* Where mappings go: fixed, hinted, low, huge; and what happens to what was there. */
#include "check.h"

static int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
static int p[2];

/* The kernel's own word on whether a byte can be read. */
static int readable(const void *a)
{
	char c;
	if (write(p[1], a, 1) == 1) {
		CHECK(read(p[0], &c, 1) == 1);
		return 1;
	}
	CHECK(errno == EFAULT);
	return 0;
}

int main(void)
{
	begin();
	CHECK(pipe(p) == 0);

	char *a = mmap(NULL, 16 * PAGE, rw, anon, -1, 0);
	CHECK(a != MAP_FAILED && ((uintptr_t)a & (PAGE - 1)) == 0);
	memset(a, 1, 16 * PAGE);
	CHECK(mmap(a + 4 * PAGE, 2 * PAGE, rw, anon | MAP_FIXED, -1, 0) == a + 4 * PAGE);
	CHECK(a[4 * PAGE - 1] == 1 && a[4 * PAGE] == 0 && a[6 * PAGE - 1] == 0 && a[6 * PAGE] == 1);
	ok("MAP_FIXED replaces");

	CHECK(mmap(a, PAGE, rw, anon | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
	CHECK(a[0] == 1);
	CHECK(munmap(a + 8 * PAGE, 2 * PAGE) == 0);
	CHECK(!readable(a + 8 * PAGE) && !readable(a + 10 * PAGE - 1));
	CHECK(readable(a + 8 * PAGE - 1) && readable(a + 10 * PAGE));
	CHECK(mmap(a + 8 * PAGE, PAGE, rw, anon | MAP_FIXED_NOREPLACE, -1, 0) == a + 8 * PAGE);
	CHECK(mmap(a + 9 * PAGE, PAGE, rw, anon, -1, 0) == a + 9 * PAGE);
	ok("a hole in the middle, filled by NOREPLACE and by hint");

	/* A hint in use is only a hint. */
	char *b = mmap(a, PAGE, rw, anon, -1, 0);
	CHECK(b != MAP_FAILED && b != a && a[0] == 1);
	CHECK(munmap(b, PAGE) == 0);
	CHECK(munmap(a + 2 * PAGE, 12 * PAGE) == 0);
	CHECK(munmap(a, 16 * PAGE) == 0);
	CHECK(munmap(a, 16 * PAGE) == 0);
	CHECK(!readable(a) && !readable(a + 15 * PAGE));
	CHECK_ERR(munmap(a + 1, PAGE), EINVAL);
	CHECK_ERR(munmap(a, 0), EINVAL);
	ok("munmap over holes");

	char *low = mmap(NULL, 4 * PAGE, rw, anon | MAP_32BIT, -1, 0);
	CHECK(low != MAP_FAILED && (uintptr_t)low < (1UL << 31));
	memset(low, 3, 4 * PAGE);
	CHECK(munmap(low, 4 * PAGE) == 0);
	char *at = (char *)0x10000000;
	CHECK(mmap(at, 2 * PAGE, rw, anon | MAP_FIXED_NOREPLACE, -1, 0) == at);
	at[2 * PAGE - 1] = 1;
	CHECK(mmap(at, PAGE, rw, anon | MAP_FIXED, -1, 0) == at);
	CHECK(munmap(at, 2 * PAGE) == 0);
	CHECK(mmap((void *)(1UL << 62), PAGE, rw, anon | MAP_FIXED, -1, 0) == MAP_FAILED && errno == ENOMEM);
	ok("low and absolute");

	size_t huge = (size_t)256 << 30;
	char *r = mmap(NULL, huge, PROT_NONE, anon | MAP_NORESERVE, -1, 0);
	CHECK(r != MAP_FAILED);
	char *mid = r + (huge / 2);
	CHECK(mprotect(mid, 16 * PAGE, rw) == 0);
	memset(mid, 5, 16 * PAGE);
	CHECK(!readable(mid - 1) && !readable(mid + 16 * PAGE));
	/* Alignment by trimming, as allocators do it. */
	uintptr_t aligned = ((uintptr_t)r + (64UL << 20) - 1) & ~((64UL << 20) - 1);
	if (aligned != (uintptr_t)r)
		CHECK(munmap(r, aligned - (uintptr_t)r) == 0);
	CHECK(munmap((char *)aligned, huge - (aligned - (uintptr_t)r)) == 0);
	CHECK(mmap(NULL, (size_t)1 << 62, PROT_NONE, anon | MAP_NORESERVE, -1, 0) == MAP_FAILED && errno == ENOMEM);
	ok("huge reservation");

	/* Many small mappings, every third one removed: none overlaps another. */
	char *m[300];
	for (int i = 0; i < 300; i++) {
		m[i] = mmap(NULL, (size_t)(i % 5 + 1) * PAGE, rw, anon, -1, 0);
		CHECK(m[i] != MAP_FAILED);
		memset(m[i], i & 0x7f, (size_t)(i % 5 + 1) * PAGE);
	}
	for (int i = 0; i < 300; i += 3)
		CHECK(munmap(m[i], (size_t)(i % 5 + 1) * PAGE) == 0);
	for (int i = 0; i < 300; i++)
		if (i % 3)
			CHECK(m[i][0] == (i & 0x7f) && m[i][(size_t)(i % 5 + 1) * PAGE - 1] == (i & 0x7f));
	ok("many");

	CHECK(mmap(NULL, PAGE, rw, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
	a = mmap(NULL, 1, rw, anon | MAP_POPULATE | MAP_NORESERVE, -1, 0);
	CHECK(a != MAP_FAILED && a[PAGE - 1] == 0);
	a[0] = 1;
	CHECK(madvise(a, PAGE, MADV_DONTNEED) == 0 && a[0] == 0);
	CHECK_ERR(madvise(a, PAGE, 9999), EINVAL);
	unsigned char vec[2] = {0};
	a[0] = 1;
	CHECK(mincore(a, PAGE, vec) == 0 && (vec[0] & 1));
	CHECK(munmap(a, PAGE) == 0);
	CHECK_ERR(mincore(a, PAGE, vec), ENOMEM);
	ok("madvise and mincore");
	return 0;
}
