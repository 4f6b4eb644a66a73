package report

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/calllog"
)

// Version is the version of the JSON form; it grows when the meaning of a key
// changes or a key goes away, not when one is added.
const Version = 1

// MaxBytes bounds Value.Bytes and MaxEvents bounds Divergence.Events.
const (
	MaxBytes  = 4096
	MaxEvents = 20
)

// Kind says in what the variants differ.
type Kind string

// The kinds of divergences. The values are part of the JSON form.
const (
	// KindCall: variants make different calls.
	KindCall Kind = "call"
	// KindArgument: the same call with different values.
	KindArgument Kind = "argument"
	// KindData: the same call with different bytes behind a pointer.
	KindData Kind = "data"
	// KindSignal: a signal, or a different one, in one variant alone.
	KindSignal Kind = "signal"
	// KindExit: a variant ends differently, or before it should.
	KindExit Kind = "exit"
	// KindCrash: a signal that its own instruction raised kills a variant.
	KindCrash Kind = "crash"
	// KindHang: a variant does not arrive where others wait.
	KindHang Kind = "hang"
	// KindMissing: a variant does not make a call that the leader makes.
	KindMissing Kind = "missing"
	// KindExtra: a variant makes a call that the leader does not make.
	KindExtra Kind = "extra"
	// KindResult: a call that succeeded in the leader, and that a follower has to
	// carry out too, came out differently there.
	KindResult Kind = "result"
	// KindBreach: a variant is about to make a call past the monitor. It need not differ from
	// others, of which there may be none.
	KindBreach Kind = "breach"
	// KindInternal: the engine could not tell whether the variants agree.
	KindInternal Kind = "internal"
)

// Process says where in the program a divergence was seen.
type Process struct {
	// Pid and Thread are the ids that the program sees.
	Pid    int
	Comm   string
	Thread int
}

// Value is what one variant asked for.
type Value struct {
	// Text is the value as the call log prints it.
	Text string
	// Bytes are data around the first difference, at most MaxBytes, and
	// WindowOffset is the offset of Bytes[0] in all of the data. See [Window].
	Bytes        []byte
	WindowOffset int
	// Fault is true when memory beyond Bytes could not be read.
	Fault bool
}

// Entry is one event before the divergence.
type Entry struct {
	// Seq numbers the events of all processes of a session from 1.
	Seq    uint64
	Pid    int
	Thread int
	// Text is the line of the call log without the id in front.
	Text string
	// Waiting is true when the event waits for all variants.
	Waiting bool
}

// RuleUse is how often a rule let a difference pass.
type RuleUse struct {
	Name  string
	Times int
}

// Divergence describes how one variant differs from the leader. It implements
// error; the message is one line. A Divergence is not changed after it was made
// and may then be read concurrently.
type Divergence struct {
	// Version is the constant Version; zero counts as that.
	Version int
	Kind    Kind
	// Variant is the variant that differs from the leader, of Variants in all. It
	// is 0 when the leader itself fails, and Other is then what the others did.
	Variant  int
	Variants int
	Process  Process
	// Call is the leader's call; VariantCall the variant's if it is another one.
	Call        string
	VariantCall string
	// Argument names what differs, members and elements included ("buf",
	// "iov[2].base", "statbuf.st_mode"). ArgumentIndex is the position of the
	// call's argument from 0, -1 when no argument differs.
	Argument      string
	ArgumentIndex int
	// Offset is the first byte that differs, -1 when no bytes were compared.
	Offset        int
	Leader, Other Value
	// Events are the last events, oldest first, at most MaxEvents.
	Events []Entry
	// Policy is the name of the policy in force.
	Policy string
	// EffectOut is true when the leader's call had run already when the
	// difference was seen.
	EffectOut bool
	// Inexact is how many signals were delivered before in the middle of what the
	// program computed, which cannot be at the same place in all variants.
	Inexact int
	// Preempted is how many times a thread had to let others run where it computed,
	// which is not at the same place in all variants either.
	Preempted int
	// Rules are the rules of the user's, in the order of their file, with how often each
	// had let a difference pass.
	Rules []RuleUse
	// When is the time in the form of RFC 3339, empty when unknown.
	When string
	// Sides are all variants as they were then, Cause is why they probably differ, nil
	// when nobody has looked. Both are made of Scene, which is no part of the JSON form.
	Sides []Side
	Cause *Cause
	Scene *Scene
}

// Error returns the headline. Implements error.
func (d *Divergence) Error() string {
	return calllog.Printable("divergence: " + d.headline())
}

func (d *Divergence) headline() string {
	who, other := d.who(), "the leader"
	if d.Variant == 0 {
		other = "the other variants"
	}
	argument := d.Argument
	if argument == "" {
		argument = "an argument"
	}
	switch d.Kind {
	case KindCall:
		return fmt.Sprintf("%s calls %s where %s calls %s", who, orUnknown(d.VariantCall), other, orUnknown(d.Call))
	case KindArgument:
		return fmt.Sprintf("%s calls %s with another %s", who, orUnknown(d.Call), argument)
	case KindData:
		if d.Offset >= 0 {
			return fmt.Sprintf("%s calls %s with other data: %s differs at byte %d", who, orUnknown(d.Call), argument, d.Offset)
		}
		return fmt.Sprintf("%s calls %s with other data: %s differs", who, orUnknown(d.Call), argument)
	case KindSignal:
		return fmt.Sprintf("%s gets a signal that %s does not get", who, other)
	case KindExit:
		return fmt.Sprintf("%s ends otherwise than %s", who, other)
	case KindCrash:
		return fmt.Sprintf("%s crashes", who)
	case KindHang:
		if d.Call != "" {
			return fmt.Sprintf("%s hangs and does not arrive at %s", who, d.Call)
		}
		return fmt.Sprintf("%s hangs", who)
	case KindMissing:
		return fmt.Sprintf("%s does not call %s", who, orUnknown(d.Call))
	case KindExtra:
		return fmt.Sprintf("%s calls %s, which %s does not", who, orUnknown(d.VariantCall), other)
	case KindResult:
		return fmt.Sprintf("%s in %s does not come out as in the leader", orUnknown(d.Call), who)
	case KindBreach:
		return fmt.Sprintf("%s calls %s past the monitor", who, orUnknown(d.VariantCall))
	case KindInternal:
		return fmt.Sprintf("%s cannot be compared with %s", who, other)
	}
	return fmt.Sprintf("%s differs from %s", who, other)
}

// who names the variant that differs.
func (d *Divergence) who() string {
	if d.Variant == 0 {
		return "the leader"
	}
	return fmt.Sprintf("variant %d", d.Variant)
}

func orUnknown(call string) string {
	if call == "" {
		return "(unknown)"
	}
	return call
}

// FirstDifference returns the first offset at which a and b differ, -1 when they
// are equal. Where one is longer it is the length of the shorter one.
func FirstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return n
	}
	return -1
}

// Window returns the part of data, at most MaxBytes, that a report shows for a
// difference at offset at, and where in data it starts. Data that fit are
// returned whole; with the same at the windows of both variants are aligned. The
// result shares data's memory.
func Window(data []byte, at int) (window []byte, offset int) {
	if len(data) <= MaxBytes {
		return data, 0
	}
	offset = max(at-MaxBytes/2, 0) &^ (rowBytes - 1)
	offset = min(offset, len(data))
	return data[offset:min(offset+MaxBytes, len(data))], offset
}
