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
	Resource   uint64
	Soft, Hard uint64
}

// smallStack is enough for the start of a small program, in bytes.
const smallStack = 1 << 20

// LiftLimits lifts the limits of process pid on descriptors, to files at least, and
// on memory, as far as the caller may. It returns those that were lower.
func LiftLimits(pid int, files uint64) []Limit {
	var old []Limit
	for _, want := range []Limit{
		{Resource: RlimitFiles, Soft: files},
		{Resource: RlimitAddress, Soft: sys.RLIM_INFINITY},
		{Resource: RlimitData, Soft: sys.RLIM_INFINITY},
		{Resource: RlimitStack, Soft: smallStack},
	} {
		var now sys.Rlimit
		if sys.Prlimit(pid, int(want.Resource), nil, &now) != nil || now.Cur >= want.Soft {
			continue
		}
		l := Limit{want.Resource, now.Cur, now.Max}
		err := setLimit(pid, Limit{l.Resource, want.Soft, max(want.Soft, l.Hard)})
		if err != nil && l.Soft < l.Hard {
			err = setLimit(pid, Limit{l.Resource, min(want.Soft, l.Hard), l.Hard})
		}
		if err == nil {
			old = append(old, l)
		}
	}
	return old
}

// LiftSignals lifts the limit of process pid on signals that are queued, as far as it may
// do so itself. It returns the limit if that was lower.
func LiftSignals(pid int) []Limit {
	var now sys.Rlimit
	if sys.Prlimit(pid, sys.RLIMIT_SIGPENDING, nil, &now) != nil || now.Cur >= now.Max {
		return nil
	}
	if setLimit(pid, Limit{RlimitSignals, now.Max, now.Max}) != nil {
		return nil
	}
	return []Limit{{RlimitSignals, now.Cur, now.Max}}
}

// SetLimits gives process pid back what LiftLimits lifted.
func SetLimits(pid int, old []Limit) {
	for _, l := range old {
		_ = setLimit(pid, l)
	}
}

func setLimit(pid int, l Limit) error {
	return sys.Prlimit(pid, int(l.Resource), &sys.Rlimit{Cur: l.Soft, Max: l.Hard}, nil)
}
