package sysabi

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Format returns v as the names that make it up, joined by "|", with what has
// no name in hexadecimal ("O_WRONLY|O_CREAT|0x8000000"). For an enumeration
// without a name for v it returns the signed number, for nil the hexadecimal
// one. The upper half of v is ignored: all kinds that have names have 32 bits.
func (n *Names) Format(v uint64) string {
	v = uint64(uint32(v))
	if n == nil {
		return hex(v)
	}
	if name, ok := n.Of[v]; ok && (n.Enum || v == 0) {
		return name
	}
	if n.Enum {
		return strconv.Itoa(int(int32(v)))
	}
	var parts []string
	rest := v
	if n.Low != 0 {
		low := v & n.Low
		name, ok := n.Of[low]
		if !ok {
			name = hex(low)
		}
		if ok || low != 0 {
			parts = append(parts, name)
		}
		rest &^= n.Low
	}
	for _, bit := range n.bits() {
		if bit&n.Low == 0 && rest&bit == bit {
			parts = append(parts, n.Of[bit])
			rest &^= bit
		}
	}
	if rest != 0 || len(parts) == 0 {
		parts = append(parts, hex(rest))
	}
	return strings.Join(parts, "|")
}

// bits returns the values that have names, those of several bits first, so
// that O_SYNC wins over the O_DSYNC in it.
func (n *Names) bits() []uint64 {
	vs := make([]uint64, 0, len(n.Of))
	for v := range n.Of {
		if v != 0 {
			vs = append(vs, v)
		}
	}
	slices.SortFunc(vs, func(a, b uint64) int {
		if d := bits.OnesCount64(b) - bits.OnesCount64(a); d != 0 {
			return d
		}
		if a < b {
			return -1
		}
		return 1
	})
	return vs
}

func hex(v uint64) string {
	if v == 0 {
		return "0"
	}
	return "0x" + strconv.FormatUint(v, 16)
}

// SignalName returns the name of signal n as libc numbers it, such as "SIGINT"
// or "SIGRTMIN+2" (of the kernel's SIGRTMIN, 32), and the number itself for
// what is no signal.
func SignalName(n int) string {
	if name, ok := signalNames.Of[uint64(n)]; ok && n > 0 {
		return name
	}
	switch {
	case n == sigRTMin:
		return "SIGRTMIN"
	case n > sigRTMin && n <= sigRTMax:
		return "SIGRTMIN+" + strconv.Itoa(n-sigRTMin)
	}
	return strconv.Itoa(n)
}

// The kernel's real-time signals (signal(7); libc keeps the first two or three).
const (
	sigRTMin = 32
	sigRTMax = 64
)

// Names of signals and of what happens to them. The numbers are those of x86
// and ARM (signal(7)).
var (
	signalNames = &Names{Enum: true, Of: map[uint64]string{
		1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
		9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
		16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU",
		23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO",
		30: "SIGPWR", 31: "SIGSYS",
	}}
	sigHowNames = &Names{Enum: true, Of: map[uint64]string{0: "SIG_BLOCK", 1: "SIG_UNBLOCK", 2: "SIG_SETMASK"}}
)

// Names of files' flags.
var (
	// Four flags have other values on ARM64 (arch/arm64/include/uapi/asm/fcntl.h).
	openNames = &Names{
		Low: 3,
		Of: openFlags(map[uint64]string{
			0o40000: "O_DIRECT", 0o100000: "O_LARGEFILE", 0o200000: "O_DIRECTORY", 0o400000: "O_NOFOLLOW",
			0o20200000: "O_TMPFILE",
		}),
		arm64: &Names{
			Low: 3,
			Of: openFlags(map[uint64]string{
				0o40000: "O_DIRECTORY", 0o100000: "O_NOFOLLOW", 0o200000: "O_DIRECT", 0o400000: "O_LARGEFILE",
				0o20040000: "O_TMPFILE",
			}),
		},
	}
	fdFlagNames = &Names{Of: map[uint64]string{1: "FD_CLOEXEC"}}
	atNames     = &Names{Of: map[uint64]string{
		0x100: "AT_SYMLINK_NOFOLLOW", 0x400: "AT_SYMLINK_FOLLOW", 0x800: "AT_NO_AUTOMOUNT", 0x1000: "AT_EMPTY_PATH",
		0x2000: "AT_STATX_FORCE_SYNC", 0x4000: "AT_STATX_DONT_SYNC", 0x8000: "AT_RECURSIVE",
	}}
	faccessNames    = &Names{Of: map[uint64]string{0x100: "AT_SYMLINK_NOFOLLOW", 0x200: "AT_EACCESS", 0x1000: "AT_EMPTY_PATH"}}
	unlinkatNames   = &Names{Of: map[uint64]string{0x200: "AT_REMOVEDIR"}}
	linkatNames     = &Names{Of: map[uint64]string{0x400: "AT_SYMLINK_FOLLOW", 0x1000: "AT_EMPTY_PATH"}}
	accessNames     = &Names{Of: map[uint64]string{0: "F_OK", 1: "X_OK", 2: "W_OK", 4: "R_OK"}}
	renameNames     = &Names{Of: map[uint64]string{1: "RENAME_NOREPLACE", 2: "RENAME_EXCHANGE", 4: "RENAME_WHITEOUT"}}
	xattrNames      = &Names{Of: map[uint64]string{1: "XATTR_CREATE", 2: "XATTR_REPLACE"}}
	flockNames      = &Names{Of: map[uint64]string{1: "LOCK_SH", 2: "LOCK_EX", 4: "LOCK_NB", 8: "LOCK_UN"}}
	whenceNames     = &Names{Enum: true, Of: map[uint64]string{0: "SEEK_SET", 1: "SEEK_CUR", 2: "SEEK_END", 3: "SEEK_DATA", 4: "SEEK_HOLE"}}
	closeRangeNames = &Names{Of: map[uint64]string{2: "CLOSE_RANGE_UNSHARE", 4: "CLOSE_RANGE_CLOEXEC"}}
	rwfNames        = &Names{Of: map[uint64]string{
		1: "RWF_HIPRI", 2: "RWF_DSYNC", 4: "RWF_SYNC", 8: "RWF_NOWAIT", 16: "RWF_APPEND", 32: "RWF_NOAPPEND",
		64: "RWF_ATOMIC", 128: "RWF_DONTCACHE",
	}}
	spliceNames = &Names{Of: map[uint64]string{1: "SPLICE_F_MOVE", 2: "SPLICE_F_NONBLOCK", 4: "SPLICE_F_MORE", 8: "SPLICE_F_GIFT"}}
	fallocNames = &Names{Of: map[uint64]string{
		1: "FALLOC_FL_KEEP_SIZE", 2: "FALLOC_FL_PUNCH_HOLE", 8: "FALLOC_FL_COLLAPSE_RANGE", 16: "FALLOC_FL_ZERO_RANGE",
		32: "FALLOC_FL_INSERT_RANGE", 64: "FALLOC_FL_UNSHARE_RANGE", 128: "FALLOC_FL_WRITE_ZEROES",
	}}
	shmNames   = &Names{Of: map[uint64]string{0o10000: "SHM_RDONLY", 0o20000: "SHM_RND", 0o40000: "SHM_REMAP", 0o100000: "SHM_EXEC"}}
	memfdNames = &Names{Of: map[uint64]string{1: "MFD_CLOEXEC", 2: "MFD_ALLOW_SEALING", 4: "MFD_HUGETLB", 8: "MFD_NOEXEC_SEAL", 16: "MFD_EXEC"}}
	sealNames  = &Names{Of: map[uint64]string{
		1: "F_SEAL_SEAL", 2: "F_SEAL_SHRINK", 4: "F_SEAL_GROW", 8: "F_SEAL_WRITE", 16: "F_SEAL_FUTURE_WRITE", 32: "F_SEAL_EXEC",
	}}
	statxNames = &Names{Of: map[uint64]string{
		0x7ff: "STATX_BASIC_STATS", 0x1: "STATX_TYPE", 0x2: "STATX_MODE", 0x4: "STATX_NLINK", 0x8: "STATX_UID",
		0x10: "STATX_GID", 0x20: "STATX_ATIME", 0x40: "STATX_MTIME", 0x80: "STATX_CTIME", 0x100: "STATX_INO",
		0x200: "STATX_SIZE", 0x400: "STATX_BLOCKS", 0x800: "STATX_BTIME", 0x1000: "STATX_MNT_ID",
		0x2000: "STATX_DIOALIGN", 0x4000: "STATX_MNT_ID_UNIQUE", 0x8000: "STATX_SUBVOL", 0x10000: "STATX_WRITE_ATOMIC",
		0x20000: "STATX_DIO_READ_ALIGN",
	}}
)

// openFlags adds the flags that all architectures share to those of one.
func openFlags(own map[uint64]string) map[uint64]string {
	for v, name := range map[uint64]string{
		0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR", 0o100: "O_CREAT", 0o200: "O_EXCL", 0o400: "O_NOCTTY",
		0o1000: "O_TRUNC", 0o2000: "O_APPEND", 0o4000: "O_NONBLOCK", 0o10000: "O_DSYNC", 0o20000: "O_ASYNC",
		0o1000000: "O_NOATIME", 0o2000000: "O_CLOEXEC", 0o4010000: "O_SYNC", 0o10000000: "O_PATH",
	} {
		own[v] = name
	}
	return own
}

// Names of memory calls' flags.
var (
	protNames = &Names{Of: map[uint64]string{
		0: "PROT_NONE", 1: "PROT_READ", 2: "PROT_WRITE", 4: "PROT_EXEC", 0x01000000: "PROT_GROWSDOWN", 0x02000000: "PROT_GROWSUP",
	}}
	mapNames = &Names{Low: 0xf, Of: map[uint64]string{
		1: "MAP_SHARED", 2: "MAP_PRIVATE", 3: "MAP_SHARED_VALIDATE", 0x10: "MAP_FIXED", 0x20: "MAP_ANONYMOUS", 0x40: "MAP_32BIT",
		0x100: "MAP_GROWSDOWN", 0x800: "MAP_DENYWRITE", 0x1000: "MAP_EXECUTABLE", 0x2000: "MAP_LOCKED", 0x4000: "MAP_NORESERVE",
		0x8000: "MAP_POPULATE", 0x10000: "MAP_NONBLOCK", 0x20000: "MAP_STACK", 0x40000: "MAP_HUGETLB", 0x80000: "MAP_SYNC",
		0x100000: "MAP_FIXED_NOREPLACE",
	}}
	mremapNames  = &Names{Of: map[uint64]string{1: "MREMAP_MAYMOVE", 2: "MREMAP_FIXED", 4: "MREMAP_DONTUNMAP"}}
	msyncNames   = &Names{Of: map[uint64]string{1: "MS_ASYNC", 2: "MS_INVALIDATE", 4: "MS_SYNC"}}
	madviseNames = &Names{Enum: true, Of: map[uint64]string{
		0: "MADV_NORMAL", 1: "MADV_RANDOM", 2: "MADV_SEQUENTIAL", 3: "MADV_WILLNEED", 4: "MADV_DONTNEED", 8: "MADV_FREE",
		9: "MADV_REMOVE", 10: "MADV_DONTFORK", 11: "MADV_DOFORK", 12: "MADV_MERGEABLE", 13: "MADV_UNMERGEABLE",
		14: "MADV_HUGEPAGE", 15: "MADV_NOHUGEPAGE", 16: "MADV_DONTDUMP", 17: "MADV_DODUMP", 18: "MADV_WIPEONFORK",
		19: "MADV_KEEPONFORK", 20: "MADV_COLD", 21: "MADV_PAGEOUT", 22: "MADV_POPULATE_READ", 23: "MADV_POPULATE_WRITE",
		24: "MADV_DONTNEED_LOCKED", 25: "MADV_COLLAPSE", 100: "MADV_HWPOISON", 101: "MADV_SOFT_OFFLINE",
		102: "MADV_GUARD_INSTALL", 103: "MADV_GUARD_REMOVE",
	}}
	mlockallNames = &Names{Of: map[uint64]string{1: "MCL_CURRENT", 2: "MCL_FUTURE", 4: "MCL_ONFAULT"}}
)

// Names of processes' flags.
var (
	// The low byte of clone's flags is the signal that the child's end sends.
	cloneNames = &Names{Low: 0xff, Of: map[uint64]string{
		17: "SIGCHLD", 0x100: "CLONE_VM", 0x200: "CLONE_FS", 0x400: "CLONE_FILES", 0x800: "CLONE_SIGHAND",
		0x1000: "CLONE_PIDFD", 0x2000: "CLONE_PTRACE", 0x4000: "CLONE_VFORK", 0x8000: "CLONE_PARENT",
		0x10000: "CLONE_THREAD", 0x20000: "CLONE_NEWNS", 0x40000: "CLONE_SYSVSEM", 0x80000: "CLONE_SETTLS",
		0x100000: "CLONE_PARENT_SETTID", 0x200000: "CLONE_CHILD_CLEARTID", 0x400000: "CLONE_DETACHED",
		0x800000: "CLONE_UNTRACED", 0x1000000: "CLONE_CHILD_SETTID", 0x2000000: "CLONE_NEWCGROUP",
		0x4000000: "CLONE_NEWUTS", 0x8000000: "CLONE_NEWIPC", 0x10000000: "CLONE_NEWUSER", 0x20000000: "CLONE_NEWPID",
		0x40000000: "CLONE_NEWNET", 0x80000000: "CLONE_IO",
	}}
	waitNames = &Names{Of: map[uint64]string{
		1: "WNOHANG", 2: "WUNTRACED", 4: "WEXITED", 8: "WCONTINUED", 0x01000000: "WNOWAIT",
		0x20000000: "__WNOTHREAD", 0x40000000: "__WALL", 0x80000000: "__WCLONE",
	}}
	idTypeNames = &Names{Enum: true, Of: map[uint64]string{0: "P_ALL", 1: "P_PID", 2: "P_PGID", 3: "P_PIDFD"}}
	rlimitNames = &Names{Enum: true, Of: map[uint64]string{
		0: "RLIMIT_CPU", 1: "RLIMIT_FSIZE", 2: "RLIMIT_DATA", 3: "RLIMIT_STACK", 4: "RLIMIT_CORE", 5: "RLIMIT_RSS",
		6: "RLIMIT_NPROC", 7: "RLIMIT_NOFILE", 8: "RLIMIT_MEMLOCK", 9: "RLIMIT_AS", 10: "RLIMIT_LOCKS",
		11: "RLIMIT_SIGPENDING", 12: "RLIMIT_MSGQUEUE", 13: "RLIMIT_NICE", 14: "RLIMIT_RTPRIO", 15: "RLIMIT_RTTIME",
	}}
)

// Names of sockets' flags.
var (
	socketDomainNames = &Names{Enum: true, Of: map[uint64]string{
		0: "AF_UNSPEC", 1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET", 38: "AF_ALG",
		40: "AF_VSOCK", 44: "AF_XDP",
	}}
	socketTypeNames = &Names{Low: 0xf, Of: map[uint64]string{
		1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET", 6: "SOCK_DCCP", 10: "SOCK_PACKET",
		0o4000: "SOCK_NONBLOCK", 0o2000000: "SOCK_CLOEXEC",
	}}
	msgNames = &Names{Of: map[uint64]string{
		0x1: "MSG_OOB", 0x2: "MSG_PEEK", 0x4: "MSG_DONTROUTE", 0x8: "MSG_CTRUNC", 0x10: "MSG_PROBE", 0x20: "MSG_TRUNC",
		0x40: "MSG_DONTWAIT", 0x80: "MSG_EOR", 0x100: "MSG_WAITALL", 0x200: "MSG_FIN", 0x400: "MSG_SYN",
		0x800: "MSG_CONFIRM", 0x1000: "MSG_RST", 0x2000: "MSG_ERRQUEUE", 0x4000: "MSG_NOSIGNAL", 0x8000: "MSG_MORE",
		0x10000: "MSG_WAITFORONE", 0x40000: "MSG_BATCH", 0x4000000: "MSG_ZEROCOPY", 0x20000000: "MSG_FASTOPEN",
		0x40000000: "MSG_CMSG_CLOEXEC",
	}}
)

// Names of what waits and counts.
var (
	epollOpNames   = &Names{Enum: true, Of: map[uint64]string{1: "EPOLL_CTL_ADD", 2: "EPOLL_CTL_DEL", 3: "EPOLL_CTL_MOD"}}
	eventfdNames   = &Names{Of: map[uint64]string{1: "EFD_SEMAPHORE", 0o4000: "EFD_NONBLOCK", 0o2000000: "EFD_CLOEXEC"}}
	ipcNames       = &Names{Of: map[uint64]string{0o1000: "IPC_CREAT", 0o2000: "IPC_EXCL", 0o4000: "IPC_NOWAIT"}}
	msgFlagNames   = &Names{Of: map[uint64]string{0o4000: "IPC_NOWAIT", 0o10000: "MSG_NOERROR", 0o20000: "MSG_EXCEPT", 0o40000: "MSG_COPY"}}
	swapNames      = &Names{Of: map[uint64]string{0x8000: "SWAP_FLAG_PREFER", 0x10000: "SWAP_FLAG_DISCARD", 0x20000: "SWAP_FLAG_DISCARD_ONCE", 0x40000: "SWAP_FLAG_DISCARD_PAGES"}}
	getrandomNames = &Names{Of: map[uint64]string{1: "GRND_NONBLOCK", 2: "GRND_RANDOM", 4: "GRND_INSECURE"}}
	timerNames     = &Names{Of: map[uint64]string{1: "TIMER_ABSTIME", 2: "TFD_TIMER_CANCEL_ON_SET"}}
	itimerNames    = &Names{Enum: true, Of: map[uint64]string{0: "ITIMER_REAL", 1: "ITIMER_VIRTUAL", 2: "ITIMER_PROF"}}
	clockNames     = &Names{Enum: true, Of: map[uint64]string{
		0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 2: "CLOCK_PROCESS_CPUTIME_ID", 3: "CLOCK_THREAD_CPUTIME_ID",
		4: "CLOCK_MONOTONIC_RAW", 5: "CLOCK_REALTIME_COARSE", 6: "CLOCK_MONOTONIC_COARSE", 7: "CLOCK_BOOTTIME",
		8: "CLOCK_REALTIME_ALARM", 9: "CLOCK_BOOTTIME_ALARM", 11: "CLOCK_TAI",
	}}
)
