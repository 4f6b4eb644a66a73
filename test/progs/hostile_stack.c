/*
 * Calls while the stack pointer points nowhere: alone, and when a child, a
 * signal handler or a new program depends on it.
 */
#include "hostile.h"
#include <sched.h>
#include <sys/time.h>

static void handler(int n) { UNUSED(n); }

static int forks(unsigned long sp)
{
	long pid = raw_at(sp, SYS_fork, 0, 0, 0, 0);
	if (pid == 0)
		raw3(SYS_exit_group, 7, 0, 0);
	if (pid < 0)
		return (int)-pid;
	int status = 0;
	CHECK(raw_at(sp, SYS_wait4, pid, (long)&status, 0, 0) == pid);
	return WEXITSTATUS(status);
}

static int vforks(unsigned long sp)
{
	/* A child that shares memory must not come back: it ends where it began. */
	static char room[4096] __attribute__((aligned(16)));
	UNUSED(sp);
	long pid = raw6(SYS_clone, SIGCHLD, (long)(room + sizeof room), 0, 0, 0, 0);
	if (pid == 0)
		raw3(SYS_exit_group, 9, 0, 0);
	int status = 0;
	CHECK(raw_at(sp, SYS_wait4, pid, (long)&status, 0, 0) == pid);
	return WEXITSTATUS(status);
}

/* A child whose own stack pointer is bad ends as soon as it uses it. */
static int clones(unsigned long sp)
{
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	long ret = SYS_clone;
	__asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tpush %%rax\n1:"
			 : "+a"(ret)
			 : "D"((long)SIGCHLD), "S"(sp), "d"(0L), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	if (ret < 0)
		return (int)-ret;
	int status = 0;
	CHECK(waitpid((pid_t)ret, &status, 0) == ret);
	return 100 + (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static int signals(unsigned long sp)
{
	struct sigaction a = {.sa_handler = handler};
	CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
	raw_at(sp, SYS_kill, getpid(), SIGUSR1, 0, 0);
	return 3;
}

static int returns(unsigned long sp)
{
	raw_at(sp, SYS_rt_sigreturn, 0, 0, 0, 0);
	return 4;
}

static int execs(unsigned long sp, const char *path)
{
	char *argv[] = {"true", NULL};
	return (int)-raw_at(sp, SYS_execve, (long)path, (long)argv, (long)argv, 0);
}

static int maps(unsigned long sp)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	long p = raw_at(sp, SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE);
	CHECK(p == -EBADF || p == -EINVAL || p > 0);
	char *q = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(q != MAP_FAILED && memcmp(q, "\177ELF", 4) == 0);
	return 5;
}

static volatile int rung __attribute__((used));
static void ring(int n)
{
	UNUSED(n);
	rung = 1;
}

/* What does not use the stack is computed as ever when it has been interrupted. */
static int computes(unsigned long sp)
{
	static char alternative[16 * PAGE];
	stack_t stack = {.ss_sp = alternative, .ss_size = sizeof alternative};
	CHECK(sigaltstack(&stack, NULL) == 0);
	struct sigaction a = {.sa_handler = ring, .sa_flags = SA_ONSTACK};
	CHECK(sigaction(SIGALRM, &a, NULL) == 0);
	struct itimerval soon = {.it_value = {.tv_usec = 5000}};
	CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	double sum = 0;
	long sums[2] = {1, 1};
	long n = 0;
	__asm__ volatile("movups %[sums], %%xmm0\n\tmov %%rsp, %%r12\n\tmov %[sp], %%rsp\n\tfninit\n\tfldz\n\tpxor %%xmm1, %%xmm1\n"
			 "1:	fld1\n\tfaddp\n\tpaddq %%xmm0, %%xmm1\n\tinc %[n]\n\tcmpl $0, rung(%%rip)\n\tje 1b\n"
			 "	mov %%r12, %%rsp\n\tfstpl %[sum]\n\tmovups %%xmm1, %[sums]"
			 : [sum] "+m"(sum), [sums] "+m"(sums), [n] "+r"(n)
			 : [sp] "r"(sp)
			 : "r12", "xmm0", "xmm1", "memory", "cc");
	CHECK(n > 0 && sum == (double)n && sums[0] == n && sums[1] == n);
	return 6;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		unsigned long sp = bad_pointers[i];
		printf("stack %d\n", i);
		CHILD("getppid", raw_at(sp, SYS_getppid, 0, 0, 0, 0) != getppid());
		CHILD("write", raw_at(sp, SYS_write, 1, (long)"written\n", 8, 0));
		CHILD("sleep", raw_at(sp, SYS_nanosleep, (long)&(struct timespec){0, 1000}, 0, 0, 0));
		CHILD("fork", forks(sp));
		CHILD("clone", vforks(sp));
		CHILD("stack of a child", clones(sp));
		CHILD("signal", signals(sp));
		CHILD("sigreturn", returns(sp));
		CHILD("exec", execs(sp, "/bin/true"));
		CHILD("exec nothing", execs(sp, "/no/such/program"));
		CHILD("mmap", maps(sp));
		CHILD("exit", raw_at(sp, SYS_exit_group, 11, 0, 0, 0));
	}
	CHILD("computation", computes(0x800000000000));
	CHILD("computation somewhere", computes(0x7000000000));
	return sting();
}
