/*
 * Gives away an address from the bottom of a chain of calls, so that variants diverge
 * there, in the place that argv[1] names.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static int object;
static volatile int depth;

static NOINLINE int innermost(void)
{
	char b[64];
	int n = snprintf(b, sizeof b, "%p\n", (void *)&object);
	return write(1, b, (size_t)n) == n;
}

static NOINLINE int middle(int size)
{
	/* A frame of a size that is not known beforehand. */
	volatile char b[size];
	b[0] = 1;
	return innermost() + b[0];
}

static NOINLINE int outermost(int size) { return middle(size) + depth; }

static NOINLINE void handler(int sig) { depth = outermost(sig); }

static int compare(const void *a, const void *b) { return outermost(64) - *(const int *)a + *(const int *)b; }

static void *second(void *arg) { return outermost(100) ? arg : NULL; }

int main(int argc, char **argv)
{
	const char *place = argc > 1 ? argv[1] : "";
	static char other[65536];
	stack_t alternative = { .ss_sp = other, .ss_size = sizeof other };
	struct sigaction action = { .sa_handler = handler };
	int v[] = { 3, 1, 2 };
	pthread_t t;

	if (strcmp(place, "plain") == 0)
		return outermost(33) > 100;
	if (strcmp(place, "signal") == 0) {
		sigaction(SIGUSR1, &action, NULL);
		raise(SIGUSR1);
	} else if (strcmp(place, "alternative") == 0) {
		action.sa_flags = SA_ONSTACK;
		sigaltstack(&alternative, NULL);
		sigaction(SIGUSR1, &action, NULL);
		raise(SIGUSR1);
	} else if (strcmp(place, "library") == 0) {
		qsort(v, 3, sizeof v[0], compare);
	} else if (strcmp(place, "thread") == 0) {
		pthread_create(&t, NULL, second, NULL);
		pthread_join(t, NULL);
	} else if (strcmp(place, "replaced") == 0) {
		/* Its own file is gone, and what has its name makes readers wait. */
		unlink(argv[2]);
		mkfifo(argv[2], 0600);
		outermost(5);
	} else if (strcmp(place, "stackless") == 0) {
		/* Nothing that is known of the stack is right. */
		innermost();
	} else if (strcmp(place, "wild") == 0) {
		__asm__ volatile("mov $1, %%eax; mov $1, %%edi; lea %0, %%rsi; mov $8, %%edx; lea %1, %%r15; mov %%r15, (%%rsi);"
			"mov $0x10, %%rsp; mov $0x7fffffffffffffff, %%rbp; syscall; hlt"
			: : "m"(other), "m"(object) : "memory", "rax", "rdi", "rsi", "rdx", "r15");
	} else {
		return 2;
	}
	return 0;
}
