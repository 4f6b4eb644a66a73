package policy

import (
	"fmt"
	"strings"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// The names of the policies.
const (
	// Performance waits where a process or a thread is created, and nowhere else.
	Performance = "performance"
	// Exec waits also where a program or a mapping becomes executable.
	Exec = "exec"
	// Leak waits, beyond what Performance does, where data leave the program.
	Leak = "leak"
	// Comprehensive waits at every call.
	Comprehensive = "comprehensive"

	// Default is the policy of those who choose none.
	Default = Exec
)

// protExec is PROT_EXEC (include/uapi/asm-generic/mman-common.h).
const protExec = 0x4

// protArg is the index of the protection in every call whose row has
// sysabi.WaitMapExec: mmap(2), mprotect(2), pkey_mprotect(2).
const protArg = 2

// Policy is a named choice of the calls that wait. It is an immutable value,
// safe for concurrent use. The zero value is the comprehensive policy, so that
// a forgotten choice errs on the safe side.
type Policy struct {
	name string
	// waits holds the reasons that count; empty means that all calls wait.
	waits sysabi.Wait
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
func Names() []string { return []string{Performance, Exec, Leak, Comprehensive} }

// ByName returns the policy with this name, or an *[UnknownError].
func ByName(name string) (Policy, error) {
	switch name {
	case Performance:
		return Policy{name: name, waits: sysabi.WaitClone}, nil
	case Exec:
		return Policy{name: name, waits: sysabi.WaitClone | sysabi.WaitExec | sysabi.WaitMapExec}, nil
	case Leak:
		return Policy{name: name, waits: sysabi.WaitClone | sysabi.WaitOutput}, nil
	case Comprehensive:
		return Policy{}, nil
	}
	return Policy{}, &UnknownError{Name: name}
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

// Waits reports whether the call c with these arguments must have no effect
// before every variant has asked for the same. A call that ends a process waits
// under every policy.
func (p Policy) Waits(c *sysabi.Call, args [6]uint64) bool {
	if p.waits == 0 {
		return true
	}
	if c.Wait&sysabi.WaitAlways != 0 {
		return true
	}
	reasons := c.Wait & p.waits
	if args[protArg]&protExec == 0 {
		reasons &^= sysabi.WaitMapExec
	}
	return reasons != 0
}
