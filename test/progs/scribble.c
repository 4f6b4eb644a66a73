/*
 * What a program can do that knows the variant host's memory: it writes over it. The build
 * with -DATTACKS=1 does it, the other one does all else the same.
 *
 * usage: scribble WHERE HOW
 */
#include "check.h"
#include <setjmp.h>
#include <time.h>

#ifndef ATTACKS
#define ATTACKS 0
#endif

static const volatile int attacks = ATTACKS;

/* frontend/vhost/layout.go */
static const struct {
	const char *name;
	unsigned long start, pages;
} places[] = {
	{ "image", 0x520000000000UL, 8 },
	{ "bell", 0x520010000000UL, 1 },
	{ "table", 0x520011000000UL, 8 },
	{ "blocks", 0x524000000000UL, 64 },
	{ "rings", 0x528000000000UL, 96 },
};

static sigjmp_buf back;

static void fault(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static void scribble(unsigned long place, const char *how, unsigned *state)
{
	volatile unsigned *volatile p = (volatile unsigned *)place;

	if (sigsetjmp(back, 1))
		return;
	for (unsigned i = 0; i < PAGE / sizeof(*p); i++) {
		*state = *state * 1664525 + 1013904223;
		p[i] = strcmp(how, "random") ? strcmp(how, "ones") ? 0 : ~0U : *state;
	}
}

/* Calls that the agent deals with, and some that it does not. */
static void work(int n)
{
	struct timespec t;
	char b[64];
	int zero = open("/dev/zero", O_RDONLY);

	for (int i = 0; i < n; i++) {
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
		CHECK(read(zero, b, sizeof(b)) == sizeof(b));
	}
	close(zero);
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = fault };
	unsigned state = 1;

	CHECK(argc == 3);
	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	for (int i = 0; i < 50; i++)
		work(10);
	if (attacks)
		for (unsigned k = 0; k < sizeof(places) / sizeof(*places); k++)
			for (unsigned long i = 0; !strcmp(argv[1], places[k].name) && i < places[k].pages; i++)
				scribble(places[k].start + i * PAGE, argv[2], &state);
	for (int i = 0; i < 50; i++)
		work(10);
	puts("end");
	return 0;
}
