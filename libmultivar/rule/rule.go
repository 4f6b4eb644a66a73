package rule

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Set is the rules of one file. It is immutable and safe for concurrent use; a nil Set
// has no rules.
type Set struct {
	names []string
	// masks are indexed by sysabi.Row.ID, extras by the variant that makes the calls.
	masks  map[int][]Mask
	extras map[int][]Extra
	// most is the highest variant that a rule names, in the rule mostRule.
	most, mostRule int
}

// anyFollower stands for all of them where a rule names none.
const anyFollower = 0

// Mask lets a part of an argument of one call differ.
type Mask struct {
	// ID is the rule's index in Names.
	ID int
	// Path, when it is not empty, is the one file of which the rule holds: the call's
	// path argument, or else what its descriptor is; Pattern is that of [path.Match] for
	// several files. Class, when it is not Unknown, is what its descriptor has to be.
	Path, Pattern string
	Class         policy.Class

	follower int
	arg      uint8
	// member is the index of a member in the argument's layout, -1 for all.
	member int
	// from and to are the bytes of the argument's data that may differ, when part is set.
	part     bool
	from, to uint64
	// pathArg is the path argument of the call, -1 when Path is about its descriptor.
	pathArg int
}

// Extra lets one variant make a sequence of calls that another one does not make.
type Extra struct {
	// ID is the rule's index in Names.
	ID int
	// Calls are the ids of the rows of the calls, in their order, at least one.
	Calls []int
	// Times is how often each variant may do so in a session, or have it done to it by
	// the leader.
	Times int

	follower int
}

// Use is how often a rule was used in a session.
type Use struct {
	Name  string
	Times int
}

// Names returns the names of the rules in the order of their IDs.
func (s *Set) Names() []string {
	if s == nil {
		return nil
	}
	return append([]string(nil), s.names...)
}

// Check returns an error when a rule names a variant that a session of so many variants
// does not have.
func (s *Set) Check(variants int) error {
	if s == nil || s.most < variants {
		return nil
	}
	return fmt.Errorf("rule %q names variant %d; the variants are 0 to %d", s.names[s.mostRule], s.most, variants-1)
}

// Masks returns the masks for calls of r.
func (s *Set) Masks(r *sysabi.Row) []Mask {
	if s == nil || r == nil {
		return nil
	}
	return s.masks[r.ID]
}

// Extras returns the sequences that variant v may make alone.
func (s *Set) Extras(v int) []Extra {
	if s == nil {
		return nil
	}
	return s.extras[v]
}

// LetsCall reports whether some variant may make calls that another one does not make.
func (s *Set) LetsCall() bool { return s != nil && len(s.extras) > 0 }

// AsksDescriptor reports whether a mask for calls of r depends on what their descriptor
// is.
func (s *Set) AsksDescriptor(r *sysabi.Row) bool {
	for _, m := range s.Masks(r) {
		if m.Class != policy.Unknown || m.hasPath() && m.pathArg < 0 {
			return true
		}
	}
	return false
}

// Concerns reports whether the rule is about follower v.
func (x *Extra) Concerns(v int) bool { return x.follower == anyFollower || x.follower == v }
