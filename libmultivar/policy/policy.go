package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Policy is a named choice of the calls that wait, compiled to a table with one entry per
// call. It is an immutable value, safe for concurrent use. The zero value is the
// comprehensive policy, so that a forgotten choice errs on the safe side.
type Policy struct {
	name string
	// table is indexed by sysabi.Row.ID; without one all calls wait.
	table []entry
}

// UnknownError says that there is no policy of this name.
type UnknownError struct {
	Name string
}

// Error implements error.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("unknown policy %q; there are %s", e.Name, strings.Join(Names(), ", "))
}

// Names returns the names of all policies.
func Names() []string {
	var names []string
	for _, d := range definitions() {
		names = append(names, d.name)
	}
	return names
}

// Summary says in a few words where the policy with this name waits.
func Summary(name string) string {
	d, _ := find(name)
	return d.summary
}

// ByName returns the policy with this name, or an *[UnknownError].
func ByName(name string) (Policy, error) {
	d, ok := find(name)
	switch {
	case !ok:
		return Policy{}, &UnknownError{Name: name}
	case name == Comprehensive:
		return Policy{}, nil
	}
	return Policy{name: name, table: compile(d.decider())}, nil
}

// Name returns the name by which users choose the policy.
func (p Policy) Name() string {
	if p.name == "" {
		return Comprehensive
	}
	return p.name
}

// String returns the name.
func (p Policy) String() string { return p.Name() }

// Equal reports whether p and q have the same name and decide alike.
func (p Policy) Equal(q Policy) bool { return p.name == q.name && slices.Equal(p.table, q.table) }

// entry returns what the policy does with calls of r.
func (p Policy) entry(r *sysabi.Row) entry {
	if p.table == nil {
		return entry{descriptor: -1}
	}
	if r.ID < 0 || r.ID >= len(p.table) {
		return entry{descriptor: -1}
	}
	return p.table[r.ID]
}

// Decision returns what the policy does with calls of r.
func (p Policy) Decision(r *sysabi.Row) Decision { return p.entry(r).decision }

// Descriptor returns the argument of calls of r whose class [Policy.Waits] needs to know,
// false when it needs none.
func (p Policy) Descriptor(r *sysabi.Row) (arg int, ok bool) {
	d := p.entry(r).descriptor
	return int(max(d, 0)), d >= 0
}

// Waits reports whether the call c with these arguments must have no effect
// before every variant has asked for the same. The class is that of the argument that
// Descriptor names. A call that ends a process waits under every policy, and so does one
// that creates one.
func (p Policy) Waits(c *sysabi.Call, args [6]uint64, class Class) bool {
	return p.entry(c.Row).waits(args, class)
}
