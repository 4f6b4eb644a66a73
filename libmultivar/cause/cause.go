package cause

import (
	"slices"
	"time"

	"github.com/multivar/multivar/libmultivar/report"
)

// Places answers questions about addresses and records of the variants. Each answer may
// be that nothing is known.
type Places interface {
	// Symbol names what is at an address of a variant, in a form for people.
	Symbol(v *report.View, addr uint64) string
	// AfterCall reports whether addr is behind a call instruction, as return addresses are.
	AfterCall(v *report.View, addr uint64) bool
	// Records returns records of the program that have this size.
	Records(v *report.View, size int) []Record
}

// Record is a structure type of a program.
type Record struct {
	Name    string
	Members []Member
}

// Member is a part of a record, in bytes from its start.
type Member struct {
	Name        string
	Offset, End int
}

// Clock is what the monitor's clocks showed at about the time of the divergence.
type Clock struct {
	Wall time.Time
	// Uptime is what CLOCK_MONOTONIC shows, 0 when it is not known.
	Uptime time.Duration
}

// finding is what a judge says. The zero value says nothing.
type finding struct {
	name     report.CauseName
	strength int
	evidence []string
}

// The strengths of findings. Only their order counts.
const (
	// A variant's code or its path through it is not the program's.
	strengthBreach       = 110
	strengthForeignCode  = 100
	strengthForeignCall  = 96
	strengthRecord       = 92
	strengthLeftover     = 90
	strengthCrash        = 89
	strengthAddress      = 86
	strengthEnvironment  = 85
	strengthDate         = 84
	strengthPermuted     = 83
	strengthKernelRecord = 81
	strengthHole         = 80
	strengthMember       = 79
	strengthRemnant      = 78
	strengthClock        = 76
	strengthDerived      = 74
	strengthBehindText   = 72
	strengthMoved        = 70
	strengthRandom       = 68
	strengthAbort        = 66
	strengthDuration     = 62
	strengthZero         = 60
	strengthMarks        = 56
	strengthPrograms     = 50
)

// incident is a divergence with what all judges need of it.
type incident struct {
	d      *report.Divergence
	places Places
	clock  Clock
	// leader and other are the variants that are compared.
	leader, other *report.View
	// a and b are what differs, from the same offset on; both are empty when no bytes were
	// compared. first and last are the first and the last index that differs.
	a, b        []byte
	first, last int
	// start is the offset of a and b in the argument's data.
	start int
}

// Find names the probable cause of d, which has a Scene.
func Find(d *report.Divergence, places Places, clock Clock) *report.Cause {
	in := newIncident(d, places, clock)
	var found []finding
	for _, judge := range []func(*incident) finding{
		attack, padding, leftover, address, environment, times, ordering, random,
	} {
		if f := judge(in); f.strength > 0 {
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b finding) int { return b.strength - a.strength })
	if len(found) == 0 {
		return &report.Cause{Name: report.CauseUnknown, Evidence: []string{"what differs looks like nothing that is known"}}
	}
	best := found[0]
	out := &report.Cause{Name: best.name, Evidence: best.evidence}
	for _, f := range found[1:] {
		if f.name != best.name && len(f.evidence) > 0 {
			out.Evidence = append(out.Evidence, "less likely "+string(f.name)+": "+f.evidence[0])
		}
	}
	out.Rule = proposal(in, out.Name)
	return out
}

func newIncident(d *report.Divergence, places Places, clock Clock) *incident {
	in := &incident{d: d, places: places, clock: clock, leader: &report.View{}, other: &report.View{}, first: -1, last: -1}
	if places == nil {
		in.places = nowhere{}
	}
	if d.Scene != nil && len(d.Scene.Views) > 1 {
		in.leader, in.other = &d.Scene.Views[0], &d.Scene.Views[1]
		if d.Variant > 0 && d.Variant < len(d.Scene.Views) {
			in.other = &d.Scene.Views[d.Variant]
		}
	}
	in.start = max(d.Leader.WindowOffset, d.Other.WindowOffset)
	in.a, in.b = from(d.Leader, in.start), from(d.Other, in.start)
	for i := range max(len(in.a), len(in.b)) {
		if i >= len(in.a) || i >= len(in.b) || in.a[i] != in.b[i] {
			if in.first < 0 {
				in.first = i
			}
			in.last = i
		}
	}
	return in
}

// from returns a value's bytes from an offset of the data on.
func from(v report.Value, start int) []byte {
	return v.Bytes[min(max(start-v.WindowOffset, 0), len(v.Bytes)):]
}

// differs reports whether bytes were compared and differ.
func (in *incident) differs() bool {
	return in.first >= 0 && in.first < len(in.a) && in.first < len(in.b)
}

// differsAt reports whether byte i of both differs.
func (in *incident) differsAt(i int) bool {
	return i < len(in.a) && i < len(in.b) && in.a[i] != in.b[i]
}

// nowhere knows nothing.
type nowhere struct{}

func (nowhere) Symbol(*report.View, uint64) string  { return "" }
func (nowhere) AfterCall(*report.View, uint64) bool { return false }
func (nowhere) Records(*report.View, int) []Record  { return nil }
