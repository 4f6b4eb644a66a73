/* A block as C reads and writes it, for the tests of Block. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

void show_block(int fd);

/* Prints block 2 of the arena behind fd and then reports something in it. */
void show_block(int fd)
{
	const u8 *large;
	struct block *b;
	u32 i, k;

	b = mmap((void *)MV_BLOCKS, BLOCKS * MV_BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	CHECK(b == (struct block *)MV_BLOCKS, "%m");
	b = block(2);
	printf("turn %u count %u flags %u spin %u control %u vcpu %ld mask %lx child %lx\n",
		b->turn, b->count, b->flags, b->spin, b->control, b->vcpu, b->mask, b->child);
	for (i = 0; i < b->count && i < MV_MAX_CALLS; i++) {
		const struct call *c = &calls_of(b)[i];

		printf("call %ld flags %u args", c->nr, c->flags);
		for (k = 0; k < 6; k++)
			printf(" %lx", c->arg[k]);
		printf(" refs");
		for (k = 0; k < 6; k++)
			printf(" %u", c->ref[k]);
		printf("\n");
	}
	large = (const u8 *)b + 0x8000;
	printf("scratch %.5s large %.5s\n", (const char *)b + 0x1000, large);

	for (i = 0; i < b->count && i < MV_MAX_CALLS; i++)
		calls_of(b)[i].ret = -(i64)(i + 100);
	b->done = b->count;
	b->signalled = 1;
	for (i = 0; i < sizeof(b->info); i++)
		b->info[i] = (u8)(i + 1);
	b->run = -14;
	b->pid = 1234;
	b->tid = 1235;
	b->event = MV_EVENT_RUN;
	__atomic_store_n(&b->turn, MV_TURN_MONITOR, __ATOMIC_RELEASE);
}
