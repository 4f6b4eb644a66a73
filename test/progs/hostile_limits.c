/*
 * Limits that are lowered until nothing is left, for the program itself and for
 * its children, and filters of system calls. None of it may hit the monitor, which
 * does a part of its work inside the program's processes.
 */
#include "hostile.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>

static void limit(__rlimit_resource_t resource, rlim_t soft)
{
	struct rlimit r;
	CHECK(getrlimit(resource, &r) == 0);
	r.rlim_cur = soft;
	CHECK(setrlimit(resource, &r) == 0);
}

/* Killed by the kernel in the middle of a computation. */
static int processor(void)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_CPU, 1);
	for (volatile int i = 1; i;)
		;
	return 0;
}

static int files(void)
{
	int fds[2], last = -1;
	for (int i = 0; i < 20; i++)
		CHECK((last = open("/proc/self/exe", O_RDONLY)) >= 0);
	limit(RLIMIT_NOFILE, 5);
	char c;
	CHECK(read(last, &c, 1) == 1 && c == '\177');
	CHECK_ERR(open("/dev/null", O_RDONLY), EMFILE);
	CHECK_ERR(pipe(fds), EMFILE);
	CHECK_ERR(dup(0), EMFILE);
	CHECK_ERR(dup2(0, 30), EBADF);
	CHECK_ERR(fcntl(0, F_DUPFD, 10), EINVAL);
	struct pollfd p[6] = {{.fd = -1}, {.fd = -1}, {.fd = -1}, {.fd = -1}, {.fd = -1}, {.fd = -1}};
	CHECK_ERR(poll(p, 6, 0), EINVAL);
	CHECK(poll(p, 5, 0) == 0);
	/* Followers still get the leader's files. */
	char *m = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, last, 0);
	CHECK(m != MAP_FAILED && memcmp(m, "\177ELF", 4) == 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(open("/dev/null", O_RDONLY) == -1 ? errno : 0);
	reap_exit(pid, EMFILE);
	for (int fd = 3; fd <= last; fd++)
		close(fd);
	limit(RLIMIT_NOFILE, 3);
	/* The loader finds no descriptor for the C library. */
	CHECK(open("/dev/null", O_RDONLY) == -1 && dup2(open("/dev/null", O_WRONLY), 2) == -1);
	close(2);
	execl("/bin/true", "true", (char *)NULL);
	return errno;
}

/* Little or no more memory than there is; what an exec gives then is the kernel's
 * affair, and not the same under a monitor. */
static int memory(__rlimit_resource_t resource, rlim_t size)
{
	limit(RLIMIT_CORE, 0);
	limit(resource, size);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED)
		*p = 1;
	sbrk(PAGE);
	fork();
	close(1);
	close(2);
	execl("/bin/sh", "sh", "-c", "/bin/true | /bin/true", (char *)NULL);
	return 1;
}

static int data(void)
{
	/* 0 is no limit for programs that may raise it (mm/mmap.c). */
	limit(RLIMIT_DATA, PAGE);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(sbrk(16 * PAGE) == (void *)-1 && errno == ENOMEM);
	return 0;
}

__attribute__((noinline)) static int deep(int n)
{
	volatile char frame[1024];
	frame[0] = (char)n;
	return n == 0 ? 0 : deep(n - 1) + frame[0] - (char)n;
}

/* The stack of a child that is told to use it when its limit is set. */
static int stack_of_child(rlim_t size)
{
	int fds[2];
	CHECK(pipe(fds) == 0);
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		char c;
		CHECK(read(fds[0], &c, 1) == 1);
		limit(RLIMIT_CORE, 0);
		_exit(deep(1000));
	}
	struct rlimit r = {size, RLIM_INFINITY}, old;
	CHECK(prlimit(pid, RLIMIT_STACK, NULL, &old) == 0);
	r.rlim_max = old.rlim_max;
	CHECK(prlimit(pid, RLIMIT_STACK, &r, &old) == 0);
	CHECK(write(fds[1], "x", 1) == 1);
	show_end("its stack", pid);
	return 0;
}

/* Neither the program nor its follower's memory of the file may outgrow the limit. */
static int file_size(void)
{
	int fd = open("sized", O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(ftruncate(fd, 2 * PAGE) == 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	memset(p, 'm', 2 * PAGE);
	CHECK(msync(p, 2 * PAGE, MS_SYNC) == 0 && munmap(p, 2 * PAGE) == 0);
	char c;
	CHECK(pread(fd, &c, 1, 5000) == 1 && c == 'm');
	return (int)write(fd, "x", 1);
}

static int processes(void)
{
	limit(RLIMIT_NPROC, 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	printf("fork %d\n", pid < 0 ? errno : 0);
	fflush(stdout);
	return pid < 0 ? 0 : reap(pid);
}

/* Of processes outside, as the monitor; natively nothing is changed either. */
static int of_others(void)
{
	struct rlimit r;
	for (int resource = 0; resource < 16; resource++) {
		if (raw6(SYS_prlimit64, getppid(), resource, 0, (long)&r, 0, 0) == 0)
			raw6(SYS_prlimit64, getppid(), resource, (long)&r, 0, 0, 0);
		if (raw6(SYS_prlimit64, 1, resource, 0, (long)&r, 0, 0) == 0)
			raw6(SYS_prlimit64, 1, resource, (long)&r, 0, 0, 0);
	}
	CHECK(raw6(SYS_prlimit64, 0x7fffffff, RLIMIT_NOFILE, (long)&r, 0, 0, 0) == -ESRCH);
	CHECK(raw6(SYS_prlimit64, 0, 99, (long)&r, 0, 0, 0) == -EINVAL);
	CHECK(raw6(SYS_prlimit64, 0, RLIMIT_NOFILE, 8, 0, 0, 0) == -EFAULT);
	return 0;
}

/* After this a process may read, write and exit; or it was refused and may go on.
 * Both end alike. */
static int strict(int by_seccomp)
{
	long ret = by_seccomp ? raw3(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0)
			      : raw6(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0, 0);
	static const char done[] = "still here\n";
	raw3(SYS_write, 1, done, sizeof done - 1);
	raw3(SYS_exit, ret == 0 || ret == -EINVAL || ret == -ENOSYS ? 9 : 1, 0, 0);
	return 2;
}

static int filter(int by_seccomp)
{
	struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {1, allow};
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	long ret = by_seccomp ? raw3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)
			      : raw6(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)&program, 0, 0, 0);
	CHECK(ret == 0 || ret == -EINVAL || ret == -ENOSYS);
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		raw3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, -1, bad_pointers[i]);
		raw6(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)bad_pointers[i], 0, 0, 0);
	}
	execl("/bin/true", "true", (char *)NULL);
	return errno;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHILD("processor", processor());
	CHILD("files", files());
	static const rlim_t sizes[] = {0, PAGE, 12 << 10, 16 << 10, 64 << 10, 1 << 20, 3 << 20, 6 << 20, 12 << 20};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		CHILD_ANY(memory(RLIMIT_AS, sizes[i]));
		CHILD_ANY(memory(RLIMIT_DATA, sizes[i]));
		CHILD_ANY(memory(RLIMIT_STACK, sizes[i]));
	}
	CHILD("data", data());
	CHILD("small stack of a child", stack_of_child(256 << 10));
	CHILD("large stack of a child", stack_of_child(4 << 20));
	CHILD("file size", file_size());
	CHILD("processes", processes());
	CHILD("of others", of_others());
	CHILD("strict", strict(0));
	CHILD("strict by seccomp", strict(1));
	CHILD("filter", filter(0));
	CHILD("filter by seccomp", filter(1));
	return sting();
}
