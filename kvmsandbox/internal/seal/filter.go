//go:build linux

package seal

import (
	"fmt"

	"golang.org/x/net/bpf"

	"github.com/multivar/multivar/internal/unix"
)

// Offsets in struct seccomp_data (include/uapi/linux/seccomp.h) of little-endian machines.
const (
	dataNr   = 0
	dataArch = 4
	dataIP   = 8
	dataArgs = 16
	highHalf = 4
)

// auditX8664 is AUDIT_ARCH_X86_64 (include/uapi/linux/audit.h), x32Bit what numbers of the
// x32 kind have (arch/x86/include/uapi/asm/unistd.h).
const (
	auditX8664 = 0xc000003e
	x32Bit     = 0x4000_0000
)

// vsyscallPage is where old programs call the kernel, on processors' behalf.
const vsyscallPage = 0xffff_ffff_ff60_0000

// What becomes of a call; labels of the filter.
const (
	allow  = "allow"
	notify = "notify"
	trap   = "trap"
	kill   = "kill"
)

// assembler makes a program with labels.
type assembler struct {
	ins    []bpf.Instruction
	labels map[string]int
	// jumps are the instructions that jump to a label.
	jumps map[int]string
}

func (a *assembler) emit(in bpf.Instruction) { a.ins = append(a.ins, in) }

// load loads 32 bits of what the filter looks at.
func (a *assembler) load(off uint32) { a.emit(bpf.LoadAbsolute{Off: off, Size: 4}) }

// when jumps to a label if what was loaded stands so to val.
func (a *assembler) when(cond bpf.JumpTest, val uint32, to string) {
	a.emit(bpf.JumpIf{Cond: cond, Val: val, SkipFalse: 1})
	a.jump(to)
}

func (a *assembler) jump(to string) {
	a.jumps[len(a.ins)] = to
	a.emit(bpf.Jump{})
}

func (a *assembler) label(name string) { a.labels[name] = len(a.ins) }

// unlessEqual jumps to a label unless the 64 bits at off are val.
func (a *assembler) unlessEqual(off uint32, val uint64, to string) {
	a.load(off)
	a.when(bpf.JumpNotEqual, uint32(val), to)
	a.load(off + highHalf)
	a.when(bpf.JumpNotEqual, uint32(val>>32), to)
}

// link puts the labels' places into the jumps.
func (a *assembler) link() ([]bpf.Instruction, error) {
	for at, to := range a.jumps {
		target, ok := a.labels[to]
		if !ok || target <= at {
			return nil, fmt.Errorf("filter: no label %s behind instruction %d", to, at)
		}
		a.ins[at] = bpf.Jump{Skip: uint32(target - at - 1)}
	}
	return a.ins, nil
}

// program makes the filter of a variant.
func (p *Place) program() ([]bpf.Instruction, error) {
	a := &assembler{labels: map[string]int{}, jumps: map[int]string{}}
	a.load(dataArch)
	a.when(bpf.JumpNotEqual, auditX8664, kill)
	a.load(dataIP + highHalf)
	a.when(bpf.JumpNotEqual, uint32(p.Start>>32), "outside")
	// The instruction pointer is behind the instruction.
	a.load(dataIP)
	a.when(bpf.JumpGreaterThan, uint32(p.End), kill)
	a.load(dataNr)
	a.when(bpf.JumpGreaterOrEqual, x32Bit, notify)
	rules := p.rules()
	a.search(rules)
	for i := range rules {
		a.rule(p, &rules[i])
	}
	a.label("outside")
	a.when(bpf.JumpNotEqual, uint32(vsyscallPage>>32), kill)
	a.load(dataIP)
	a.when(bpf.JumpLessThan, uint32(vsyscallPage&0xffff_ffff), kill)
	a.when(bpf.JumpGreaterOrEqual, uint32(vsyscallPage&0xffff_ffff)+4096, kill)
	for _, end := range []struct {
		name   string
		action uint32
	}{
		{trap, unix.SeccompRetTrap}, {kill, unix.SeccompRetKillProcess},
		{notify, unix.SeccompRetNotify}, {allow, unix.SeccompRetAllow},
	} {
		a.label(end.name)
		a.emit(bpf.RetConstant{Val: end.action})
	}
	return a.link()
}

// search finds the rule of the number that is loaded.
func (a *assembler) search(rules []rule) {
	if len(rules) <= 3 {
		for i := range rules {
			a.when(bpf.JumpEqual, rules[i].nr, rules[i].label())
		}
		a.jump(notify)
		return
	}
	half := len(rules) / 2
	upper := "from " + rules[half].label()
	a.when(bpf.JumpGreaterOrEqual, rules[half].nr, upper)
	a.search(rules[:half])
	a.label(upper)
	a.search(rules[half:])
}

func (r *rule) label() string { return fmt.Sprintf("call %d", r.nr) }

// rule looks at the arguments of a call.
func (a *assembler) rule(p *Place, r *rule) {
	arg := func(i int) uint32 { return dataArgs + 8*uint32(i) }
	a.label(r.label())
	if r.patterns != nil {
		for k, o := range r.patterns {
			next := fmt.Sprintf("%s, pattern %d", r.label(), k)
			for i, v := range o.args {
				if i > 0 || !o.free {
					a.unlessEqual(arg(i), v, next)
				}
			}
			a.jump(allow)
			a.label(next)
		}
		a.jump(notify)
		return
	}
	if r.names {
		a.names(&p.Names, arg)
		return
	}
	if r.commands != nil {
		a.command(r)
	}
	descriptor := func(i int, cond bpf.JumpTest, but uint32) {
		next := fmt.Sprintf("%s, descriptor %d", r.label(), i)
		a.load(arg(i))
		a.when(cond, but, next)
		a.when(bpf.JumpGreaterOrEqual, p.Hidden, notify)
		a.label(next)
	}
	for _, i := range r.descriptors {
		descriptor(i, bpf.JumpEqual, none)
	}
	for _, i := range r.directories {
		descriptor(i, bpf.JumpGreaterOrEqual, negative)
	}
	for _, i := range r.null {
		a.unlessEqual(arg(i), 0, notify)
	}
	if r.unexecuted {
		a.load(arg(2))
		a.when(bpf.JumpBitsSet, protExec, notify)
	}
	if r.ranged {
		a.load(arg(0) + highHalf)
		a.when(bpf.JumpGreaterOrEqual, uint32(p.SlotEnd>>32), allow)
		a.when(bpf.JumpGreaterOrEqual, uint32(p.Start>>32)-1, notify)
		a.load(arg(1) + highHalf)
		a.when(bpf.JumpNotEqual, 0, notify)
	}
	a.jump(allow)
}

// names looks whether a call has what n has.
func (a *assembler) names(n *Names, arg func(int) uint32) {
	for _, i := range []int{1, 2} {
		a.load(arg(i) + highHalf)
		a.when(bpf.JumpNotEqual, uint32(n.Start>>32), notify)
	}
	a.load(arg(2))
	a.when(bpf.JumpLessThan, uint32(n.Start), notify)
	a.when(bpf.JumpGreaterOrEqual, uint32(n.End), notify)
	a.when(bpf.JumpBitsSet, n.Mask, notify)
	a.emit(bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: n.Path})
	a.emit(bpf.TAX{})
	a.load(arg(1))
	a.emit(bpf.JumpIfX{Cond: bpf.JumpEqual, SkipTrue: 1})
	a.jump(notify)
	a.unlessEqual(arg(3), uint64(n.How), notify)
	a.jump(allow)
}

// command looks for the command of a call among those with which it is tame, which are in
// ascending order: those with the same upper half follow each other.
func (a *assembler) command(r *rule) {
	arg := func(i int) uint32 { return dataArgs + 8*uint32(i) }
	found := r.label() + ", command"
	for list := r.commands; len(list) > 0; {
		upper := uint32(list[0] >> 32)
		next := fmt.Sprintf("%s, commands behind those of %d", r.label(), upper)
		if r.upper != 0 {
			a.load(arg(r.upper))
			a.when(bpf.JumpNotEqual, upper, next)
		}
		a.load(arg(r.command))
		for ; len(list) > 0 && uint32(list[0]>>32) == upper; list = list[1:] {
			a.when(bpf.JumpEqual, uint32(list[0]), found)
		}
		a.label(next)
	}
	a.jump(notify)
	a.label(found)
}

// Image lays out struct sock_fprog, followed by the filter, for address addr.
func (p *Place) Image(addr uint64) ([]byte, error) {
	ins, err := p.program()
	if err != nil {
		return nil, err
	}
	raw, err := bpf.Assemble(ins)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	prog := make([]unix.FilterInstruction, len(raw))
	for i, in := range raw {
		prog[i] = unix.FilterInstruction{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.FilterImage(addr, prog), nil
}
