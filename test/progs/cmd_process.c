/* Each command of prctl, arch_prctl and others about processes, in children of their own. */
#include "sys.h"
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static unsigned long word;

/* The result of a command whose value is the same in every run. */
#define GET(name, number, ...) SHOW(#name, syscall(SYS_prctl, number, ##__VA_ARGS__))
#define SET(name, number, ...) shown(#name, syscall(SYS_prctl, number, ##__VA_ARGS__))

static void in_child(void (*what)(void))
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		what();
		_exit(0);
	}
	reap_exit(child, 0);
}

static void seen(void)
{
	GET(PR_SET_PDEATHSIG, 1, SIGKILL, 0L, 0L, 0L);
	GET(PR_SET_PDEATHSIG, 1, 99, 0L, 0L, 0L);
	GET(PR_GET_PDEATHSIG, 2, &word, 0L, 0L, 0L);
	printf("signal %d\n", (int)word);
	GET(PR_SET_DUMPABLE, 4, 0L, 0L, 0L, 0L);
	GET(PR_SET_DUMPABLE, 4, 7L, 0L, 0L, 0L);
	GET(PR_GET_DUMPABLE, 3, 0L, 0L, 0L, 0L);
	GET(PR_SET_DUMPABLE, 4, 1L, 0L, 0L, 0L);
	GET(PR_SET_NAME, 15, "a name that is cut", 0L, 0L, 0L);
	char name[16];
	GET(PR_GET_NAME, 16, name, 0L, 0L, 0L);
	printf("%s\n", name);
	word = 0;
	GET(PR_GET_TSC, 25, &word, 0L, 0L, 0L);
	printf("counter %d\n", (int)word);
	GET(PR_SET_TSC, 26, 1L, 0L, 0L, 0L);
	GET(PR_SET_TSC, 26, 7L, 0L, 0L, 0L);
	GET(PR_SET_TIMERSLACK, 29, 60000L, 0L, 0L, 0L);
	GET(PR_GET_TIMERSLACK, 30, 0L, 0L, 0L, 0L);
	GET(PR_TASK_PERF_EVENTS_DISABLE, 31, 0L, 0L, 0L, 0L);
	GET(PR_TASK_PERF_EVENTS_ENABLE, 32, 0L, 0L, 0L, 0L);
	GET(PR_MCE_KILL, 33, 0L, 0L, 0L, 0L);
	GET(PR_MCE_KILL, 33, 9L, 0L, 0L, 0L);
	GET(PR_MCE_KILL_GET, 34, 0L, 0L, 0L, 0L);
	GET(PR_SET_CHILD_SUBREAPER, 36, 1L, 0L, 0L, 0L);
	GET(PR_GET_CHILD_SUBREAPER, 37, &word, 0L, 0L, 0L);
	printf("reaper %d\n", (int)word);
	SET(PR_SET_PTRACER, 0x59616d61, getpid(), 0L, 0L, 0L);
	SET(PR_GET_TID_ADDRESS, 40, &word, 0L, 0L, 0L);
	SET(PR_GET_TID_ADDRESS, 40, NOWHERE, 0L, 0L, 0L);
	GET(unknown, 9999, 0L, 0L, 0L, 0L);
}

static void rights(void)
{
	GET(PR_SET_KEEPCAPS, 8, 1L, 0L, 0L, 0L);
	GET(PR_GET_KEEPCAPS, 7, 0L, 0L, 0L, 0L);
	GET(PR_SET_KEEPCAPS, 8, 2L, 0L, 0L, 0L);
	GET(PR_CAPBSET_READ, 23, 0L, 0L, 0L, 0L);
	GET(PR_CAPBSET_DROP, 24, 0L, 0L, 0L, 0L);
	GET(PR_CAPBSET_READ, 23, 0L, 0L, 0L, 0L);
	GET(PR_CAPBSET_READ, 23, 999L, 0L, 0L, 0L);
	GET(PR_GET_SECUREBITS, 27, 0L, 0L, 0L, 0L);
	GET(PR_SET_SECUREBITS, 28, 1L, 0L, 0L, 0L);
	GET(PR_CAP_AMBIENT, 47, 4L, 0L, 0L, 0L);
	GET(PR_CAP_AMBIENT, 47, 9L, 0L, 0L, 0L);
	GET(PR_SET_IO_FLUSHER, 57, 1L, 0L, 0L, 0L);
	GET(PR_GET_IO_FLUSHER, 58, 0L, 0L, 0L, 0L);
	GET(PR_GET_NO_NEW_PRIVS, 39, 0L, 0L, 0L, 0L);
	GET(PR_SET_NO_NEW_PRIVS, 38, 1L, 0L, 0L, 0L);
	GET(PR_GET_NO_NEW_PRIVS, 39, 0L, 0L, 0L, 0L);
	/* What the processor needs of it differs from host to host. */
	for (long which = 0; which < 3; which++)
		GET(PR_GET_SPECULATION_CTRL, 52, which, 0L, 0L, 0L);
	GET(PR_SET_SPECULATION_CTRL, 53, 0L, 4L, 0L, 0L);
	GET(PR_SET_SPECULATION_CTRL, 53, 0L, 99L, 0L, 0L);
}

static void memory(void)
{
	unsigned long auxv[128];
	GET(PR_SET_THP_DISABLE, 41, 1L, 0L, 0L, 0L);
	GET(PR_GET_THP_DISABLE, 42, 0L, 0L, 0L, 0L);
	GET(PR_SET_MEMORY_MERGE, 67, 0L, 0L, 0L, 0L);
	GET(PR_GET_MEMORY_MERGE, 68, 0L, 0L, 0L, 0L);
	SET(PR_GET_AUXV, 0x41555856, auxv, sizeof auxv, 0L, 0L);
	SET(PR_GET_AUXV, 0x41555856, NOWHERE, sizeof auxv, 0L, 0L);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	GET(PR_SET_VMA, 0x53564d41, 0L, p, PAGE, "a name");
	GET(PR_SET_VMA, 0x53564d41, 0L, p, PAGE, "\n");
	GET(PR_SET_VMA, 0x53564d41, 0L, p, PAGE, NULL);
	/* The last one: nothing can be made executable any more. */
	GET(PR_SET_MDWE, 65, 1L, 0L, 0L, 0L);
	GET(PR_SET_MDWE, 65, 99L, 0L, 0L, 0L);
	GET(PR_GET_MDWE, 66, 0L, 0L, 0L, 0L);
	SHOW("executable", mprotect(p, PAGE, PROT_READ | PROT_EXEC));
}

static void processor(void)
{
	static char own[PAGE] __attribute__((aligned(4096)));
	VALUE(arch_prctl, 0x1001, own);
	unsigned long gs = 0;
	VALUE(arch_prctl, 0x1004, &gs);
	printf("base is %d\n", gs == (unsigned long)own);
	VALUE(arch_prctl, 0x1004, NOWHERE);
	VALUE(arch_prctl, 0x1001, -1L);
	VALUE(arch_prctl, 0x1003, &gs);
	VALUE(arch_prctl, 0x1002, gs);
	VALUE(arch_prctl, 0x1011, 0);
	CALL(arch_prctl, 0x1021, &gs);
	CALL(arch_prctl, 0x1022, &gs);
	CALL(arch_prctl, 0x1023, 63L);
	VALUE(arch_prctl, 0x9999, 0L);
}

static void futexes(void)
{
	int word = 0, other = 0, tid = (int)syscall(SYS_gettid);
	struct timespec past = {0, 1};
	VALUE(futex, &word, 0, 1, NULL);
	VALUE(futex, &word, 0, 0, &past);
	VALUE(futex, &word, 1, 1);
	VALUE(futex, &word, 3, 1, 1L, &other);
	VALUE(futex, &word, 4, 1, 1L, &other, 0);
	VALUE(futex, &word, 4, 1, 1L, &other, 7);
	/* The other one becomes 3, and 0 was not 1. */
	VALUE(futex, &word, 5, 1, 1L, &other, 0u << 28 | 0u << 24 | 3u << 12 | 1);
	printf("other %d\n", other);
	VALUE(futex, &word, 9, 1, NULL, NULL, ~0u);
	VALUE(futex, &word, 9, 0, &past, NULL, ~0u);
	VALUE(futex, &word, 10, 1, NULL, NULL, ~0u);
	VALUE(futex, &word, 10, 1, NULL, NULL, 0u);
	VALUE(futex, &word, 6, 0, NULL);
	printf("owner %d\n", word == tid);
	VALUE(futex, &word, 6, 0, NULL);
	VALUE(futex, &word, 7, 0);
	VALUE(futex, &word, 7, 0);
	VALUE(futex, &word, 8, 0);
	VALUE(futex, &word, 7, 0);
	VALUE(futex, &word, 13, 0, NULL);
	VALUE(futex, &word, 7, 0);
	printf("owner %d\n", word);
	VALUE(futex, &word, 99, 0);
}

static void others(void)
{
	struct { void *base; size_t len; } part = {mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4 * PAGE};
	int self = (int)CALL(pidfd_open, getpid(), 0);
	CHECK(part.base != MAP_FAILED);
	memset(part.base, 1, part.len);
	VALUE(process_madvise, self, &part, 1, 3, 0);
	VALUE(process_madvise, self, &part, 1, 20, 0);
	VALUE(process_madvise, self, &part, 1, 21, 0);
	CALL(process_madvise, self, &part, 1, 25, 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(7);
	int fd = (int)syscall(SYS_pidfd_open, child, 0);
	siginfo_t info = {0};
	VALUE(waitid, 3, fd, &info, WEXITED | WNOWAIT, NULL);
	printf("status %d\n", info.si_status);
	VALUE(waitid, 2, getpgrp(), &info, WEXITED | WNOHANG | WNOWAIT, NULL);
	VALUE(waitid, 1, child, &info, WEXITED, NULL);
	VALUE(waitid, 0, 0, &info, WEXITED, NULL);
	VALUE(waitid, 3, -1, &info, WEXITED, NULL);
	int p[2];
	CHECK(pipe(p) == 0);
	CALL(keyctl, 32, -3, p[0], 1);
	/* Nothing is read, and nothing is forgotten. */
	CALL(syslog, 2, "", 0);
	CALL(syslog, 3, "", 0);
	CALL(syslog, 4, "", 0);
}

int main(void)
{
	begin();
	in_child(seen);
	in_child(rights);
	in_child(memory);
	in_child(processor);
	futexes();
	others();
	return 0;
}
