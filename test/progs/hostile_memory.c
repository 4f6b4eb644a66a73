/*
 * Memory calls with addresses and lengths that make no sense, and those that
 * take away what the program stands on.
 */
#include "hostile.h"

static int local(void) { volatile char c = 1; return c; }

static int without_stack(int prot)
{
	char here;
	uintptr_t p = (uintptr_t)&here & ~(PAGE - 1);
	if (prot < 0)
		raw3(SYS_munmap, p - 8 * PAGE, 16 * PAGE, 0);
	else
		raw3(SYS_mprotect, p - 8 * PAGE, 12 * PAGE, prot);
	return local();
}

static int heap(void)
{
	/* The break does not move to where it cannot be. */
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		void *before = sbrk(0);
		CHECK((void *)raw3(SYS_brk, bad_pointers[i], 0, 0) == before);
	}
	void *before = sbrk(0);
	CHECK((void *)raw3(SYS_brk, (long)before + (1L << 46), 0, 0) == before);
	CHECK((void *)raw3(SYS_brk, &local, 0, 0) == before);
	return 0;
}

static const unsigned long lengths[] = {0, 1, PAGE, 1UL << 47, 1UL << 63, ~0UL, ~0UL - PAGE + 1};

static int senseless(void)
{
	/* Where results are defined they are printed; page 8 is below everything. */
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		unsigned long n = lengths[i];
		printf("%zu: munmap %ld %ld %ld", i, raw3(SYS_munmap, 1, n, 0), raw3(SYS_munmap, 0x800000000000, n, 0),
		       raw3(SYS_munmap, 0xffffffffff600000, n, 0));
		printf(" mprotect %ld %ld", raw3(SYS_mprotect, 1, n, 0), raw3(SYS_mprotect, 0x8000, n, 77));
		printf(" madvise %ld %ld", raw3(SYS_madvise, 1, n, 4), raw3(SYS_madvise, 0x8000, n, 999));
		printf(" mremap %ld %ld", raw6(SYS_mremap, 1, n, n, 0, 0, 0), raw6(SYS_mremap, 0x8000, n, n, 99, 0, 0));
		printf(" mmap %ld\n", raw6(SYS_mmap, 1, n, 3, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	}
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		printf("%d: msync %d mincore %d mlock %d\n", i, raw3(SYS_msync, bad_pointers[i], PAGE, 4) != 0,
		       raw3(SYS_mincore, bad_pointers[i], PAGE, bad_pointers[i]) != 0, raw3(SYS_mlock, bad_pointers[i] | 1, 1, 0) != 0);
	}
	return 0;
}

/* From one end to the other, but for where the monitor puts programs: a guessed
 * address there is what variants are to catch. */
static int everywhere(void)
{
	for (unsigned long at = 0x100000000000; at < 0x7f0000000000; at += 0x10000000000) {
		if (at >= 0x200000000000 && at < 0x500000000000)
			continue;
		void *p = mmap((void *)(at + 0x123456000), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p != MAP_FAILED) {
			*(volatile char *)p = 1;
			CHECK(munmap(p, PAGE) == 0);
		}
		raw3(SYS_munmap, at + 0x123456000, PAGE, 0);
	}
	return 0;
}

static int over_text(void)
{
	uintptr_t p = (uintptr_t)&local & ~(PAGE - 1);
	CHECK(mmap((void *)p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == (void *)p);
	return local();
}

static int text_moved(void)
{
	uintptr_t p = (uintptr_t)&local & ~(PAGE - 1);
	raw6(SYS_mremap, (long)p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x10000000, 0);
	return local();
}

static int all_gone(unsigned long from, unsigned long to)
{
	raw3(SYS_munmap, from, to - from, 0);
	return local();
}

static int many(void)
{
	/* More mappings than the kernel keeps of one program. */
	char *p = mmap(NULL, 200000 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	int made = 0;
	for (int i = 0; i < 3000; i++)
		made += mprotect(p + (size_t)i * 2 * PAGE, PAGE, PROT_READ) == 0;
	CHECK(made == 3000);
	CHECK(munmap(p, 200000 * PAGE) == 0);
	return 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHILD("stack unmapped", without_stack(-1));
	CHILD("stack read-only", without_stack(PROT_READ));
	CHILD("stack inaccessible", without_stack(PROT_NONE));
	CHILD("heap", heap());
	CHILD("senseless", senseless());
	CHILD("everywhere", everywhere());
	CHILD("over text", over_text());
	CHILD("text moved", text_moved());
	CHILD("everything gone", all_gone(0, 0x7ffffffff000));
	CHILD("lower half gone", all_gone(0, 0x1ffffffff000));
	CHILD("upper half gone", all_gone(0x500000000000, 0x7ffffffff000));
	CHILD("many", many());
	return sting();
}
