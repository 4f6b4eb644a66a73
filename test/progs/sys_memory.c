/* Calls on memory that neither map nor change it, and those that seal it. */
#include "sys.h"

static void *map(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	memset(p, 1, pages * PAGE);
	return p;
}

static void placement(void)
{
	unsigned long nodes[32] = {1};
	int mode = 7, status = 7, node = 0;
	char *p = map(2);
	VALUE(set_mempolicy, 0, NULL, 0);
	VALUE(set_mempolicy, 99, NULL, 0);
	VALUE(set_mempolicy, 2, nodes, 65);
	VALUE(get_mempolicy, &mode, nodes, sizeof nodes * 8 + 1, NULL, 0);
	printf("mode %d, nodes %lx\n", mode, nodes[0]);
	VALUE(get_mempolicy, &mode, nodes, 1, NULL, 99);
	VALUE(set_mempolicy, 0, NULL, 0);
	VALUE(mbind, p, PAGE, 2, nodes, 65, 0);
	VALUE(mbind, p, PAGE, 99, nodes, 65, 0);
	VALUE(get_mempolicy, &mode, nodes, sizeof nodes * 8 + 1, p, 2);
	printf("mode %d, nodes %lx\n", mode, nodes[0]);
	VALUE(set_mempolicy_home_node, p, PAGE, 0, 0);
	VALUE(set_mempolicy_home_node, p, PAGE, 0, 1);
	/* Two nodes that are the same: nothing moves. */
	VALUE(migrate_pages, 0, 65, nodes, nodes);
	VALUE(migrate_pages, 0, 65, NOWHERE, nodes);
	void *page = p;
	VALUE(move_pages, 0, 1, &page, NULL, &status, 0);
	printf("status %d\n", status);
	VALUE(move_pages, 0, 1, &page, &node, &status, 2);
	VALUE(move_pages, 0, 1, &page, NULL, &status, 99);
}

static void advice(void)
{
	struct { void *base; size_t len; } iov = {map(4), 4 * PAGE};
	int self = (int)CALL(pidfd_open, getpid(), 0);
	CALL(pidfd_open, getpid(), 99);
	VALUE(process_madvise, self, &iov, 1, 20, 0);
	VALUE(process_madvise, self, &iov, 1, 20, 99);
	VALUE(process_madvise, -1, &iov, 1, 20, 0);
	VALUE(madvise, iov.base, iov.len, MADV_WILLNEED);
	VALUE(madvise, iov.base, iov.len, 9999);
	/* Of a process that lives it must fail; whether it still finds memory of one that
	   dies is a matter of time. */
	VALUE(process_mrelease, self, 0);
	VALUE(process_mrelease, self, 1);
	unsigned char in[4] = {0};
	VALUE(mincore, iov.base, iov.len, in);
	printf("resident %d %d %d %d\n", in[0] & 1, in[1] & 1, in[2] & 1, in[3] & 1);
	VALUE(mincore, (char *)iov.base + 1, PAGE, in);
	CHECK(munmap(iov.base, iov.len) == 0);
	VALUE(mincore, iov.base, iov.len, in);
}

static void mapping(void)
{
	long p = CALL(mmap, NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	CALL(mmap, NULL, 0L, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	VALUE(mprotect, p, PAGE, PROT_NONE);
	VALUE(mprotect, p + 1, PAGE, PROT_NONE);
	CALL(mremap, p, PAGE, PAGE, 0);
	CALL(mremap, p, PAGE, PAGE, 99);
	VALUE(munmap, p, 2 * PAGE);
	VALUE(munmap, p + 1, PAGE);
}

static void locking(void)
{
	char *p = map(2);
	VALUE(mlock, p, PAGE);
	VALUE(munlock, p, PAGE);
	VALUE(mlock2, p, PAGE, 1);
	VALUE(mlock2, p, PAGE, 99);
	VALUE(mlockall, 4 | 1);
	VALUE(mlockall, 99);
	/* It cannot fail. */
	VALUE(munlockall);
	VALUE(msync, p, PAGE, MS_SYNC);
	VALUE(msync, p, PAGE, 99);
	CHECK(munmap(p, 2 * PAGE) == 0);
	VALUE(mlock, p, PAGE);
	VALUE(munlock, p, PAGE);
	VALUE(msync, p, PAGE, MS_SYNC);
}

static void keys(void)
{
	char *p = map(1);
	long k = CALL(pkey_alloc, 0, 0);
	VALUE(pkey_alloc, 1, 0);
	CALL(pkey_mprotect, p, PAGE, PROT_READ, -1);
	CALL(pkey_mprotect, p, PAGE, PROT_READ, 99);
	if (k != -1)
		VALUE(pkey_free, k);
	VALUE(pkey_free, 99);
}

static void seals(void)
{
	char *p = map(3);
	CALL(mseal, p + 1, PAGE, 0);
	if (CALL(mseal, p + PAGE, PAGE, 0) == -1)
		return;
	VALUE(munmap, p, 3 * PAGE);
	VALUE(mprotect, p + PAGE, PAGE, PROT_READ);
	VALUE(mprotect, p, PAGE, PROT_READ);
	SHOW("mmap", mmap(p + PAGE, PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	SHOW("mremap", mremap(p + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
	p[PAGE] = 5;
	CHECK(p[PAGE] == 5);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK_ERR(munmap(p + PAGE, PAGE), EPERM);
		_exit(3);
	}
	reap_exit(child, 3);
	VALUE(munmap, p, PAGE);
}

int main(void)
{
	begin();
	placement();
	advice();
	locking();
	mapping();
	keys();
	seals();
	return 0;
}
