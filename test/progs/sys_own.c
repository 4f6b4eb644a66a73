/*
 * What a process has of its own or shares with others: memory, namespaces, what kcmp
 * compares, a table of segments. And files that the host's kernel uses for itself.
 */
#include "sys.h"
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static void memory(void)
{
	static char text[] = "what is there";
	char *copy = at_page_end(14), here[8] = "";
	struct iovec local[] = {{here, 4}, {copy, 14}}, remote[] = {{text, 5}, {text + 5, 9}};
	VALUE(process_vm_readv, getpid(), local, 2, remote, 2, 0);
	printf("%.4s|%.10s\n", here, copy);
	/* Pointers are each variant's own. */
	char *to = NULL, *from = text;
	struct iovec pointer = {&to, sizeof to}, its = {&from, sizeof from};
	VALUE(process_vm_readv, getpid(), &pointer, 1, &its, 1, 0);
	printf("the pointer leads to %s\n", to);
	/* Up to where nothing is. */
	struct iovec end = {copy + 10, PAGE}, large = {text, sizeof text};
	VALUE(process_vm_readv, getpid(), &large, 1, &end, 1, 0);
	VALUE(process_vm_readv, getpid(), local, 2, &(struct iovec){NOWHERE, 8}, 1, 0);
	VALUE(process_vm_readv, getpid(), NOWHERE, 1, remote, 1, 0);
	VALUE(process_vm_readv, getpid(), local, 2, remote, 1025, 0);
	VALUE(process_vm_readv, getpid(), local, 1025, remote, 2, 0);
	VALUE(process_vm_readv, getpid(), local, 0, remote, 0, 0);
	VALUE(process_vm_readv, getpid(), local, 2, remote, 2, 1);
	VALUE(process_vm_readv, -1, local, 2, remote, 2, 0);
	memcpy(here, "tell", 4);
	VALUE(process_vm_writev, getpid(), local, 1, remote, 1, 0);
	printf("%s\n", text);
	char *closed = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(closed != MAP_FAILED);
	VALUE(process_vm_writev, getpid(), local, 1, &(struct iovec){closed, 4}, 1, 0);
	VALUE(process_vm_writev, getpid(), local, 1, &(struct iovec){NOWHERE, 4}, 1, 0);
}

static void common(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644), twin = dup(fd), other = open("f", O_RDONLY), self = getpid();
	VALUE(kcmp, self, self, 0, fd, twin);
	printf("two that are opened differ: %d\n", syscall(SYS_kcmp, self, self, 0, fd, other) > 0);
	VALUE(kcmp, self, self, 0, fd, -1);
	for (int type = 1; type <= 6; type++)
		VALUE(kcmp, self, self, type, 0, 0);
	VALUE(kcmp, self, self, 99, 0, 0);
	VALUE(kcmp, self, 0, 1, 0, 0);
	int ep = epoll_create1(0), p[2];
	CHECK(ep >= 0 && pipe(p) == 0);
	struct epoll_event event = {EPOLLIN, {.fd = 7}};
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &event) == 0);
	unsigned slot[3] = {(unsigned)ep, (unsigned)p[0], 0};
	VALUE(kcmp, self, self, 7, p[0], slot);
	VALUE(kcmp, self, self, 7, p[0], NOWHERE);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int parent = getppid();
		VALUE(kcmp, self, getpid(), 0, fd, twin);
		printf("memory of its own: %d\n", syscall(SYS_kcmp, parent, getpid(), 1, 0, 0) > 0);
		_exit(0);
	}
	reap_exit(child, 0);
}

/* In a child: what is changed here is for good. */
static void namespaces(void)
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int fd = open("/proc/self/ns/uts", O_RDONLY), net = open("/proc/self/ns/net", O_RDONLY);
		struct utsname name;
		VALUE(unshare, 0);
		VALUE(unshare, CLONE_FS);
		VALUE(unshare, CLONE_FS | CLONE_SYSVSEM);
		VALUE(unshare, 1);
		if (CALL(unshare, CLONE_NEWUTS) == 0 && CALL(sethostname, "of-its-own", 10) == 0 && uname(&name) == 0)
			printf("name %s\n", name.nodename);
		VALUE(setns, fd, CLONE_NEWUTS);
		printf("the host's name again: %d\n", uname(&name) == 0 && strcmp(name.nodename, "of-its-own") != 0);
		CALL(unshare, CLONE_NEWNET);
		VALUE(setns, net, CLONE_NEWNET);
		CALL(unshare, CLONE_NEWUTS | CLONE_NEWNET);
		VALUE(setns, net, CLONE_NEWUTS);
		VALUE(setns, -1, CLONE_NEWNET);
		VALUE(setns, (int)syscall(SYS_pidfd_open, getppid(), 0), CLONE_NEWUTS | CLONE_NEWNET);
		_exit(0);
	}
	reap_exit(child, 0);
}

static void segments(void)
{
	char table[64];
	VALUE(modify_ldt, 0, table, sizeof table);
	/* Errors are no negative numbers: the kernel cuts them to 32 bits. */
	CALL(modify_ldt, 2, table, 8);
}

/*
 * Of a process that is about to die memory can be taken before it goes. That it has not
 * gone is made likely: it has to wait for a processor that others have.
 */
static void dying(void)
{
	cpu_set_t one, before;
	int status, taken = 0;
	CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &before))
			CPU_SET(i, &one);
	pid_t busy = fork();
	CHECK(busy >= 0);
	if (busy == 0) {
		CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
		for (;;)
			getppid();
	}
	for (int i = 0; i < 500 && !taken; i++) {
		int ready[2];
		CHECK(pipe(ready) == 0);
		pid_t victim = fork();
		CHECK(victim >= 0);
		if (victim == 0) {
			struct sched_param none = {0};
			char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			CHECK(p != MAP_FAILED && sched_setaffinity(0, sizeof one, &one) == 0);
			CHECK(syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &none) == 0);
			memset(p, 1, 64 * PAGE);
			write_all(ready[1], "x", 1);
			for (;;)
				pause();
		}
		char c;
		CHECK(read_all(ready[0], &c, 1) == 1);
		int fd = (int)syscall(SYS_pidfd_open, victim, 0);
		CHECK(fd >= 0 && kill(victim, SIGKILL) == 0);
		taken = syscall(SYS_process_mrelease, fd, 0) == 0;
		CHECK(waitpid(victim, &status, 0) == victim);
		CHECK(close(fd) == 0 && close(ready[0]) == 0 && close(ready[1]) == 0);
	}
	printf("memory of a dying process taken: %d\n", taken);
	CHECK(kill(busy, SIGKILL) == 0);
	reap_signal(busy, SIGKILL);
}

/* A file with the header of swap space (mkswap(8)). */
static void swap_file(void)
{
	static unsigned char page[PAGE];
	int fd = open("swap", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0);
	unsigned header[3] = {1, 63, 0}; /* version, last page, bad pages */
	for (int i = 0; i < 64; i++)
		write_all(fd, page, sizeof page);
	memcpy(page + 1024, header, sizeof header);
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	CHECK(pwrite(fd, page, sizeof page, 0) == (ssize_t)sizeof page && fsync(fd) == 0 && close(fd) == 0);
}

static void host(void)
{
	VALUE(acct, "none");
	/* No accounting is ended that somebody else has begun. */
	put_file("acct", "", 0, 0600);
	if (CALL(acct, "acct") == 0)
		VALUE(acct, NULL);
	/* It tells of whatever process has ended meanwhile. */
	CHECK(unlink("acct") == 0);
	swap_file();
	VALUE(swapon, "none", 0);
	VALUE(swapoff, "none");
	/* Neither is anything written to it: it has the lowest priority that can be asked for. */
	if (CALL(swapon, "swap", SWAP_FLAG_PREFER) == 0)
		VALUE(swapoff, "swap");
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	memory();
	common();
	namespaces();
	segments();
	dying();
	host();
	return 0;
}
