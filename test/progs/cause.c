/*
 * Seeded causes: each case, named by argv[1], makes variants differ for one true
 * cause. Addresses, what is left in memory and random numbers of the processor differ
 * by themselves. What variants have in common by design (clocks, environment, order)
 * differs in the build with OTHER=1, which stands in for a hole in that design.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#ifndef OTHER
#define OTHER 0
#endif

static volatile int other = OTHER;
static char global[64];
extern char **environ;

#define NOINLINE __attribute__((noinline))

static void put(const void *p, size_t n)
{
	if (write(1, p, n) != (ssize_t)n)
		_exit(9);
}

static void say(const char *form, unsigned long v)
{
	char b[128];
	put(b, (size_t)snprintf(b, sizeof b, form, v));
}

/* What the processor draws, which not all front-ends can catch. */
static uint64_t draw(void)
{
	uint64_t v;
	unsigned char good;
	do
		/* Written as no compiler does: of those that are all variants get the same. */
		__asm__ volatile("rdrand %0; nop; nop; nop; nop; setc %1" : "=r"(v), "=q"(good) : : "cc");
	while (!good);
	return v;
}

/* Leaves addresses on the stack, where the next function has its variables. */
static NOINLINE void dirty(void)
{
	void *volatile a[96];
	for (int i = 0; i < 96; i++)
		a[i] = &global[i % 64];
	(void)a[0];
}

/* --- address --- */
static void addr_printf(void) { say("object at %p\n", (unsigned long)&global); }
static void addr_binary(void)
{
	struct { long kind; void *p; } r = { 7, global };
	put(&r, sizeof r);
}
static void addr_decimal(void) { say("id=%lu;\n", (unsigned long)&addr_decimal); }
static void addr_library(void) { say("<obj %lx>", (unsigned long)&puts); }
static void addr_high(void) { say("page %lu\n", (unsigned long)&global >> 12); }
static void addr_argument(void) { lseek(0, (off_t)(uintptr_t)&global, SEEK_SET); }
static void addr_mangled(void)
{
	unsigned long p = (unsigned long)&global ^ 0x5a5a1234deadbeefUL;
	p = p << 17 | p >> 47;
	put(&p, sizeof p);
}

/* --- time --- */
static void time_seconds(void) { say("Date: %lu\n", (unsigned long)time(NULL) + 3UL * other); }
static void time_binary(void)
{
	struct timeval t;
	gettimeofday(&t, NULL);
	uint64_t us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec + 4711 * (uint64_t)other;
	put(&us, sizeof us);
}
static void time_text(void)
{
	char b[64];
	time_t t = time(NULL) + 2 * other;
	put(b, strftime(b, sizeof b, "[%H:%M:%S] started\n", gmtime(&t)));
}
static void time_stamp(void)
{
	uint64_t t = __rdtsc() + 123456 * (uint64_t)other;
	put(&t, sizeof t);
}
static void time_elapsed(void)
{
	char b[64];
	put(b, (size_t)snprintf(b, sizeof b, "elapsed: %.6f s\n", 0.012345 + 0.0007 * other));
}
static void time_monotonic(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	say("up %lu ns\n", (unsigned long)t.tv_sec * 1000000000UL + (unsigned long)t.tv_nsec + 31337UL * (unsigned long)other);
}

/* --- randomness --- */
static void random_binary(void)
{
	uint64_t k[2] = { draw(), draw() };
	put(k, sizeof k);
}
static void random_hex(void)
{
	char b[64];
	put(b, (size_t)snprintf(b, sizeof b, "token=%016lx%016lx\n", draw(), draw()));
}
static void random_name(void)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	char b[] = "tmp.XXXXXXXXXX";
	for (char *p = b + 4; *p; p++)
		*p = set[draw() % 62];
	close(open(b, O_RDONLY));
}
static void random_decimal(void) { say("nonce %020lu\n", draw()); }

/* --- padding --- */
struct tail { long value; int count; };
struct hole { char kind; long value; };
struct pair { int n; void *where; };
static NOINLINE void fill_tail(void)
{
	struct tail t;
	t.value = 5;
	t.count = 3;
	put(&t, sizeof t);
}
static void pad_tail(void) { dirty(); fill_tail(); }
static NOINLINE void fill_array(void)
{
	struct hole a[4];
	for (int i = 0; i < 4; i++) {
		a[i].kind = (char)i;
		a[i].value = 100 + i;
	}
	put(a, sizeof a);
}
static void pad_array(void) { dirty(); fill_array(); }
static void pad_heap(void)
{
	void **old = malloc(sizeof(struct pair) * 8);
	for (int i = 0; i < 16; i++)
		old[i] = &global[i];
	struct pair *p = (void *)old;
	for (int i = 0; i < 8; i++) {
		p[i].n = i;
		p[i].where = NULL;
	}
	put(p, sizeof *p * 8);
}

/* --- uninitialised memory --- */
struct message { long id; int length; int flags; char text[16]; };
static NOINLINE void fill_text(void)
{
	char b[96];
	strcpy(b, "hello");
	put(b, sizeof b);
}
static void un_stack(void) { dirty(); fill_text(); }
static void un_heap(void)
{
	char *volatile p = malloc(3000), *volatile keep = malloc(16);
	free(p);
	p = malloc(3000);
	put(p, 256);
	free(keep);
}
static NOINLINE void fill_message(void)
{
	struct message m;
	m.id = 12;
	m.length = 4;
	memset(m.text, 'x', sizeof m.text);
	put(&m, sizeof m);
}
static void un_member(void) { dirty(); fill_message(); }
static NOINLINE int deep(int n) { volatile int v = n; return n > 0 ? deep(n - 1) + v : v; }
static NOINLINE void fill_nothing(void)
{
	volatile char b[512];
	b[0] = 1;
	put((const void *)b, sizeof b);
}
static void un_frames(void)
{
	deep(20);
	fill_nothing();
}

/* --- environment --- */
static void env_variable(void)
{
	char *v = getenv("CAUSE_MODE");
	if (v && other)
		memcpy(v, "slow", 4);
	char b[64];
	put(b, (size_t)snprintf(b, sizeof b, "running in mode %s\n", v ? v : "?"));
}
static void env_host(void)
{
	char *v = getenv("CAUSE_HOST");
	if (v && other)
		memcpy(v, "beta", 5);
	char b[64];
	put(b, (size_t)snprintf(b, sizeof b, "Server: %s\r\n", v ? v : "?"));
}
static char *self;
static void env_name(void)
{
	if (other)
		memcpy(self, "/opt/", 5);
	char b[4200];
	put(b, (size_t)snprintf(b, sizeof b, "usage: %s FILE\n", self));
}

/* --- ordering --- */
static void order_lines(void) { put(other ? "beta 2\nalpha 1\ngamma 3\n" : "alpha 1\nbeta 2\ngamma 3\n", 23); }
static void order_calls(void)
{
	put(other ? "second\n" : "first!\n", 7);
	put(other ? "first!\n" : "second\n", 7);
	put("third!\n", 7);
}
static void order_records(void)
{
	uint32_t a[6] = { 101, 202, 303, 404, 505, 606 };
	if (other) {
		a[1] = 505;
		a[4] = 202;
	}
	put(a, sizeof a);
}
static void order_words(void)
{
	static const char *const name[] = { "red", "green", "blue" };
	char b[64];
	int k = other;
	put(b, (size_t)snprintf(b, sizeof b, "{%s, %s, %s}\n", name[k], name[(k + 1) % 3], name[(k + 2) % 3]));
}

/* --- attack --- */
static void attack_jump(void)
{
	void (*volatile f)(void) = (void (*)(void))(uintptr_t)0x123456789000;
	if (other)
		f();
}
static void attack_exec(void)
{
	char *argv[] = { "sh", "-c", "exit 7", NULL };
	if (other)
		execve("/bin/sh", argv, environ);
	put("fine\n", 5);
}
static void attack_protect(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(p, 4096, other ? PROT_READ | PROT_WRITE | PROT_EXEC : PROT_READ);
}
static NOINLINE void smash(void)
{
	void *volatile *volatile frame = __builtin_frame_address(0);
	if (other)
		frame[1] = (void *)(uintptr_t)0x4141414141414141;
}
static void attack_smash(void) { smash(); put("fine\n", 5); }
static void attack_code(void)
{
	/* mov $39,%eax; syscall; ret, where the other variants write. */
	static const unsigned char code[] = { 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3 };
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(p, code, sizeof code);
	if (other)
		((void (*)(void))p)();
	put("fine\n", 5);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } cases[] = {
#define CASE(f) { #f, f }
		CASE(addr_printf), CASE(addr_binary), CASE(addr_decimal), CASE(addr_library), CASE(addr_high),
		CASE(addr_argument), CASE(addr_mangled),
		CASE(time_seconds), CASE(time_binary), CASE(time_text), CASE(time_stamp), CASE(time_elapsed), CASE(time_monotonic),
		CASE(random_binary), CASE(random_hex), CASE(random_name), CASE(random_decimal),
		CASE(pad_tail), CASE(pad_array), CASE(pad_heap),
		CASE(un_stack), CASE(un_heap), CASE(un_member), CASE(un_frames),
		CASE(env_variable), CASE(env_host), CASE(env_name),
		CASE(order_lines), CASE(order_calls), CASE(order_records), CASE(order_words),
		CASE(attack_jump), CASE(attack_exec), CASE(attack_protect), CASE(attack_smash), CASE(attack_code),
	};
	self = argv[0];
	for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof cases[0]; i++)
		if (strcmp(argv[1], cases[i].name) == 0)
			return cases[i].run(), 0;
	return 2;
}
