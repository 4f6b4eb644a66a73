/*
 * A mapped file that is cut by its name, and memory that mprotect(2) does not make
 * writable because the descriptor was not.
 */
#include "check.h"
#include <setjmp.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static sigjmp_buf out;

static void faulted(int sig) { siglongjmp(out, sig); }

/* The signal that a byte raises when it is read, or written, 0 for none. */
static int touch(volatile char *p, int write)
{
	int sig = sigsetjmp(out, 1);
	if (sig != 0)
		return sig;
	if (write)
		*p = 'w';
	else
		(void)*p;
	return 0;
}

static void by_name(void) { CHECK(truncate("file", 10) == 0); }
static void by_link(void) { CHECK(truncate("link", 10) == 0); }
static void by_open(void)
{
	int fd = open("link", O_WRONLY | O_TRUNC);
	CHECK(fd >= 0 && pwrite(fd, "0123456789", 10, 0) == 10 && close(fd) == 0);
}
static void by_creat(void)
{
	int fd = creat("file", 0644);
	CHECK(fd >= 0 && pwrite(fd, "0123456789", 10, 0) == 10 && close(fd) == 0);
}
static void by_openat2(void)
{
	uint64_t how[3] = {O_RDWR | O_TRUNC, 0, 0};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, "file", how, sizeof how);
	CHECK(fd >= 0 && pwrite(fd, "0123456789", 10, 0) == 10 && close(fd) == 0);
}

/* The file is cut, what was behind the cut is gone, and stays so when it grows again. */
static void cut(const char *name, void (*by)(void))
{
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && ftruncate(fd, 3 * PAGE) == 0);
	char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	memset(p, 'x', 3 * PAGE);
	by();
	CHECK(touch(p + 2 * PAGE, 0) == SIGBUS && touch(p + PAGE, 1) == SIGBUS && touch(p, 0) == 0);
	CHECK(truncate("link", 3 * (off_t)PAGE) == 0);
	CHECK(p[9] != 0 && p[10] == 0 && p[PAGE] == 0 && p[2 * PAGE] == 0);
	p[2 * PAGE] = 'y';
	CHECK(pwrite(fd, "z", 1, 2 * PAGE + 1) == 1 && p[2 * PAGE] == 'y' && p[2 * PAGE + 1] == 'z');
	CHECK(msync(p, 3 * PAGE, MS_SYNC) == 0 && munmap(p, 3 * PAGE) == 0 && close(fd) == 0);
	ok(name);
}

/* What has become longer by its name is written to at once, and mapped again while the
 * program goes on with that. */
static void longer(void)
{
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	volatile unsigned *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && truncate("link", 4 * (off_t)PAGE) == 0);
	for (unsigned i = 1; i <= 20; i++) {
		for (int n = 0; n < 1000000; n++)
			p[PAGE / 2]++;
		void *again = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
		CHECK(again != MAP_FAILED && munmap(again, 4 * PAGE) == 0 && p[PAGE / 2] == i * 1000000);
	}
	CHECK(munmap((void *)p, 4 * PAGE) == 0 && close(fd) == 0);
	ok("longer by its name");
}

static void unwritable(const char *file, const char *name)
{
	int ro = open(file, O_RDONLY);
	CHECK(ro >= 0);
	char *p = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	/* Its own memory, and behind it the file's. */
	CHECK(mmap(p + 2 * PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, ro, 0) == p + 2 * PAGE);
	CHECK_ERR(mprotect(p + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE), EACCES);
	CHECK(touch(p + 2 * PAGE, 1) == SIGSEGV);
	CHECK(mprotect(p + 2 * PAGE, 2 * PAGE, PROT_NONE) == 0 && touch(p + 3 * PAGE, 0) == SIGSEGV);
	CHECK_ERR(mprotect(p + 3 * PAGE, PAGE, PROT_WRITE), EACCES);
	CHECK(touch(p + 3 * PAGE, 0) == SIGSEGV && mprotect(p + 2 * PAGE, 2 * PAGE, PROT_READ) == 0);
	/* What is in front of it gets what was asked for. */
	CHECK(touch(p, 1) == SIGSEGV);
	CHECK_ERR(mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE), EACCES);
	CHECK(touch(p + PAGE, 1) == 0 && p[PAGE] == 'w' && touch(p + 2 * PAGE, 1) == SIGSEGV && touch(p + 2 * PAGE, 0) == 0);
	char *moved = mremap(p + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p);
	CHECK(moved == p);
	CHECK_ERR(mprotect(p, PAGE, PROT_READ | PROT_WRITE), EACCES);
	CHECK(touch(p, 1) == SIGSEGV && munmap(p, 4 * PAGE) == 0 && close(ro) == 0);
	ok(name);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	struct sigaction sa = {.sa_handler = faulted};
	CHECK(sigaction(SIGBUS, &sa, NULL) == 0 && sigaction(SIGSEGV, &sa, NULL) == 0);
	CHECK(symlink("file", "link") == 0);
	cut("by its name", by_name);
	cut("by a link", by_link);
	cut("by O_TRUNC", by_open);
	cut("by creat", by_creat);
	cut("by openat2", by_openat2);
	longer();
	unwritable("file", "mprotect of what may be read only");
	/* A program's file that nobody has open to write is no other's in the variants. */
	unwritable("/proc/self/exe", "of what nobody writes");
	return 0;
}
