/*
 * Threads that touch memory at the same time, where the machine has not had any of it yet
 * or loses all it knew. Each function returns 0; no touch is a fault.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define WINDOW (2UL << 20)
#define CHUNK (64UL << 20)
#define CHECK(c) do { if (!(c)) { \
	fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #c, errno); exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1); } } while (0)

enum { THREADS = 3, ROUNDS = 100 };

static char *volatile memory;
static volatile int begun, done, over;

static void fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	char line[80];
	int n = snprintf(line, sizeof line, "signal %d, code %d, at %p of %p\n", sig, info->si_code, info->si_addr, memory);
	_exit(write(2, line, (size_t)n) == n ? 1 : 2);
}

/* Memory of addresses that nothing ever had. */
static char *fresh(unsigned long size)
{
	static unsigned long at = 1UL << 44;
	char *p = mmap((void *)at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(p == (void *)at);
	at += size;
	return p;
}

static void *toucher(void *number)
{
	unsigned long mine = ((unsigned long)number + 1) * PAGE;
	for (int i = 1; i <= ROUNDS; i++) {
		for (int n = 0; begun < i; n++)
			if (n % 1000 == 999)
				sched_yield();
		memory[mine] += (char)(memory[mine] + i);
		CHECK(memory[mine] == (char)i);
		__sync_fetch_and_add(&done, 1);
	}
	return NULL;
}

/* All touch a page of memory as soon as there is any. */
static int first(void)
{
	pthread_t t[THREADS];
	for (long i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, toucher, (void *)i) == 0);
	for (int i = 1; i <= ROUNDS; i++) {
		memory = fresh(CHUNK);
		begun = i;
		memory[0] = 1;
		while (done < i * THREADS)
			sched_yield();
		CHECK(munmap(memory, CHUNK) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	return 0;
}

/* Computes with memory that it has, and with what it gets anew. */
static void *computer(void *number)
{
	static char all[THREADS][64 * PAGE] __attribute__((aligned(4096)));
	char *mine = all[(long)number];
	for (unsigned long i = 0; !over; i++) {
		char *p = mine + i % 64 * PAGE;
		char was = *p;
		*p = (char)(was + 1);
		CHECK(*(volatile char *)p == (char)(was + 1));
		if (i % 4096 == 0)
			CHECK(madvise(mine, 32 * PAGE, MADV_DONTNEED) == 0);
	}
	return NULL;
}

/* One uses up whatever the machine has tables for, while others compute. */
static int tables(void)
{
	enum { TIMES = 2 };
	const unsigned long size = 18UL << 30;
	pthread_t t[THREADS];
	for (long i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, computer, (void *)i) == 0);
	for (int i = 0; i < TIMES; i++) {
		char *p = fresh(size);
		for (unsigned long at = 0; at < size; at += WINDOW)
			p[at] = 1;
		CHECK(munmap(p, size) == 0);
	}
	over = 1;
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction a = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
	CHECK(argc == 2 && sigaction(SIGSEGV, &a, NULL) == 0 && sigaction(SIGBUS, &a, NULL) == 0 && sigaction(SIGILL, &a, NULL) == 0);
	return strcmp(argv[1], "first") ? tables() : first();
}
