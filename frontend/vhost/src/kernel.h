/* The few facts about Linux on x86-64 that the variant host needs
 * (include/uapi/linux, arch/x86/include/uapi/asm). */
#ifndef VHOST_KERNEL_H
#define VHOST_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum {
	SYS_close = 3,
	SYS_stat = 4,
	SYS_fstat = 5,
	SYS_lstat = 6,
	SYS_poll = 7,
	SYS_mmap = 9,
	SYS_mprotect = 10,
	SYS_munmap = 11,
	SYS_rt_sigaction = 13,
	SYS_rt_sigprocmask = 14,
	SYS_ioctl = 16,
	SYS_sched_yield = 24,
	SYS_mremap = 25,
	SYS_getpid = 39,
	SYS_sendto = 44,
	SYS_recvfrom = 45,
	SYS_getsockopt = 55,
	SYS_sigaltstack = 131,
	SYS_statfs = 137,
	SYS_fstatfs = 138,
	SYS_prctl = 157,
	SYS_fcntl = 72,
	SYS_gettid = 186,
	SYS_rt_sigpending = 127,
	SYS_rt_sigtimedwait = 128,
	SYS_futex = 202,
	SYS_clock_gettime = 228,
	SYS_getcpu = 309,
	SYS_process_vm_readv = 310,
	SYS_exit_group = 231,
	SYS_newfstatat = 262,
	SYS_statx = 332,
	SYS_openat2 = 437,
	PROC_SUPER_MAGIC = 0x9fa0,

	SIG_BLOCK = 0,
	SIG_UNBLOCK = 1,
	SIG_SETMASK = 2,
	SIGKILL = 9,
	SIGSTOP = 19,
	SIGTRAP = 5,
	SIGPIPE = 13,
	SIGBUS = 7,
	SIGSEGV = 11,
	F_GETFD = 1,
	F_GETFL = 3,
	F_SETFL = 4,
	AT_FDCWD = -100,
	O_ACCMODE = 3,
	O_NONBLOCK = 04000,
	S_IFMT = 0170000,
	S_IFLNK = 0120000,
	S_IFBLK = 0060000,
	S_IFDIR = 0040000,
	S_IFCHR = 0020000,
	S_IFIFO = 0010000,
	S_IFREG = 0100000,
	EPERM = 1,
	ENOENT = 2,
	EINTR = 4,
	EAGAIN = 11,
	EACCES = 13,
	EFAULT = 14,
	ENOTDIR = 20,
	EINVAL = 22,
	EPIPE = 32,
	ENOSYS = 38,
	ENOTSOCK = 88,
	EOPNOTSUPP = 95,
	SIGSYS = 31,
	SA_SIGINFO = 4,
	SA_RESTORER = 0x04000000,
	SA_ONSTACK = 0x08000000,
	SIGILL = 4,
	PR_SET_SYSCALL_USER_DISPATCH = 59,
	PR_SYS_DISPATCH_ON = 1,
	SYS_USER_DISPATCH = 2,
	FROM_KERNEL = 0x80,
	TRAP_PROTECTION = 13,
	TRAP_ALIGNMENT = 17,
	FUTEX_WAIT = 0,
	FUTEX_WAKE = 1,
	FUTEX_PRIVATE = 128,
	ETIMEDOUT = 110,
	POLLERR = 8,
	POLLHUP = 16,
	SOL_SOCKET = 1,
	SO_TYPE = 3,
	SO_SNDBUF = 7,
	SO_RCVLOWAT = 18,
	SO_PROTOCOL = 38,
	SO_DOMAIN = 39,
	AF_UNIX = 1,
	AF_INET = 2,
	AF_INET6 = 10,
	IPPROTO_TCP = 6,
	SOCK_STREAM = 1,
	SOCK_DGRAM = 2,
	MSG_OOB = 1,
	MSG_DONTWAIT = 0x40,
	MSG_EOR = 0x80,
	MSG_NOSIGNAL = 0x4000,
	MSG_WAITFORONE = 0x10000,
	MSG_ZEROCOPY = 0x4000000,
	PROT_READ = 1,
	PROT_WRITE = 2,
	PROT_EXEC = 4,
	MAP_SHARED = 1,
	MAP_PRIVATE = 2,
	MAP_FIXED = 16,
	MAP_ANONYMOUS = 32,
	MREMAP_MAYMOVE = 1,
	MREMAP_FIXED = 2,
	KVM_RUN = 0xae80,
	KVM_SET_SIGNAL_MASK = 0x4004ae8b,
	KVM_EXIT_IO = 2,
	KVM_EXIT_INTERNAL_ERROR = 17,
};

enum { CLOCK_MONOTONIC = 1, CLOCK_MONOTONIC_RAW = 4 };

#define AUDIT_ARCH_X86_64 0xc000003eU
#define MSG_CMSG_COMPAT 0x80000000U

struct timespec {
	int64_t sec, nsec;
};

struct stat {
	uint64_t dev, ino, nlink;
	uint32_t mode, owner[3];
	uint64_t rdev;
	uint32_t more[24];
};

_Static_assert(offsetof(struct stat, rdev) == 40 && sizeof(struct stat) == 144, "stat");

/* Of what statx says the type and the device matter. */
struct statx {
	uint32_t more[7];
	uint16_t mode, unused;
	uint32_t rest[26];
	uint32_t dev_major, dev_minor;
};

_Static_assert(offsetof(struct statx, mode) == 28 && offsetof(struct statx, dev_major) == 136, "statx");

/* Of what fstatfs says only the first word matters. */
struct statfs {
	int64_t type, more[14];
};

struct pollfd {
	int fd;
	int16_t events, revents;
};

/* struct kvm_signal_mask with one word, which is not where words are. */
struct signal_mask {
	uint32_t unused, size;
	uint64_t set;
};

/* stack_t. */
struct altstack {
	uint64_t sp, flags, size;
};

/* What is in front of struct siginfo. */
struct siginfo {
	int32_t signo, error, code, pad;
	uint64_t addr;
	int32_t syscall;
	uint32_t arch;
};

/* struct ucontext with struct sigcontext inside. */
struct ucontext {
	uint64_t flags, link, stack[3];
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint64_t segments, err, trapno, oldmask, cr2, fpstate, reserved[8];
	uint64_t mask;
};

#endif
