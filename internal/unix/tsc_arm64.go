//go:build linux

package unix

import "syscall"

// TrapOwnTSC fails: arm64 has no counter that prctl(2) keeps from a thread.
func TrapOwnTSC() error { return syscall.EINVAL }

// AllowOwnTSC fails likewise.
func AllowOwnTSC() error { return syscall.EINVAL }
