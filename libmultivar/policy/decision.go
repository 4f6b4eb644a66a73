package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Class says what a descriptor is, as far as a decision depends on it.
type Class uint8

// The classes.
const (
	// Unknown is the class of a descriptor that is not open or of which it is not certain
	// what it will be when the call gets to it. No decision lets such a call go early.
	Unknown Class = iota
	Socket
	// NonSocket is everything that is certain to be no socket: files, pipes, terminals,
	// descriptors for events.
	NonSocket
)

// String returns the class in words.
func (c Class) String() string {
	switch c {
	case Socket:
		return "socket"
	case NonSocket:
		return "nonsocket"
	}
	return "unknown"
}

// Decision says when a call waits until all variants have asked for it.
type Decision uint8

// The decisions.
const (
	// Always is the zero value, so that a forgotten decision errs on the safe side.
	Always Decision = iota
	// Never has the call compared after the leader's effect.
	Never
	// Executable has the call wait when it makes memory executable.
	Executable
	// Sockets has it wait unless its descriptor is certain to be no socket.
	Sockets
	// NonSockets has it wait unless its descriptor is certain to be a socket.
	NonSockets
	decisionEnd
)

// decisionNames are the words for decisions in files.
func decisionNames() []string {
	return []string{Always: "always", Never: "never", Executable: "executable", Sockets: "socket", NonSockets: "nonsocket"}
}

// String returns the word that stands for d in files.
func (d Decision) String() string {
	if d < decisionEnd {
		return decisionNames()[d]
	}
	return fmt.Sprintf("Decision(%d)", uint8(d))
}

// parseDecision returns the decision for which a word of a file stands.
func parseDecision(word string) (Decision, error) {
	i := slices.Index(decisionNames(), word)
	if i < 0 {
		return Always, fmt.Errorf("unknown decision %q; there are %s", word, strings.Join(decisionNames(), ", "))
	}
	return Decision(i), nil
}

// protExec is PROT_EXEC (include/uapi/asm-generic/mman-common.h).
const protExec = 0x4

// protArg is the index of the protection in every call whose row has
// sysabi.WaitMapExec: mmap(2), mprotect(2), pkey_mprotect(2).
const protArg = 2

// entry is what a policy does with one call.
type entry struct {
	decision Decision
	// descriptor is the argument whose class counts, -1 when none does.
	descriptor int8
}

// waits reports whether a call with these arguments waits.
func (t entry) waits(args [6]uint64, class Class) bool {
	switch t.decision {
	case Never:
		return false
	case Executable:
		return args[protArg]&protExec != 0
	case Sockets:
		return class != NonSocket
	case NonSockets:
		return class != Socket
	}
	return true
}

// check returns an error when d is nothing that a policy may decide about calls of r.
func (d Decision) check(r *sysabi.Row) error {
	if r.Wait.Has(sysabi.WaitAlways|sysabi.WaitClone) && d != Always {
		return fmt.Errorf("%s waits always, under every policy", r.Name)
	}
	switch d {
	case Executable:
		if !r.Wait.Has(sysabi.WaitMapExec) {
			return fmt.Errorf("%s does not make memory executable; it can wait always or never", r.Name)
		}
	case Sockets, NonSockets:
		if _, ok := r.Descriptor(); !ok {
			return fmt.Errorf("%s does not act on one descriptor; it can wait always or never", r.Name)
		}
	}
	return nil
}

// compile returns the table of the decisions that decide makes, indexed by sysabi.Row.ID.
func compile(decide func(r *sysabi.Row) Decision) []entry {
	rows := sysabi.Rows()
	table := make([]entry, len(rows)+1)
	table[0] = entry{decision: decide(&sysabi.Row{}), descriptor: -1}
	for _, r := range rows {
		t := entry{decision: decide(r), descriptor: -1}
		if t.decision == Sockets || t.decision == NonSockets {
			if arg, ok := r.Descriptor(); ok {
				t.descriptor = int8(arg)
			}
		}
		table[r.ID] = t
	}
	return table
}
