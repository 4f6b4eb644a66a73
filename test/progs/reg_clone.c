/* Raw clone and clone3 that make processes: ids stored where asked, failures, exit signals. */
#include "check.h"
#include <sched.h>

static long raw_clone(unsigned long flags, pid_t *ptid, pid_t *ctid)
{
#ifdef __aarch64__
	return syscall(SYS_clone, flags, NULL, ptid, 0UL, ctid);
#else
	return syscall(SYS_clone, flags, NULL, ptid, ctid, 0UL);
#endif
}

struct clone3_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

static long raw_clone3(struct clone3_args *a, size_t size)
{
	return syscall(SYS_clone3, a, size);
}

int main(void)
{
	begin();
	/* A pipe carries what the child saw in its own memory. */
	int up[2];
	CHECK(pipe(up) == 0);
	static pid_t ptid = -1, ctid = -1;
	long pid = raw_clone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, &ptid, &ctid);
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(ctid == (pid_t)syscall(SYS_getpid));
		CHECK(write(up[1], &ctid, sizeof ctid) == sizeof ctid);
		_exit(0);
	}
	CHECK(ptid == pid);
	CHECK(ctid == -1);
	pid_t seen;
	CHECK(read(up[0], &seen, sizeof seen) == sizeof seen && seen == pid);
	reap_exit((pid_t)pid, 0);
	ok("clone stores the child's id in parent and child");

	CHECK_ERR(raw_clone(CLONE_SIGHAND | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERR(raw_clone(CLONE_THREAD | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERR(raw_clone(CLONE_FS | CLONE_NEWNS | SIGCHLD, NULL, NULL), EINVAL);
	CHECK_ERR(wait(NULL), ECHILD);
	ok("failed clone");

	/* Without an exit signal only __WALL or __WCLONE sees the child. */
	pid = raw_clone(0, NULL, NULL);
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(5);
	CHECK_ERR(waitpid((pid_t)pid, NULL, 0), ECHILD);
	int status;
	CHECK(waitpid((pid_t)pid, &status, __WALL) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	ok("clone without exit signal");

	ptid = ctid = -1;
	struct clone3_args a = {.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID, .exit_signal = SIGCHLD,
				.parent_tid = (uint64_t)(uintptr_t)&ptid, .child_tid = (uint64_t)(uintptr_t)&ctid};
	pid = raw_clone3(&a, sizeof a);
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(write(up[1], &ctid, sizeof ctid) == sizeof ctid);
		_exit(6);
	}
	CHECK(ptid == pid && ctid == -1);
	CHECK(read(up[0], &seen, sizeof seen) == sizeof seen && seen == pid);
	reap_exit((pid_t)pid, 6);
	ok("clone3");

	CHECK_ERR(raw_clone3(&a, 8), EINVAL);
	CHECK_ERR(raw_clone3((void *)bad_address, sizeof a), EFAULT);
	a = (struct clone3_args){.flags = CLONE_THREAD};
	CHECK_ERR(raw_clone3(&a, sizeof a), EINVAL);
	CHECK_ERR(wait(NULL), ECHILD);
	ok("failed clone3");

	/* CLONE_VFORK without CLONE_VM: the parent waits, memory is not shared. */
	static volatile int value = 1;
	pid = raw_clone(CLONE_VFORK | SIGCHLD, NULL, NULL);
	CHECK(pid >= 0);
	if (pid == 0) {
		value = 2;
		_exit(7);
	}
	CHECK(value == 1);
	reap_exit((pid_t)pid, 7);
	ok("CLONE_VFORK");

	/* CLONE_PARENT: the grandchild is our child. */
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		long g = raw_clone(CLONE_PARENT | SIGCHLD, NULL, NULL);
		CHECK(g >= 0);
		if (g == 0)
			_exit(8);
		pid_t id = (pid_t)g;
		CHECK(write(up[1], &id, sizeof id) == sizeof id);
		CHECK_ERR(wait(NULL), ECHILD);
		_exit(9);
	}
	CHECK(read(up[0], &seen, sizeof seen) == sizeof seen);
	reap_exit((pid_t)pid, 9);
	reap_exit(seen, 8);
	ok("CLONE_PARENT");
	return 0;
}
