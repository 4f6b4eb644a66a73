/*
 * Calls about the part of the address space where a monitor may keep what it has in
 * the program's process: for the program nothing is mapped there. And every
 * descriptor number is closed, duplicated, and duplicated to.
 *
 * With a second argument the program leaves that memory alone, where a monitor keeps it in
 * the program's reach: it is not touched by the program's own instructions.
 */
#include "hostile.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define HOST 0x520000000000UL
#define HOST_END 0x530000000000UL

static const unsigned long guesses[] = {
	HOST, HOST + 0x1000, HOST + 0x1010, HOST + 0x8000000, HOST + 0x10000000, HOST + 0x10010000, HOST + 0x2000000000,
	HOST + 0x2000003000, HOST + 0x2000400000, HOST + 0x4000000000, HOST + 0x4000001000, HOST + 0x4000004000, HOST + 0x4000010000,
	HOST_END - PAGE,
};

static int ranges(unsigned long at)
{
	for (int i = 0; i < 2; i++) {
		unsigned long n = i == 0 ? PAGE : 0x1000000000;
		printf("mprotect %ld", raw3(SYS_mprotect, at, n, 7));
		printf(" madvise %ld %ld %ld", raw3(SYS_madvise, at, n, 4), raw3(SYS_madvise, at, n, 9), raw3(SYS_madvise, at, n, 21));
		printf(" msync %ld mincore %ld", raw3(SYS_msync, at, n, 4), raw3(SYS_mincore, at, PAGE, bad_pointers[2]));
		printf(" mlock %ld munlock %ld", raw3(SYS_mlock, at, n, 0), raw3(SYS_munlock, at, n, 0));
		printf(" mremap %ld %ld %ld", raw6(SYS_mremap, (long)at, (long)n, (long)n + 4096, 1, 0, 0),
		       raw6(SYS_mremap, (long)at, 0, (long)n, 1, 0, 0), raw6(SYS_mremap, (long)at, (long)n, (long)n, 3, 0x10000000, 0));
		printf(" brk %d\n", raw3(SYS_brk, at, 0, 0) == (long)at);
	}
	printf("unaligned: munmap %ld mprotect %ld\n", raw3(SYS_munmap, at + 1, PAGE, 0), raw3(SYS_mprotect, at + 1, PAGE, 1));
	CHECK(raw3(SYS_munmap, at & ~(PAGE - 1), PAGE, 0) == 0);
	return 0;
}

static int pointers(unsigned long at)
{
	int zero = open("/dev/zero", O_RDWR), fds[2];
	struct iovec v = {(void *)at, 64};
	CHECK(zero >= 0 && pipe(fds) == 0 && write(fds[1], "text", 4) == 4);
	printf("read %ld %ld", raw3(SYS_read, zero, at, 64), raw3(SYS_read, fds[0], at, 4));
	printf(" readv %ld %ld", raw3(SYS_readv, zero, &v, 1), raw3(SYS_readv, zero, at, 1));
	printf(" write %ld %ld", raw3(SYS_write, fds[1], at, 64), raw3(SYS_writev, fds[1], &v, 1));
	printf(" open %ld stat %ld", raw3(SYS_open, at, 0, 0), raw3(SYS_stat, "/", at, 0));
	printf(" process_vm %d %d", raw6(SYS_process_vm_readv, getpid(), (long)&(struct iovec){&zero, 4}, 1, (long)&v, 1, 0) > 0,
	       raw6(SYS_process_vm_writev, getpid(), (long)&(struct iovec){&zero, 4}, 1, (long)&v, 1, 0) > 0);
	printf(" sigaction %ld altstack %ld", raw6(SYS_rt_sigaction, SIGUSR1, 0, (long)at, 8, 0, 0), raw3(SYS_sigaltstack, 0, at, 0));
	printf(" exec %ld wait %d futex %ld\n", raw3(SYS_execve, at, 0, 0), raw6(SYS_wait4, -1, (long)at, 1, 0, 0, 0) == -ECHILD,
	       raw6(SYS_futex, (long)at, 1, 1, 0, 0, 0));
	return 0;
}

/* To be mapped there is what only a monitor refuses; nothing of it is harmed. */
static int mapped(unsigned long at)
{
	raw6(SYS_mmap, (long)at, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	raw6(SYS_mmap, (long)at, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	raw6(SYS_mmap, (long)at, 0x1000000000, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	raw6(SYS_mremap, (long)p, PAGE, PAGE, 3, (long)at, 0);
	raw6(SYS_mmap, 0x51ffff000000, 0x1010000000000, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	CHECK(getpid() > 0);
	return 3;
}

static int loads(unsigned long at) { return *(volatile unsigned char *)at; }
static int stores(unsigned long at) { *(volatile unsigned char *)at = 1; return 0; }
static int jumps(unsigned long at) { ((void (*)(void))at)(); return 0; }

static int around(void)
{
	/* From below to above. */
	printf("madvise %ld mprotect %ld", raw3(SYS_madvise, HOST - PAGE, HOST_END - HOST + 2 * PAGE, 4),
	       raw3(SYS_mprotect, HOST - PAGE, HOST_END - HOST + 2 * PAGE, 0));
	printf(" munmap %ld\n", raw3(SYS_munmap, HOST - PAGE, HOST_END - HOST + 2 * PAGE, 0));
	return getpid() > 0 ? 4 : 0;
}

/* Whoever else has descriptors in the process, it is not the program. */
static void none_open(unsigned long from, unsigned long to)
{
	for (unsigned long fd = from; fd < to; fd++) {
		CHECK(raw3(SYS_fcntl, fd, F_GETFD, 0) == -EBADF && raw3(SYS_dup, fd, 0, 0) == -EBADF);
		CHECK(raw3(SYS_dup2, fd, fd, 0) == -EBADF && raw3(SYS_dup2, fd, 0, 0) == -EBADF);
		CHECK(raw3(SYS_close, fd, 0, 0) == -EBADF);
	}
}

static int numbers(void)
{
	struct rlimit r;
	CHECK(raw3(SYS_close_range, 3, ~0U, 0) == 0);
	CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0);
	unsigned long most = r.rlim_max;
	none_open(3, 2000);
	none_open(most > 3000 ? most - 300 : 2000, most + 300);
	none_open((1UL << 20) - 100, (1UL << 20) + 100);
	none_open((1UL << 30) - 100, (1UL << 30) + 100);
	none_open(INT_MAX - 10UL, INT_MAX + 10UL);
	CHECK(raw3(SYS_close_range, 3, ~0U, 4) == 0);
	r.rlim_cur = r.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &r) == 0);
	int last = 0;
	for (unsigned long fd = most - 1; fd > most - 200 && fd > 3; fd--)
		last += raw3(SYS_dup2, 0, fd, 0) == (long)fd;
	printf("duplicates: %d\n", last);
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	reap_exit(pid, 0);
	CHECK(raw3(SYS_close_range, 0, ~0U, 0) == 0);
	char *argv[] = {"true", NULL};
	raw3(SYS_execve, "/bin/true", argv, argv);
	return 5;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	struct rlimit none = {0, 0};
	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	for (size_t i = 0; i < sizeof guesses / sizeof *guesses; i++) {
		printf("guess %zu\n", i);
		CHILD("ranges", ranges(guesses[i]));
		CHILD("pointers", pointers(guesses[i]));
		CHILD("mapped", mapped(guesses[i]));
		if (argc > 2)
			continue;
		CHILD("loads", loads(guesses[i]));
		CHILD("stores", stores(guesses[i]));
		CHILD("jumps", jumps(guesses[i]));
	}
	CHILD("around", around());
	CHILD("numbers", numbers());
	return sting();
}
