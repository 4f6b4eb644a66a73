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

// Limit is one of the limits of a process.
type Limit struct {
	resource int
	values   sys.Rlimit
}

// ownWork are the limits that keep a process from having another descriptor or
// another mapping.
var ownWork = []int{sys.RLIMIT_NOFILE, sys.RLIMIT_AS, sys.RLIMIT_DATA}

// LiftLimits lifts the limits of process pid on descriptors, to files at least, and
// on memory, as far as the caller may. It returns those that were lower.
func LiftLimits(pid int, files uint64) []Limit {
	var old []Limit
	for _, r := range ownWork {
		l := Limit{resource: r}
		if sys.Prlimit(pid, r, nil, &l.values) != nil {
			continue
		}
		need := uint64(sys.RLIM_INFINITY)
		if r == sys.RLIMIT_NOFILE {
			need = files
		}
		if l.values.Cur >= need {
			continue
		}
		lifted := sys.Rlimit{Cur: need, Max: max(need, l.values.Max)}
		err := sys.Prlimit(pid, r, &lifted, nil)
		if err != nil && l.values.Cur < l.values.Max {
			lifted = sys.Rlimit{Cur: min(need, l.values.Max), Max: l.values.Max}
			err = sys.Prlimit(pid, r, &lifted, nil)
		}
		if err == nil {
			old = append(old, l)
		}
	}
	return old
}

// SetLimits gives process pid back what LiftLimits lifted.
func SetLimits(pid int, old []Limit) {
	for _, l := range old {
		_ = sys.Prlimit(pid, l.resource, &l.values, nil)
	}
}
