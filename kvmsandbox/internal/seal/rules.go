//go:build linux

package seal

import (
	"maps"
	"slices"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Place is where the variant host is in the processes of a variant, and what it has there.
type Place struct {
	// Start and End are the bounds of its image, SlotEnd that of the part of the address
	// space from Start on in which everything that it has mapped is. The bounds of this
	// part are multiples of 4 GiB, and the image ends in the first of them.
	Start, End, SlotEnd uint64
	// Actions are the addresses in the image of struct kernel_sigactions that any signal may
	// have.
	Actions []uint64
	// Hidden is the first descriptor that may be its own.
	Hidden uint32
	// Names are those of files that may be opened to be read.
	Names Names
}

// Names is memory that the variant cannot write, in which each multiple of Mask and 1 is the
// address of a struct open_how of How bytes, and has behind it, at Path, the name that it is for:
// an absolute one, or none. All of it is in the same 4 GiB. There is no such memory where End is 0.
type Names struct {
	Start, End      uint64
	Mask, Path, How uint32
}

// allows says whether a call of openat2(2) with these arguments has a name that is there, with
// what belongs to it.
func (n *Names) allows(args *[6]uint64) bool {
	how := args[2]
	return how >= n.Start && how < n.End && uint32(how)&n.Mask == 0 && args[1] == how+uint64(n.Path) && args[3] == uint64(n.How)
}

// protExec is PROT_EXEC.
const protExec = 4

// rule says when a call is tame: when all of it holds.
type rule struct {
	nr uint32
	// descriptors are arguments that are no descriptor of the variant host's; directories are
	// such, too, where they are not negative.
	descriptors, directories []int
	// null are arguments that are 0.
	null []int
	// ranged says that the first two arguments are a range of memory of the program's;
	// unexecuted that the third is without PROT_EXEC.
	ranged, unexecuted bool
	// commands are the values of the low half of argument command with which the call is
	// tame, if there are any; with that of argument upper above it, where that is not 0.
	commands       []uint64
	command, upper int
	// patterns are the arguments with which alone the call is tame, if there are any.
	patterns []pattern
	// names says that the call is tame with what Place.Names has, and else is not.
	names bool
}

// pattern is a list of arguments, the first of which may be any where free is true.
type pattern struct {
	args [6]uint64
	free bool
}

// patterns are calls that give power but for these arguments. By the first a task of the
// variant host's has the program's calls dispatched, before the monitor knows of it. By the
// others it takes signals, or leaves them to the kernel; the actions are constants of the
// image. They are many after an exec.
func (p *Place) patterns() map[string][]pattern {
	const (
		setDispatch = 59 // PR_SET_SYSCALL_USER_DISPATCH
		on          = 1
		sigsetSize  = 8
	)
	actions := make([]pattern, 0, len(p.Actions))
	for _, at := range p.Actions {
		actions = append(actions, pattern{args: [6]uint64{0, at, 0, sigsetSize}, free: true})
	}
	return map[string][]pattern{
		"prctl":        {{args: [6]uint64{setDispatch, on, p.Start, p.End - p.Start}}},
		"rt_sigaction": actions,
	}
}

// rules returns the rules of all calls that can be tame, by ascending numbers.
func (p *Place) rules() []rule {
	var list []rule
	patterns := p.patterns()
	for nr := range maxNumber {
		row, ok := sysabi.Lookup(sysabi.AMD64, nr)
		if !ok {
			continue
		}
		r := ruleOf(row)
		if row.Tame == sysabi.NotTame || row.Tame == sysabi.TameApart {
			r.patterns = patterns[row.Name]
			r.commands = tameCommands(row)
			r.names = row.Name == "openat2" && p.Names.End != 0
			if len(r.patterns)+len(r.commands) == 0 && !r.names {
				continue
			}
		}
		if r.commands != nil {
			r.command, r.upper = row.Sub.Arg, row.Sub.Upper
		}
		list = append(list, r)
	}
	return list
}

// tameCommands returns the commands with which a call is tame.
func tameCommands(row *sysabi.Row) (list []uint64) {
	sub := row.Sub
	if sub == nil || sub.Mask != 0xffff_ffff {
		return nil
	}
	for _, command := range slices.Sorted(maps.Keys(sub.Cases)) {
		if c := sub.Cases[command]; c.Tame == sysabi.TameHere {
			list = append(list, command)
		}
	}
	return list
}

// commandOf returns the command that the arguments hold.
func (r *rule) commandOf(args *[6]uint64) uint64 {
	command := uint64(uint32(args[r.command]))
	if r.upper != 0 {
		command |= args[r.upper] << 32
	}
	return command
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
		case a.Kind == sysabi.DirFD:
			r.directories = append(r.directories, i)
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
	if r.patterns != nil {
		return slices.ContainsFunc(r.patterns, func(o pattern) bool {
			return (o.free || args[0] == o.args[0]) && slices.Equal(args[1:], o.args[1:])
		})
	}
	if r.names {
		return p.Names.allows(args)
	}
	if r.commands != nil && !slices.Contains(r.commands, r.commandOf(args)) {
		return false
	}
	for _, i := range r.descriptors {
		if fd := uint32(args[i]); fd >= p.Hidden && fd != none {
			return false
		}
	}
	for _, i := range r.directories {
		if fd := uint32(args[i]); fd >= p.Hidden && fd < negative {
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

// none is the number that no descriptor has. Those from negative on are none, either; AT_FDCWD is
// among them.
const (
	none     = ^uint32(0)
	negative = 1 << 31
)

// spares says whether a range is surely not the variant host's: it is above, or it begins
// more than 4 GiB below and has less.
func (p *Place) spares(addr, size uint64) bool {
	high := uint32(addr >> 32)
	return high >= uint32(p.SlotEnd>>32) || high < uint32(p.Start>>32)-1 && size>>32 == 0
}
