//go:build linux

package unix

import sys "golang.org/x/sys/unix"

// Numbers of calls that newer architectures do not have.
const (
	SysGetdents  = sys.SYS_GETDENTS
	SysDup2      = sys.SYS_DUP2
	SysFork      = sys.SYS_FORK
	SysVfork     = sys.SYS_VFORK
	SysOpen      = sys.SYS_OPEN
	SysCreat     = sys.SYS_CREAT
	SysPoll      = sys.SYS_POLL
	SysArchPrctl = sys.SYS_ARCH_PRCTL
)

// semCountAt is where struct semid64_ds has sem_nsems (arch/x86/include/uapi/asm/sembuf.h).
const semCountAt = 80
