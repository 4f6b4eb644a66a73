//go:build linux

package unix

import sys "golang.org/x/sys/unix"

// Numbers of the calls that a front-end makes in a variant.
const (
	SysRead             = sys.SYS_READ
	SysClose            = sys.SYS_CLOSE
	SysMunmap           = sys.SYS_MUNMAP
	SysMremap           = sys.SYS_MREMAP
	SysRecvmsg          = sys.SYS_RECVMSG
	SysSendmsg          = sys.SYS_SENDMSG
	SysSendmmsg         = sys.SYS_SENDMMSG
	SysPrctl            = sys.SYS_PRCTL
	SysSeccomp          = sys.SYS_SECCOMP
	SysSchedSetaffinity = sys.SYS_SCHED_SETAFFINITY
	SysSchedGetaffinity = sys.SYS_SCHED_GETAFFINITY
	SysExecveat         = sys.SYS_EXECVEAT
	SysCloseRange       = sys.SYS_CLOSE_RANGE
	SysRtSigreturn      = sys.SYS_RT_SIGRETURN
	SysRtSigsuspend     = sys.SYS_RT_SIGSUSPEND

	SysOpenat           = sys.SYS_OPENAT
	SysOpenat2          = sys.SYS_OPENAT2
	SysChroot           = sys.SYS_CHROOT
	SysPivotRoot        = sys.SYS_PIVOT_ROOT
	SysSetns            = sys.SYS_SETNS
	SysUnshare          = sys.SYS_UNSHARE
	SysLseek            = sys.SYS_LSEEK
	SysPread64          = sys.SYS_PREAD64
	SysPreadv           = sys.SYS_PREADV
	SysPreadv2          = sys.SYS_PREADV2
	SysGetdents64       = sys.SYS_GETDENTS64
	SysMmap             = sys.SYS_MMAP
	SysMprotect         = sys.SYS_MPROTECT
	SysMemfdCreate      = sys.SYS_MEMFD_CREATE
	SysMadvise          = sys.SYS_MADVISE
	SysMsync            = sys.SYS_MSYNC
	SysMlock            = sys.SYS_MLOCK
	SysMlock2           = sys.SYS_MLOCK2
	SysMunlock          = sys.SYS_MUNLOCK
	SysMlockall         = sys.SYS_MLOCKALL
	SysMunlockall       = sys.SYS_MUNLOCKALL
	SysMincore          = sys.SYS_MINCORE
	SysMbind            = sys.SYS_MBIND
	SysMseal            = sys.SYS_MSEAL
	SysShmctl           = sys.SYS_SHMCTL
	SysGetrlimit        = sys.SYS_GETRLIMIT
	SysSetrlimit        = sys.SYS_SETRLIMIT
	SysPrlimit64        = sys.SYS_PRLIMIT64
	SysPkeyMprotect     = sys.SYS_PKEY_MPROTECT
	SysRemapFilePages   = sys.SYS_REMAP_FILE_PAGES
	SysBrk              = sys.SYS_BRK
	SysShmat            = sys.SYS_SHMAT
	SysShmdt            = sys.SYS_SHMDT
	SysIoctl            = sys.SYS_IOCTL
	SysFcntl            = sys.SYS_FCNTL
	SysDup3             = sys.SYS_DUP3
	SysClone            = sys.SYS_CLONE
	SysClone3           = sys.SYS_CLONE3
	SysExecve           = sys.SYS_EXECVE
	SysExit             = sys.SYS_EXIT
	SysExitGroup        = sys.SYS_EXIT_GROUP
	SysTgkill           = sys.SYS_TGKILL
	SysNanosleep        = sys.SYS_NANOSLEEP
	SysClockGettime     = sys.SYS_CLOCK_GETTIME
	SysClockNanosleep   = sys.SYS_CLOCK_NANOSLEEP
	SysFutex            = sys.SYS_FUTEX
	SysGetsockopt       = sys.SYS_GETSOCKOPT
	SysSetsockopt       = sys.SYS_SETSOCKOPT
	SysRestartSyscall   = sys.SYS_RESTART_SYSCALL
	SysWait4            = sys.SYS_WAIT4
	SysWaitid           = sys.SYS_WAITID
	SysFaccessat2       = sys.SYS_FACCESSAT2
	SysRtSigaction      = sys.SYS_RT_SIGACTION
	SysRtSigprocmask    = sys.SYS_RT_SIGPROCMASK
	SysRtSigpending     = sys.SYS_RT_SIGPENDING
	SysRtSigtimedwait   = sys.SYS_RT_SIGTIMEDWAIT
	SysRtTgsigqueueinfo = sys.SYS_RT_TGSIGQUEUEINFO
	SysSigaltstack      = sys.SYS_SIGALTSTACK
)

// Resources of setrlimit(2).
const (
	RlimitData      = sys.RLIMIT_DATA
	RlimitFiles     = sys.RLIMIT_NOFILE
	RlimitStack     = sys.RLIMIT_STACK
	RlimitSignals   = sys.RLIMIT_SIGPENDING
	RlimitProcesses = sys.RLIMIT_NPROC
	RlimitAddress   = sys.RLIMIT_AS
)

// Arguments of those calls.
const (
	MremapMayMove   = sys.MREMAP_MAYMOVE
	MremapFixed     = sys.MREMAP_FIXED
	MsgCmsgCloexec  = sys.MSG_CMSG_CLOEXEC
	MsgDontWait     = sys.MSG_DONTWAIT
	AtEmptyPath     = sys.AT_EMPTY_PATH
	AtExecveCheck   = 0x10000
	AtFDCWD         = sys.AT_FDCWD
	SolSocket       = sys.SOL_SOCKET
	SoRcvlowat      = sys.SO_RCVLOWAT
	ScmRights       = sys.SCM_RIGHTS
	PrSetPdeathsig  = sys.PR_SET_PDEATHSIG
	PrSetName       = sys.PR_SET_NAME
	PrSetNoNewPrivs = sys.PR_SET_NO_NEW_PRIVS
	PrSetTSC        = sys.PR_SET_TSC
	PrTSCSigsegv    = sys.PR_TSC_SIGSEGV
	PrSetPtracer    = sys.PR_SET_PTRACER
	PrSetMM         = sys.PR_SET_MM
	PrSetMMMap      = sys.PR_SET_MM_MAP

	MadvPopulateWrite = sys.MADV_POPULATE_WRITE
	MadvDontDump      = sys.MADV_DONTDUMP
	MadvDontNeed      = sys.MADV_DONTNEED
	MadvFree          = sys.MADV_FREE
	MadvRemove        = sys.MADV_REMOVE
	MadvDontFork      = sys.MADV_DONTFORK
	MadvHWPoison      = sys.MADV_HWPOISON
	MapSharedFlag     = sys.MAP_SHARED
	MapPrivate        = sys.MAP_PRIVATE
	MapFixed          = sys.MAP_FIXED
	MapFixedNoreplace = sys.MAP_FIXED_NOREPLACE
	MfdCloexec        = sys.MFD_CLOEXEC
	MfdAllowSealing   = sys.MFD_ALLOW_SEALING
	MapAnonymous      = sys.MAP_ANONYMOUS
	MapGrowsdown      = sys.MAP_GROWSDOWN
	MapStack          = sys.MAP_STACK
	FDupFD            = sys.F_DUPFD
	CloseRangeUnshare = sys.CLOSE_RANGE_UNSHARE
	CloseRangeCloexec = sys.CLOSE_RANGE_CLOEXEC
	FDupFDCloexec     = sys.F_DUPFD_CLOEXEC
	FSetOwn           = sys.F_SETOWN
	FSetSig           = 10
	FSetFl            = sys.F_SETFL
	OAsync            = sys.O_ASYNC
	ONonblock         = sys.O_NONBLOCK
	OPath             = sys.O_PATH
	OCloexec          = sys.O_CLOEXEC
	ONofollow         = sys.O_NOFOLLOW
	OAccmode          = sys.O_ACCMODE
	OWronly           = sys.O_WRONLY
	OCreat            = sys.O_CREAT
	OExcl             = sys.O_EXCL
	ONoctty           = sys.O_NOCTTY
	OTrunc            = sys.O_TRUNC
	OAppend           = sys.O_APPEND
	ODsync            = sys.O_DSYNC
	OSync             = sys.O_SYNC
	ODirect           = sys.O_DIRECT
	ODirectory        = sys.O_DIRECTORY
	ONoatime          = sys.O_NOATIME
	OTmpfile          = sys.O_TMPFILE
	// OLargefile is the kernel's bit: package unix of golang.org/x/sys has 0 where files are
	// large without it.
	OLargefile = 0o100000

	CloneNewns = sys.CLONE_NEWNS

	ResolveInRoot       = sys.RESOLVE_IN_ROOT
	ResolveNoXdev       = sys.RESOLVE_NO_XDEV
	ResolveNoMagiclinks = sys.RESOLVE_NO_MAGICLINKS

	AtSymlinkNofollow = sys.AT_SYMLINK_NOFOLLOW

	SeccompSetModeFilter = sys.SECCOMP_SET_MODE_FILTER
	SeccompRetTrace      = sys.SECCOMP_RET_TRACE
)
