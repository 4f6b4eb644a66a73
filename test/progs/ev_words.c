/*
 * Words that the kernel gives back: numbers of which some look like addresses of one variant or
 * another, and addresses, by turns, with calls between them that have nothing to do with either.
 */
#include "check.h"
#include <sys/epoll.h>

enum { PARTS = 512, SHIFT = 38, CALLS = 20 };

static int epoll, to[2];

static void give(int op, uint64_t word)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = word}, got = {0};
	char c;
	CHECK(epoll_ctl(epoll, op, to[0], &e) == 0);
	for (int i = 0; i < CALLS; i++) {
		CHECK(write(to[1], "x", 1) == 1 && epoll_wait(epoll, &got, 1, -1) == 1);
		CHECK(got.data.u64 == word && got.events == EPOLLIN);
		CHECK(read(to[0], &c, 1) == 1 && c == 'x' && epoll_wait(epoll, &got, 1, 0) == 0);
	}
}

int main(void)
{
	CHECK((epoll = epoll_create1(0)) >= 0 && pipe(to) == 0);
	give(EPOLL_CTL_ADD, 7);
	for (uint64_t part = 1; part < PARTS; part++) {
		give(EPOLL_CTL_MOD, part << SHIFT | part);
		if (part % 16 == 0)
			give(EPOLL_CTL_MOD, (uint64_t)(uintptr_t)&main + part);
	}
	ok("ev_words");
	return 0;
}
