/*
 * What a program may do to its descriptors, its limits and its own standing
 * with the kernel, and then go on.
 */
#include "hostile.h"
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

static int descriptors(void)
{
	int out = fcntl(1, F_DUPFD_CLOEXEC, 1030);
	if (out == -1) {
		struct rlimit r;
		CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0);
		r.rlim_cur = r.rlim_max;
		CHECK(setrlimit(RLIMIT_NOFILE, &r) == 0);
		CHECK((out = fcntl(1, F_DUPFD_CLOEXEC, 1030)) >= 0);
	}
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	CHECK(open("/dev/null", O_RDONLY) == 0);
	for (int fd = 1; fd < 1024; fd++)
		CHECK(dup2(0, fd) == fd);
	CHECK(raw3(SYS_close_range, 3, 1024, 0) == 0);
	CHECK(raw3(SYS_close_range, 9, 3, 0) == -EINVAL);
	CHECK(dup2(out, 1) == 1 && dup2(1, INT_MAX) == -1 && dup2(-1, 1) == -1);
	/* The monitor's files still reach everybody. */
	int fd = open("/proc/self/exe", O_RDONLY);
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && memcmp(p, "\177ELF", 4) == 0);
	execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int limits(const char *program)
{
	static const int all[] = {RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_FSIZE, RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_LOCKS,
		RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_DATA, RLIMIT_RSS, RLIMIT_STACK, RLIMIT_AS};
	struct rlimit none = {0, 0};
	int fd = open("/proc/self/exe", O_RDONLY);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		CHECK(setrlimit((__rlimit_resource_t)all[i], &none) == 0);
		printf("limit %zu: open %d", i, open("/dev/null", O_RDONLY) >= 0);
		printf(" map %d", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
		printf(" anonymous %d\n", mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
		CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR && raise(SIGUSR1) == 0);
	}
	fflush(stdout);
	char *argv[] = {"true", NULL};
	execv(program, argv);
	return 1;
}

static volatile int got;
static void count(int n)
{
	UNUSED(n);
	got++;
}

/* No room for queued signals: kill still gets through, sigqueue of real-time ones does not. */
static int no_queue(void)
{
	struct rlimit none = {0, 0};
	struct sigaction a = {.sa_handler = count};
	CHECK(setrlimit(RLIMIT_SIGPENDING, &none) == 0);
	for (int sig = 1; sig <= 64; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sig != 32 && sig != 33)
			CHECK(sigaction(sig, &a, NULL) == 0);
	pid_t child = fork();
	if (child == 0) {
		for (int sig = 1; sig <= 64; sig++)
			if (sig != SIGKILL && sig != SIGSTOP && sig != SIGCONT && sig != 32 && sig != 33 && sig != SIGCHLD) {
				CHECK(kill(getppid(), sig) == 0);
				sleep_ms(1);
			}
		_exit(0);
	}
	while (got < 58)
		sleep_ms(1);
	int status = 0;
	while (waitpid(child, &status, 0) == -1)
		CHECK(errno == EINTR);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(kill(getpid(), SIGUSR1) == 0 && got >= 59);
	return 0;
}

static int standing(void)
{
	for (int option = -1; option < 100; option++) {
		if (option == PR_SET_SECCOMP || option == PR_SET_PDEATHSIG || option == PR_SET_TSC || option == PR_MCE_KILL ||
		    option == PR_SET_NAME || option == PR_SET_UNALIGN || option == PR_SET_SPECULATION_CTRL || option == 71)
			continue;
		for (int kind = 0; kind < 3; kind++) {
			long bad = kind == 0 ? 0 : kind == 1 ? 8 : -1;
			raw6(SYS_prctl, option, bad, bad, bad, bad, 0);
		}
	}
	CHECK(prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_GET_DUMPABLE) == 0);
	int fd = open("/proc/self/exe", O_RDONLY);
	(void)fd;
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	CHECK(prctl(PR_SET_PDEATHSIG, 77) == -1 && errno == EINVAL);
	CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED && fork() >= 0);
	return 0;
}

static int relatives(void)
{
	CHECK(kill(getppid(), 0) == 0 && kill(getpid(), 0) == 0);
	CHECK(kill(getpid(), 65) == -1 && errno == EINVAL);
	CHECK(kill(getpid(), -1) == -1 && errno == EINVAL);
	CHECK(kill(0x7fffffff, 0) == -1 && errno == ESRCH);
	CHECK(kill(-0x7fffffff, 0) == -1 && errno == ESRCH);
	CHECK(raw3(SYS_tgkill, -1, getpid(), 0) == -EINVAL && raw3(SYS_tgkill, getpid(), 0, 0) == -EINVAL);
	CHECK(raw3(SYS_tgkill, getppid(), getpid(), 0) == -ESRCH);
	CHECK(raw3(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, 8) == -EFAULT);
	CHECK(raw3(SYS_wait4, getppid(), 0, 0) == -ECHILD);
	CHECK(setpgid(getppid(), 0x7ffffff) == -1);
	/* Nobody traces in here. */
	raw6(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0, 0, 0);
	raw6(SYS_ptrace, 0x4206, getppid(), 0, 0, 0, 0);
	raw6(SYS_ptrace, -1, -1, -1, -1, 0, 0);
	raw6(SYS_process_vm_readv, getppid(), 8, 1, 8, 1, 0);
	raw6(SYS_pidfd_open, getppid(), -1, 0, 0, 0, 0);
	return 0;
}

static int garbage_lists(void)
{
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			raw3(SYS_set_tid_address, bad_pointers[i], 0, 0);
			raw3(SYS_set_robust_list, bad_pointers[i], 24, 0);
			raw6(SYS_rseq, bad_pointers[i], 32, 0, 0x53053053, 0, 0);
			raw3(SYS_exit, 5, 0, 0);
		}
		reap_exit(pid, 5);
	}
	/* A robust list that leads to itself. */
	pid_t pid = fork();
	if (pid == 0) {
		void **head = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		head[0] = head + 4;
		head[4] = head + 4;
		raw3(SYS_set_robust_list, head, 24, 0);
		raw3(SYS_exit, 6, 0, 0);
	}
	reap_exit(pid, 6);
	return 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHILD("descriptors", descriptors());
	CHILD("limits", limits("/bin/true"));
	CHILD("no queue", no_queue());
	CHILD("standing", standing());
	CHILD("relatives", relatives());
	CHILD("garbage lists", garbage_lists());
	return sting();
}
