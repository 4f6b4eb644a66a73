//go:build linux

package unix

import sys "golang.org/x/sys/unix"

// LimitCore lowers the size in bytes of core dumps of process pid (RLIMIT_CORE),
// unless it is lower already.
func LimitCore(pid int, bytes uint64) error {
	var limit sys.Rlimit
	if err := sys.Prlimit(pid, sys.RLIMIT_CORE, nil, &limit); err != nil {
		return err
	}
	limit.Cur = min(limit.Cur, bytes)
	return sys.Prlimit(pid, sys.RLIMIT_CORE, &limit, nil)
}
