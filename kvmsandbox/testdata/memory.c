/*
 * What programs do to their memory. Each function returns 0, or the line at which
 * the processor or the kernel saw something else than it should.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define MEGA (1UL << 20)
#define GIGA (1UL << 30)
/* Where the variant host is. */
#define SLOT 0x520000000000UL
#define SLOT_END 0x530000000000UL

#define CHECK(c) do { if (!(c)) { \
	fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #c, errno); return __LINE__ & 0xff ? __LINE__ & 0xff : 1; } } while (0)

static const char *file;
static sigjmp_buf back;
static volatile int fault_signal, fault_code;
static char *volatile fault_at;

static void handler(int sig, siginfo_t *si, void *context)
{
	(void)context;
	fault_signal = sig;
	fault_code = si->si_code;
	fault_at = si->si_addr;
	siglongjmp(back, 1);
}

/* These return the signal of the access, 0 for none. */
static int reads(volatile char *p)
{
	fault_signal = 0;
	if (!sigsetjmp(back, 1))
		(void)*p;
	return fault_signal;
}

static int writes(volatile char *p)
{
	fault_signal = 0;
	if (!sigsetjmp(back, 1))
		*p = 1;
	return fault_signal;
}

static volatile int result;

static int calls(char *p)
{
	union {
		char *p;
		int (*f)(void);
	} code = {.p = p};

	fault_signal = 0;
	if (!sigsetjmp(back, 1))
		result = code.f();
	return fault_signal;
}

/* mov $n, %eax; ret */
static void put_code(char *p, char n)
{
	memcpy(p, "\xb8\0\0\0\0\xc3", 6);
	p[1] = n;
}

static char *map(void *at, size_t size, int prot, int flags)
{
	return mmap(at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)

static int exec_bit(void)
{
	char *p = map(NULL, PAGE, RW | PROT_EXEC, 0);

	CHECK(p != MAP_FAILED);
	for (int i = 1; i < 4; i++) {
		put_code(p, (char)i);
		CHECK(calls(p) == 0 && result == i);
		CHECK(mprotect(p, PAGE, RW) == 0);
		CHECK(calls(p) == SIGSEGV && fault_at == p && fault_code == SEGV_ACCERR);
		CHECK(reads(p) == 0 && writes(p + 100) == 0);
		CHECK(mprotect(p, PAGE, RW | PROT_EXEC) == 0);
	}
	return 0;
}

/* Unmapped and mapped again elsewhere: the old place is gone, the new one is zero, a
 * third one gets the memory that was freed. */
static int elsewhere(void)
{
	char *p = map(NULL, 16 * PAGE, RW, 0);

	CHECK(p != MAP_FAILED);
	for (int round = 0; round < 20; round++) {
		memset(p, round + 1, 16 * PAGE);
		CHECK(munmap(p, 16 * PAGE) == 0);
		CHECK(reads(p) == SIGSEGV && fault_at == p && fault_code == SEGV_MAPERR);
		CHECK(writes(p + 5 * PAGE) == SIGSEGV);
		char *other = map(p + GIGA, 16 * PAGE, RW, MAP_FIXED_NOREPLACE);
		CHECK(other == p + GIGA);
		for (unsigned long i = 0; i < 16 * PAGE; i += PAGE)
			CHECK(other[i] == 0);
		memset(other, 99, 16 * PAGE);
		CHECK(reads(p) == SIGSEGV);
		CHECK(map(p, 16 * PAGE, RW, MAP_FIXED_NOREPLACE) == p);
		for (unsigned long i = 0; i < 16 * PAGE; i += PAGE)
			CHECK(p[i] == 0);
		CHECK(munmap(other, 16 * PAGE) == 0);
	}
	return 0;
}

static int down(void)
{
	char *p = map(NULL, 8 * PAGE, RW, 0);

	CHECK(p != MAP_FAILED);
	memset(p, 5, 8 * PAGE);
	for (int i = 0; i < 10; i++) {
		CHECK(mprotect(p + 2 * PAGE, 3 * PAGE, PROT_READ) == 0);
		CHECK(writes(p + 2 * PAGE) == SIGSEGV && fault_code == SEGV_ACCERR && p[2 * PAGE] == 5);
		CHECK(writes(p + PAGE) == 0 && writes(p + 5 * PAGE) == 0);
		CHECK(mprotect(p + 2 * PAGE, 3 * PAGE, PROT_NONE) == 0);
		CHECK(reads(p + 3 * PAGE) == SIGSEGV && fault_at == p + 3 * PAGE);
		CHECK(mprotect(p + 2 * PAGE, 3 * PAGE, RW) == 0);
		CHECK(p[3 * PAGE] == 5 && writes(p + 3 * PAGE) == 0);
		p[3 * PAGE] = p[2 * PAGE] = 5;
	}
	return 0;
}

/* Written after a fork by both: neither sees the other's, whoever is first. */
static int forked(void)
{
	char *p = map(NULL, 64 * PAGE, RW, 0);
	volatile char *s = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	CHECK(p != MAP_FAILED && s != MAP_FAILED);
	memset(p, 1, 64 * PAGE);
	for (int parent_first = 0; parent_first < 2; parent_first++) {
		s[0] = 0;
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			while (parent_first && s[0] == 0)
				usleep(100);
			for (unsigned long i = 0; i < 64; i++) {
				CHECK(p[i * PAGE] == 1);
				p[i * PAGE] = 2;
				CHECK(p[i * PAGE + 1] == 1);
			}
			s[0] = 2;
			while (!parent_first && s[0] != 3)
				usleep(100);
			for (unsigned long i = 0; i < 64; i++)
				CHECK(p[i * PAGE] == 2);
			_exit(0);
		}
		while (!parent_first && s[0] == 0)
			usleep(100);
		for (unsigned long i = 0; i < 64; i++) {
			CHECK(p[i * PAGE] == 1);
			p[i * PAGE] = 3;
		}
		s[0] = 3;
		CHECK(waitpid(child, &status, 0) == child && status == 0);
		for (unsigned long i = 0; i < 64; i++) {
			CHECK(p[i * PAGE] == 3);
			p[i * PAGE] = 1;
		}
	}
	return 0;
}

/* Mapped over what is there: other memory, less rights. */
static int fixed(void)
{
	int fd = open(file, O_RDWR);
	char text[2 * PAGE];
	char *p = map(NULL, 4 * PAGE, RW, 0);

	CHECK(p != MAP_FAILED && fd >= 0);
	memset(text, 'f', sizeof text);
	CHECK(write(fd, text, sizeof text) == sizeof text);
	for (int i = 0; i < 10; i++) {
		memset(p, 7, 4 * PAGE);
		CHECK(mmap(p + PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == p + PAGE);
		CHECK(p[0] == 7 && p[PAGE] == 'f' && p[2 * PAGE] == 'f' && p[3 * PAGE] == 7);
		CHECK(writes(p + PAGE) == SIGSEGV && writes(p) == 0);
		CHECK(map(p + PAGE, 2 * PAGE, RW, MAP_FIXED) == p + PAGE);
		CHECK(p[PAGE] == 0 && writes(p + PAGE) == 0);
	}
	return 0;
}

/* Discarded pages are zero again, those of a file what is in the file. */
static int discard(void)
{
	int fd = open(file, O_RDWR);
	char *p = map(NULL, 8 * PAGE, RW, 0), *q;

	CHECK(fd >= 0 && write(fd, "file", 4) == 4);
	q = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && q != MAP_FAILED);
	for (int i = 0; i < 10; i++) {
		memset(p, 9, 8 * PAGE);
		CHECK(madvise(p + PAGE, 2 * PAGE, MADV_DONTNEED) == 0);
		CHECK(p[0] == 9 && p[PAGE] == 0 && p[2 * PAGE] == 0 && p[3 * PAGE] == 9);
		CHECK(q[0] == 'f');
		q[0] = 'x';
		CHECK(madvise(q, PAGE, MADV_DONTNEED) == 0);
		CHECK(q[0] == 'f');
		CHECK(pwrite(fd, i % 2 ? "f" : "F", 1, 1) == 1 && q[1] == (i % 2 ? 'f' : 'F'));
	}
	CHECK(madvise(p, 8 * PAGE, MADV_DONTFORK) == 0);
	int status;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(reads(p) == SIGSEGV);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0 && reads(p) == 0);
	return 0;
}

/* Moved, grown and cut: contents go along, the old place is gone. */
static int remap(void)
{
	char *p = map(NULL, 4 * PAGE, RW, 0), *room = map(NULL, GIGA, PROT_NONE, MAP_NORESERVE);

	CHECK(p != MAP_FAILED && room != MAP_FAILED);
	for (unsigned long i = 0; i < 10; i++) {
		for (unsigned long k = 0; k < 4; k++)
			p[k * PAGE] = (char)(i + k);
		char *q = mremap(p, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + i * 32 * MEGA);
		CHECK(q == room + i * 32 * MEGA);
		for (unsigned long k = 0; k < 4; k++)
			CHECK(q[k * PAGE] == (char)(i + k));
		CHECK(q[4 * PAGE] == 0 && q[5 * PAGE] == 0 && writes(q + 5 * PAGE) == 0);
		CHECK(reads(p) == SIGSEGV && writes(p + 3 * PAGE) == SIGSEGV);
		CHECK(mremap(q, 6 * PAGE, 4 * PAGE, 0) == q);
		CHECK(reads(q + 4 * PAGE) == SIGSEGV && q[3 * PAGE] == (char)(i + 3));
		/* Back to where it was, with the old place left empty. */
		CHECK(mremap(q, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, p) == p);
		CHECK(p[0] == (char)i && q[0] == 0 && writes(q) == 0);
	}
	return 0;
}

static int shrink(void)
{
	for (int i = 0; i < 10; i++) {
		char *p = map(NULL, 4 * MEGA, RW, 0);
		CHECK(p != MAP_FAILED);
		for (unsigned long k = 0; k < 4 * MEGA; k += PAGE)
			p[k] = 1;
		CHECK(munmap(p + MEGA, 2 * MEGA) == 0);
		CHECK(reads(p + MEGA) == SIGSEGV && reads(p + 3 * MEGA - 1) == SIGSEGV);
		CHECK(p[MEGA - PAGE] == 1 && p[3 * MEGA] == 1);
		CHECK(munmap(p, 4 * MEGA) == 0);
		CHECK(reads(p) == SIGSEGV);
	}
	return 0;
}

static int heap(void)
{
	char *p = sbrk(0);

	for (int i = 0; i < 10; i++) {
		CHECK(sbrk((intptr_t)(3 * MEGA)) == p);
		for (unsigned long k = 0; k < 3 * MEGA; k += PAGE)
			CHECK(p[k] == 0 || k < PAGE);
		memset(p, 1, 3 * MEGA);
		CHECK(sbrk(-(intptr_t)(2 * MEGA)) == p + 3 * MEGA);
		CHECK(reads(p + MEGA + PAGE) == SIGSEGV && p[0] == 1);
		CHECK(sbrk(-(intptr_t)MEGA) == p + MEGA && sbrk(0) == p);
	}
	return 0;
}

static int segment(void)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600);
	char *p = map(NULL, 8 * PAGE, RW, 0);

	CHECK(id >= 0 && p != MAP_FAILED);
	memset(p, 4, 8 * PAGE);
	CHECK(shmat(id, p + 2 * PAGE, 0) == (void *)-1 && errno == EINVAL);
	CHECK(shmat(id, p + 2 * PAGE, SHM_REMAP) == p + 2 * PAGE);
	CHECK(p[0] == 4 && p[2 * PAGE] == 0 && p[5 * PAGE] == 0 && p[6 * PAGE] == 4);
	p[2 * PAGE] = 8;
	char *q = shmat(id, NULL, SHM_RDONLY);
	CHECK(q != (void *)-1 && q[0] == 8 && writes(q) == SIGSEGV);
	CHECK(shmdt(p + 2 * PAGE) == 0);
	CHECK(reads(p + 2 * PAGE) == SIGSEGV && p[6 * PAGE] == 4 && q[0] == 8);
	char *r = map(NULL, 8 * PAGE, RW | PROT_EXEC, 0);
	CHECK(r != MAP_FAILED);
	memset(r, 4, 8 * PAGE);
	put_code(r + PAGE, 3);
	CHECK(calls(r + PAGE) == 0 && result == 3);
	CHECK(shmat(id, r, SHM_REMAP | SHM_RDONLY) == r && r[0] == 8 && r[PAGE] == 0 && r[4 * PAGE] == 4);
	CHECK(writes(r) == SIGSEGV && calls(r + PAGE) == SIGSEGV && shmdt(r) == 0);
	CHECK(shmat(id, (void *)(SLOT + GIGA), 0) == (void *)-1 && errno == EINVAL);
	CHECK(shmat(id, (void *)(SLOT - PAGE), SHM_REMAP) == (void *)-1 && errno == EINVAL);
	CHECK(shmdt(q) == 0 && shmctl(id, IPC_RMID, NULL) == 0 && reads(q) == SIGSEGV);
	return 0;
}

static int __attribute__((noinline)) deep(unsigned long left)
{
	volatile char frame[2 * PAGE];

	frame[0] = (char)left;
	frame[sizeof frame - 1] = 1;
	if (left < sizeof frame)
		return 0;
	return deep(left - sizeof frame) + frame[0] - (char)left;
}

static int stack(void)
{
	CHECK(deep(5 * MEGA) == 0);
	/* Touched far below the stack pointer, by the processor and by the kernel. */
	char here, *volatile base = &here;
	char *p = base - 6 * MEGA;
	CHECK(reads(p) == 0 && writes(p - 100 * PAGE) == 0);
	int fds[2];
	CHECK(pipe(fds) == 0 && write(fds[1], "x", 1) == 1);
	CHECK(read(fds[0], p - 200 * PAGE, 1) == 1 && p[-200L * (long)PAGE] == 'x');
	/* A mapping that grows down stops before its neighbour. */
	char *room = map(NULL, 8 * MEGA, PROT_READ, 0);
	CHECK(room != MAP_FAILED && munmap(room + 4 * MEGA, 4 * MEGA) == 0);
	char *top = room + 8 * MEGA;
	CHECK(map(top - PAGE, PAGE, RW, MAP_FIXED | MAP_GROWSDOWN) == top - PAGE);
	CHECK(writes(top - MEGA) == 0 && writes(top - 2 * MEGA) == 0 && top[-(long)MEGA] == 1);
	CHECK(writes(room + 4 * MEGA) == SIGSEGV);
	/* A stack that is too large ends in a signal on another stack. */
	struct rlimit limit = {8 * MEGA, RLIM_INFINITY};
	CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
	CHECK(writes(base - 9 * MEGA) == SIGSEGV);
	fault_signal = 0;
	if (!sigsetjmp(back, 1))
		deep(64 * MEGA);
	CHECK(fault_signal == SIGSEGV);
	return 0;
}

static int guard(void)
{
	char *p = map(NULL, 3 * PAGE, RW, 0);

	CHECK(p != MAP_FAILED);
	CHECK(mprotect(p, PAGE, PROT_NONE) == 0 && mprotect(p + 2 * PAGE, PAGE, PROT_NONE) == 0);
	CHECK(writes(p + PAGE) == 0 && writes(p + 2 * PAGE - 1) == 0);
	CHECK(writes(p + 2 * PAGE) == SIGSEGV && fault_at == p + 2 * PAGE && fault_code == SEGV_ACCERR);
	CHECK(reads(p + PAGE - 1) == SIGSEGV && fault_at == p + PAGE - 1 && fault_code == SEGV_ACCERR);
	/* Across the border: the address of the first byte that is not there. */
	fault_signal = 0;
	if (!sigsetjmp(back, 1))
		*(volatile uint64_t *)(void *)(p + 2 * PAGE - 4) = 1;
	CHECK(fault_signal == SIGSEGV && fault_at == p + 2 * PAGE);
	int fds[2];
	CHECK(pipe(fds) == 0 && write(fds[1], p, 1) == -1 && errno == EFAULT);
	CHECK(write(fds[1], p + PAGE, 2 * PAGE) == PAGE);
	return 0;
}

/* A file that is cut below its mapping: SIGBUS beyond its end, until it grows. */
static int truncated(void)
{
	int fd = open(file, O_RDWR);

	CHECK(fd >= 0 && ftruncate(fd, 4 * PAGE) == 0);
	for (int flags = MAP_SHARED; flags <= MAP_PRIVATE; flags++) {
		char *p = mmap(NULL, 4 * PAGE, RW, flags, fd, 0);
		CHECK(p != MAP_FAILED);
		for (int i = 0; i < 5; i++) {
			CHECK(reads(p + 3 * PAGE) == 0 && (flags == MAP_PRIVATE || writes(p + PAGE) == 0));
			CHECK(ftruncate(fd, PAGE) == 0);
			CHECK(reads(p + PAGE) == SIGBUS && fault_at == p + PAGE && fault_code == BUS_ADRERR);
			CHECK(writes(p + 3 * PAGE + 5) == SIGBUS && fault_at == p + 3 * PAGE + 5);
			CHECK(reads(p) == 0);
			CHECK(ftruncate(fd, 4 * PAGE) == 0);
			CHECK(reads(p + PAGE) == 0 && p[PAGE] == 0);
		}
		CHECK(munmap(p, 4 * PAGE) == 0);
	}
	return 0;
}

static int huge(void)
{
	char *p = map(NULL, 8192 * GIGA, RW, MAP_NORESERVE);

	CHECK(p != MAP_FAILED);
	for (unsigned long i = 0; i < 8192; i += 64)
		CHECK(p[i * GIGA] == 0 && writes(p + i * GIGA + 12345) == 0);
	CHECK(madvise(p, 8192 * GIGA, MADV_DONTNEED) == 0 && p[12345] == 0);
	CHECK(mprotect(p + GIGA, 4096 * GIGA, PROT_READ) == 0 && writes(p + 2048 * GIGA) == SIGSEGV && reads(p + 2048 * GIGA) == 0);
	CHECK(munmap(p, 8192 * GIGA) == 0 && reads(p) == SIGSEGV);
	/* Pages of two megabytes, where the kernel makes them. */
	p = map(NULL, 64 * MEGA, RW, 0);
	CHECK(p != MAP_FAILED);
	madvise(p, 64 * MEGA, MADV_HUGEPAGE);
	memset(p, 3, 64 * MEGA);
	CHECK(munmap(p + 32 * MEGA + PAGE, PAGE) == 0);
	CHECK(reads(p + 32 * MEGA + PAGE) == SIGSEGV && p[32 * MEGA] == 3 && p[32 * MEGA + 2 * PAGE] == 3);
	CHECK(mprotect(p + 3 * MEGA, PAGE, PROT_READ) == 0 && writes(p + 3 * MEGA) == SIGSEGV && writes(p + 3 * MEGA - 1) == 0);
	return 0;
}

/* The variant host's memory is not there for the program. */
static int slot(void)
{
	int fds[2];

	CHECK(pipe(fds) == 0);
	for (unsigned long at = SLOT; at < SLOT_END; at += at < SLOT + GIGA ? 4 * MEGA : 32 * GIGA) {
		char *p = (char *)at;
		CHECK(reads(p) == SIGSEGV && fault_code == SEGV_MAPERR);
		CHECK(writes(p) == SIGSEGV && calls(p + PAGE) == SIGSEGV);
		CHECK(write(fds[1], p, 1) == -1 && errno == EFAULT);
		errno = 0;
		CHECK(map(p, PAGE, RW, MAP_FIXED) == MAP_FAILED && errno == ENOMEM);
		CHECK(map(p, PAGE, RW, MAP_FIXED_NOREPLACE) == MAP_FAILED && errno == EEXIST);
		char *q = map(p, PAGE, RW, 0);
		CHECK(q != MAP_FAILED && ((unsigned long)q < SLOT || (unsigned long)q >= SLOT_END));
		CHECK(mremap(q, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == MAP_FAILED && errno == ENOMEM && writes(q) == 0);
		CHECK(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
		CHECK(mremap(p, 0, PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
		CHECK(munmap(p, PAGE) == 0 && munmap(q, PAGE) == 0);
		CHECK(mprotect(p, PAGE, RW) == -1 && errno == ENOMEM);
		CHECK(madvise(p, PAGE, MADV_DONTNEED) == -1 && errno == ENOMEM);
		CHECK(msync(p, PAGE, MS_SYNC) == -1 && errno == ENOMEM);
		CHECK(mlock(p, PAGE) == -1 && errno == ENOMEM && munlock(p, PAGE) == -1 && errno == ENOMEM);
		unsigned char in_core;
		CHECK(mincore(p, PAGE, &in_core) == -1 && errno == ENOMEM);
	}
	return 0;
}

/* Ranges that reach into the slot or over it concern what is outside of it. */
static int around_slot(void)
{
	char *below = map((void *)(SLOT - 2 * PAGE), 2 * PAGE, RW, MAP_FIXED_NOREPLACE);
	char *above = map((void *)SLOT_END, 2 * PAGE, RW, MAP_FIXED_NOREPLACE);
	unsigned long all = SLOT_END - SLOT + 4 * PAGE;

	CHECK(below == (void *)(SLOT - 2 * PAGE) && above == (void *)SLOT_END);
	memset(below, 1, 2 * PAGE);
	memset(above, 1, 2 * PAGE);
	CHECK(map(below, 3 * PAGE, RW, MAP_FIXED) == MAP_FAILED && errno == ENOMEM && below[0] == 1);
	CHECK(map(below, all, RW, MAP_FIXED | MAP_NORESERVE) == MAP_FAILED && errno == ENOMEM && above[0] == 1);
	CHECK(mprotect(below + PAGE, 2 * PAGE, PROT_READ) == -1 && errno == ENOMEM);
	CHECK(writes(below + PAGE) == SIGSEGV && writes(below) == 0);
	CHECK(mprotect(below, all, RW) == -1 && errno == ENOMEM && writes(below + PAGE) == 0);
	CHECK(mprotect(above - PAGE, 2 * PAGE, PROT_READ) == -1 && errno == ENOMEM && writes(above) == 0);
	CHECK(madvise(below, all, MADV_DONTNEED) == -1 && errno == ENOMEM && below[0] == 0 && above[0] == 0);
	CHECK(madvise(below, all, MADV_DONTFORK) == -1 && errno == ENOMEM);
	int status;
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(reads(below) == SIGSEGV && reads(above) == SIGSEGV);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(munmap(below, 0x7fffffffffff - (unsigned long)below) == -1 && errno == EINVAL && reads(below) == 0);
	CHECK(mremap(below, 2 * PAGE, 4 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(munmap(below + PAGE, all - 2 * PAGE) == 0);
	CHECK(reads(below) == 0 && reads(below + PAGE) == SIGSEGV && reads(above) == SIGSEGV && reads(above + PAGE) == 0);
	CHECK(getpid() > 0);
	return 0;
}

static unsigned long locked(void)
{
	char line[256];
	unsigned long kb = ~0UL;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof line, f))
		sscanf(line, "VmLck: %lu", &kb);
	fclose(f);
	return kb * 1024;
}

static int lock_all(void)
{
	char *p = map(NULL, MEGA, RW, 0), *none = map(NULL, MEGA, PROT_NONE, 0);
	unsigned char in_core[2];

	CHECK(p != MAP_FAILED && none != MAP_FAILED);
	CHECK(mlockall(MCL_CURRENT) == 0 && mincore(p + MEGA / 2, 2 * PAGE, in_core) == 0 && in_core[1] == 1);
	CHECK(locked() > 2 * MEGA && locked() < 64 * MEGA);
	CHECK(munlockall() == 0 && locked() == 0);
	CHECK(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
	p = map(NULL, MEGA, RW, 0);
	CHECK(p != MAP_FAILED && mincore(p + MEGA / 2, 2 * PAGE, in_core) == 0 && in_core[1] == 1);
	CHECK(munlockall() == 0);
	CHECK(mlockall(MCL_CURRENT | MCL_ONFAULT) == 0 && locked() > 2 * MEGA && munlockall() == 0);
	CHECK(mlockall(MCL_ONFAULT) == -1 && errno == EINVAL && mlockall(64) == -1 && errno == EINVAL);
	return 0;
}

/* A child that shares memory has such a child itself, and one with its own: the
 * processors that they leave are none of their parents'. */
static int vforks(void)
{
	static volatile int count;
	int status;

	for (volatile int i = 1; i <= 3; i++) {
		pid_t child = vfork();
		CHECK(child >= 0);
		if (child == 0) {
			pid_t grandchild = vfork();
			if (grandchild == 0) {
				count++;
				_exit(1);
			}
			if (waitpid(grandchild, &status, 0) != grandchild || status != 1 << 8)
				_exit(2);
			grandchild = fork();
			if (grandchild == 0)
				_exit(3);
			_exit(waitpid(grandchild, &status, 0) == grandchild && status == 3 << 8 ? 4 : 5);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 4 << 8 && count == i);
	}
	return 0;
}

static unsigned long text_limit(const char *name, int hard)
{
	char line[256];
	FILE *f = fopen("/proc/self/limits", "r");
	unsigned long value = 0;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			value = strtoul(line + (hard ? 47 : 26), NULL, 10);
	fclose(f);
	return value;
}

/* Lowered limits hold, in children and over an exec, where they cannot be raised
 * again without privileges; what is used up does not keep a process from forking. */
static int limits(void)
{
	static const unsigned long now = 64 * MEGA;
	struct rlimit files = {50, 60}, memory = {now, 2 * now}, got;
	int fd, status;

	CHECK(getrlimit(RLIMIT_AS, &got) == 0);
	CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0 && setrlimit(RLIMIT_AS, &memory) == 0);
	for (int generation = 0; generation < 2; generation++) {
		CHECK(generation == 0 || close(49) == 0);
		CHECK(getrlimit(RLIMIT_NOFILE, &got) == 0 && got.rlim_cur == 50 && got.rlim_max == 60);
		CHECK(getrlimit(RLIMIT_AS, &got) == 0 && got.rlim_cur == now && got.rlim_max == 2 * now);
		CHECK(text_limit("Max open files", 0) == 50 && text_limit("Max open files", 1) == 60);
		CHECK(text_limit("Max address space", 0) == now && text_limit("Max address space", 1) == 2 * now);
		void *p = map(NULL, now / 2, RW, 0);
		CHECK(p != MAP_FAILED && map(NULL, now, PROT_NONE, 0) == MAP_FAILED && errno == ENOMEM);
		CHECK(munmap(p, now / 2) == 0);
		CHECK(getrlimit(77, &got) == -1 && errno == EINVAL && syscall(SYS_getrlimit, RLIMIT_AS, NULL) == -1 && errno == EFAULT);
		CHECK(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 8, NULL) == -1 && errno == EFAULT);
		struct rlimit odd = {61, 60};
		CHECK(setrlimit(RLIMIT_NOFILE, &odd) == -1 && errno == EINVAL);
		while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
			CHECK(fd < 50);
		CHECK(errno == EMFILE);
		pid_t child = generation ? vfork() : fork();
		CHECK(child >= 0);
		if (child == 0) {
			if (generation) {
				execl("/proc/self/exe", "limited", "limited", "", NULL);
				_exit(255);
			}
			continue;
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
		files.rlim_cur = 60;
		CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
		CHECK((fd = open("/dev/null", O_RDONLY)) == 50);
		return 0;
	}
	return 0;
}

/* Pages of the program in memory. */
static long resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, pages = -1;

	if (f && fscanf(f, "%ld %ld", &size, &pages) != 2)
		pages = -1;
	if (f)
		fclose(f);
	return pages;
}

/* Memory that is filled from one end to the other, in both directions, has what was
 * written; of memory that is touched here and there no more becomes resident. */
static int ahead(void)
{
	const unsigned long size = 256 * MEGA;

	for (int down = 0; down < 2; down++) {
		char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(p != MAP_FAILED && madvise(p, size, MADV_NOHUGEPAGE) == 0);
		long before = resident();
		for (unsigned long i = 0; i < size; i += 2 * MEGA)
			p[down ? size - PAGE - i : i] = 1;
		long sparse = resident() - before;
		CHECK(before > 0 && sparse < 4 * (long)(size / (2 * MEGA)));
		CHECK(munmap(p, size) == 0);
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(p != MAP_FAILED && madvise(p, size, MADV_NOHUGEPAGE) == 0);
		for (unsigned long i = 0; i < size; i += PAGE) {
			unsigned long at = down ? size - PAGE - i : i;
			CHECK(p[at] == 0);
			*(unsigned long *)(p + at) = at;
		}
		for (unsigned long i = 0; i < size; i += PAGE)
			CHECK(*(unsigned long *)(p + i) == i && p[i + PAGE - 1] == 0);
		CHECK(munmap(p, size) == 0);
	}
	return 0;
}

static int limited(void)
{
	struct rlimit got;
	int status;

	CHECK(getrlimit(RLIMIT_NOFILE, &got) == 0 && got.rlim_cur == 50 && got.rlim_max == 60);
	CHECK(getrlimit(RLIMIT_AS, &got) == 0 && got.rlim_cur == 64 * MEGA && got.rlim_max == 128 * MEGA);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (setgid(65534) == 0 && setuid(65534) == 0) {
			struct rlimit more = {50, 61};
			CHECK(setrlimit(RLIMIT_NOFILE, &more) == -1 && errno == EPERM);
			more.rlim_cur = more.rlim_max = 60;
			CHECK(setrlimit(RLIMIT_NOFILE, &more) == 0);
			more.rlim_cur = more.rlim_max = 70;
			CHECK(setrlimit(RLIMIT_NOFILE, &more) == -1 && errno == EPERM);
		}
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*f)(void);
	} tests[] = {
		{"exec-bit", exec_bit}, {"elsewhere", elsewhere}, {"down", down}, {"fork", forked}, {"fixed", fixed},
		{"discard", discard}, {"remap", remap}, {"shrink", shrink}, {"heap", heap}, {"segment", segment},
		{"stack", stack}, {"guard", guard}, {"truncated", truncated}, {"huge", huge}, {"slot", slot},
		{"around-slot", around_slot}, {"lock-all", lock_all},
		{"ahead", ahead}, {"limits", limits}, {"vforks", vforks}, {"limited", limited},
	};
	static char altstack[65536];
	stack_t other = {.ss_sp = altstack, .ss_size = sizeof altstack};
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	if (argc != 3 || sigaltstack(&other, NULL) < 0 || sigaction(SIGSEGV, &sa, NULL) < 0 || sigaction(SIGBUS, &sa, NULL) < 0)
		return 255;
	file = argv[2];
	for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++)
		if (!strcmp(argv[1], tests[i].name))
			return tests[i].f();
	return 254;
}
