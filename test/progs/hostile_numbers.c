/*
 * Calls of every number, with arguments that are zero, small, pointers to
 * nowhere and huge. What a call answers is not the point: that everything goes on
 * is. Calls that end, stop or wait, and those that change the machine, are left
 * out.
 */
#include "hostile.h"
#include <sys/resource.h>

static const short left_out[] = {
	SYS_pause, SYS_exit, SYS_exit_group, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_rt_sigreturn, SYS_kill,
	SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_send_signal, SYS_rt_sigsuspend,
	SYS_rt_sigtimedwait, SYS_reboot, SYS_vhangup, SYS_sethostname, SYS_setdomainname, SYS_settimeofday,
	SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_syslog, SYS_swapon, SYS_swapoff, SYS_mount, SYS_umount2,
	SYS_pivot_root, SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module, SYS_delete_module,
	SYS_acct, SYS_quotactl, SYS_sync, SYS_read, SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6, SYS_epoll_wait,
	SYS_epoll_pwait, SYS_alarm, SYS_setitimer, SYS_ptrace, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_brk, SYS_chroot,
	SYS_setpriority, SYS_ioperm, SYS_iopl, SYS_seccomp, SYS_futex, SYS_semop, SYS_semget, SYS_shmget, SYS_msgget,
	SYS_add_key, SYS_request_key, SYS_keyctl, SYS_waitid, SYS_wait4, SYS_setrlimit, SYS_prlimit64, SYS_dup2,
	SYS_close_range, SYS_close, SYS_dup3, SYS_io_uring_enter, SYS_vmsplice, SYS_sched_setscheduler, SYS_sched_setattr,
	SYS_ioprio_set, SYS_mq_open, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_fanotify_init, SYS_arch_prctl,
	SYS_pselect6, SYS_epoll_pwait2, SYS_sync_file_range, SYS_syncfs, SYS_setsid, SYS_unshare, SYS_setns,
	SYS_landlock_restrict_self, SYS_uselib, SYS_nanosleep, SYS_clock_nanosleep, SYS_mlockall, SYS_mlock, SYS_mlock2,
	SYS_futex_waitv, 454, 455, 456,
	/* uretprobe and uprobe end a caller that the kernel did not send. */
	335, 336,
};

static int skipped(long nr)
{
	for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
		if (left_out[i] == nr)
			return 1;
	return 0;
}

static int all(long from, long to, long kind)
{
	long bad = kind == 1 ? 1 : kind == 2 ? 8 : kind == 3 ? (long)0xdead000000000000 : kind == 4 ? -1 : 0;
	/* What a call writes by chance goes to nobody. */
	for (int fd = 0; fd < 3; fd++)
		raw3(SYS_close, fd, 0, 0);
	for (long nr = from; nr < to; nr++)
		if (!skipped(nr))
			raw6(nr, bad, bad, bad, bad, bad, bad);
	return 0;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	struct rlimit none = {0, 0};
	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	for (long kind = 0; kind < 5; kind++)
		for (long from = -1; from < 600; from += 25) {
			pid_t pid = fork();
			CHECK(pid >= 0);
			if (pid == 0)
				_exit(all(from, from + 25, kind));
			int status = reap(pid);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		}
	static const long odd[] = {-2, -512, -516, INT_MIN, INT_MAX, 1023, 4096, 0x7fffffffffffffff, 100000};
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
		CHECK(raw6(odd[i], 0, 0, 0, 0, 0, 0) == -ENOSYS);
	/* The kernel takes the lower half of the register. */
	CHECK(raw6(0x100000000 + SYS_getpid, 0, 0, 0, 0, 0, 0) == getpid());
	CHECK(raw6((long)0xffffffff00000000 + SYS_getpid, 0, 0, 0, 0, 0, 0) == getpid());
	ok("every number");
	return sting();
}
