//go:build linux

package seal

import (
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Place is where the variant host is in the processes of a variant, and what it has there.
type Place struct {
	// Start and End are the bounds of its image, SlotEnd that of the part of the address
	// space from Start on in which everything that it has mapped is. The bounds of this
	// part are multiples of 4 GiB, and the image ends in the first of them.
	Start, End, SlotEnd uint64
	// Hidden is the first descriptor that may be its own.
	Hidden uint32
}

// protExec is PROT_EXEC.
const protExec = 4

// rule says when a call is tame: when all of it holds.
type rule struct {
	nr uint32
	// descriptors are arguments that are no descriptor of the variant host's.
	descriptors []int
	// null are arguments that are 0.
	null []int
	// ranged says that the first two arguments are a range of memory of the program's;
	// unexecuted that the third is without PROT_EXEC.
	ranged, unexecuted bool
	// exactly are the arguments, if that is not nil.
	exactly *[6]uint64
}

// dispatchCall and dispatchArgs are the call by which a task of the variant host's has
// the program's calls dispatched. A task makes it before the monitor knows of it.
func (p *Place) dispatch() rule {
	const (
		setDispatch = 59 // PR_SET_SYSCALL_USER_DISPATCH
		on          = 1
	)
	row, _ := sysabi.ByName("prctl")
	return rule{
		nr:      uint32(row.Nr[sysabi.AMD64]),
		exactly: &[6]uint64{setDispatch, on, p.Start, p.End - p.Start, 0, 0},
	}
}

// rules returns the rules of all calls that can be tame, by ascending numbers.
func (p *Place) rules() []rule {
	var list []rule
	for nr := range maxNumber {
		row, ok := sysabi.Lookup(sysabi.AMD64, nr)
		switch {
		case ok && row.Tame != sysabi.NotTame:
			list = append(list, ruleOf(row))
		case ok && row.Name == "prctl":
			list = append(list, p.dispatch())
		}
	}
	return list
}

// maxNumber bounds the numbers of calls that are looked at.
const maxNumber = 1 << 10

func ruleOf(row *sysabi.Row) rule {
	r := rule{nr: uint32(row.Nr[sysabi.AMD64])}
	for i := range row.Args {
		a := &row.Args[i]
		switch {
		case a.Kind == sysabi.FD:
			r.descriptors = append(r.descriptors, i)
		case a.Kind == sysabi.Sockaddr && a.Dir == sysabi.In:
			r.null = append(r.null, i)
		}
	}
	r.ranged = row.Tame == sysabi.TameRange
	r.unexecuted = r.ranged && row.Wait.Has(sysabi.WaitMapExec)
	return r
}

// allows says whether the rule lets a call with these arguments pass. The filter says
// the same.
func (r *rule) allows(p *Place, args *[6]uint64) bool {
	if r.exactly != nil {
		return *args == *r.exactly
	}
	for _, i := range r.descriptors {
		if fd := uint32(args[i]); fd >= p.Hidden && fd != none {
			return false
		}
	}
	for _, i := range r.null {
		if args[i] != 0 {
			return false
		}
	}
	if r.unexecuted && args[2]&protExec != 0 {
		return false
	}
	return !r.ranged || p.spares(args[0], args[1])
}

// none is the number that no descriptor has.
const none = ^uint32(0)

// spares says whether a range is surely not the variant host's: it is above, or it begins
// more than 4 GiB below and has less.
func (p *Place) spares(addr, size uint64) bool {
	high := uint32(addr >> 32)
	return high >= uint32(p.SlotEnd>>32) || high < uint32(p.Start>>32)-1 && size>>32 == 0
}
