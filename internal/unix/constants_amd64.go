//go:build linux

package unix

import sys "golang.org/x/sys/unix"

// Numbers of the calls that a front-end makes in a variant.
const (
	SysRead         = sys.SYS_READ
	SysClose        = sys.SYS_CLOSE
	SysMunmap       = sys.SYS_MUNMAP
	SysMremap       = sys.SYS_MREMAP
	SysRecvmsg      = sys.SYS_RECVMSG
	SysPrctl        = sys.SYS_PRCTL
	SysSeccomp      = sys.SYS_SECCOMP
	SysExecveat     = sys.SYS_EXECVEAT
	SysCloseRange   = sys.SYS_CLOSE_RANGE
	SysRtSigreturn  = sys.SYS_RT_SIGRETURN
	SysRtSigsuspend = sys.SYS_RT_SIGSUSPEND
)

// Arguments of those calls.
const (
	MremapMayMove   = sys.MREMAP_MAYMOVE
	MremapFixed     = sys.MREMAP_FIXED
	MsgCmsgCloexec  = sys.MSG_CMSG_CLOEXEC
	MsgDontWait     = sys.MSG_DONTWAIT
	AtEmptyPath     = sys.AT_EMPTY_PATH
	AtFDCWD         = sys.AT_FDCWD
	SolSocket       = sys.SOL_SOCKET
	ScmRights       = sys.SCM_RIGHTS
	PrSetPdeathsig  = sys.PR_SET_PDEATHSIG
	PrSetName       = sys.PR_SET_NAME
	PrSetNoNewPrivs = sys.PR_SET_NO_NEW_PRIVS
	PrSetTSC        = sys.PR_SET_TSC
	PrTSCSigsegv    = sys.PR_TSC_SIGSEGV
	PrSetMM         = sys.PR_SET_MM
	PrSetMMMap      = sys.PR_SET_MM_MAP

	SeccompSetModeFilter = sys.SECCOMP_SET_MODE_FILTER
	SeccompRetTrace      = sys.SECCOMP_RET_TRACE
)
