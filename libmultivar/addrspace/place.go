package addrspace

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/multivar/multivar/frontend"
)

var (
	// ErrImage is returned (wrapped) when what was executed is no address space
	// that exec makes: mappings that overlap or are not page aligned, no stack or
	// several, a start address outside of the program.
	ErrImage = errors.New("address space of the new program is not valid")
	// ErrBand is returned (wrapped) for a program that is linked at addresses
	// among the slots.
	ErrBand = errors.New("program is linked at addresses that are used for variants")
	// ErrTooLarge is returned (wrapped) for a program, interpreter or stack that
	// is larger than its window.
	ErrTooLarge = errors.New("new program is too large for a variant's slot")
	// ErrStackSize is returned (wrapped) when the arguments and environment of the
	// leader do not fit the stack of the variant.
	ErrStackSize = errors.New("arguments and environment do not fit the stack")
)

const (
	// maxMappings bounds the mappings of a new program (max_map_count's default).
	maxMappings = 65530
	// maxAux bounds the auxiliary vector; Linux has fewer than 64 entries.
	maxAux = 256
)

// group is the mappings that move together, with the distance in bytes, modulo
// 1<<64, that they move by.
type group struct {
	low, high uint64
	used      bool
	delta     uint64
}

func (g *group) add(m frontend.Mapping) {
	if !g.used {
		*g = group{low: m.Start, high: m.End, used: true}
		return
	}
	g.low, g.high = min(g.low, m.Start), max(g.high, m.End)
}

// kernelGap keeps the kernel's pages and the interpreter apart.
const kernelGap = 16 * PageSize

func (g *group) size() uint64 { return g.high - g.low }

// reloc moves an address with the group; the null pointer stays.
func (g *group) reloc(addr uint64) uint64 {
	if addr == 0 {
		return 0
	}
	return addr + g.delta
}

// planner holds what Plan works on.
type planner struct {
	base    uint64
	offsets Offsets
	img     *frontend.Image
	start   *StartInfo
	// mappings are the image's, sorted.
	mappings []frontend.Mapping
	// starts is the region that the image's IP is in.
	starts    frontend.Region
	stackProt uint32

	program, interp, stack, trampoline group
	// kernel are the kernel's pages, if they are kept.
	kernel group

	place *frontend.Placement
	space *Space
}

// Plan arranges the address space of variant v right after exec, where the
// kernel has put everything at places of its own choice: the program, if it is
// position independent, goes to Offsets.Program, its interpreter below
// Offsets.InterpEnd, both inside v's slot, the stack, rebuilt from start, below
// Offsets.StackTop of the slot or Offsets.CommonTop, and the kernel's pages are
// removed as far as they can be. The
// returned space describes the result. Variants that execute the same program
// get equal spaces, and placements that differ by their slots' bases only.
//
// Plan keeps neither img nor start. Placement.TrapTSC is left to the caller.
//
// Errors, all wrapped: ErrVariants, ErrRange (offsets that are not from
// l.Random), ErrImage, ErrBand, ErrTooLarge, ErrStackSize.
func Plan(l *Layout, v int, o Offsets, img *frontend.Image, start StartInfo) (*frontend.Placement, *Space, error) {
	if l == nil || v < 0 || v >= l.n {
		return nil, nil, fmt.Errorf("%w: there is no variant %d", ErrVariants, v)
	}
	if img == nil {
		return nil, nil, fmt.Errorf("%w: no image", ErrImage)
	}
	space, err := NewSpace(l, o)
	if err != nil {
		return nil, nil, err
	}
	p := &planner{
		base: l.Base(v), offsets: o, img: img, start: &start,
		place: &frontend.Placement{}, space: space,
	}
	for _, step := range []func() error{p.check, p.anchor, p.move, p.rebuild} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	return p.place, p.space, nil
}

// InPlace returns the placement that leaves everything of img where it is, with the
// stack that exec makes at the end of the stack's mapping. Brk stays 0: the heap's
// start is the kernel's to say. It is for front-ends that execute programs
// themselves. InPlace does not keep img.
//
// Errors, wrapped: ErrImage, ErrStackSize.
func InPlace(img *frontend.Image) (*frontend.Placement, error) {
	if img == nil {
		return nil, fmt.Errorf("%w: no image", ErrImage)
	}
	start := StartInfoFrom(img)
	p := &planner{img: img, start: &start, place: &frontend.Placement{IP: img.IP}}
	if err := p.check(); err != nil {
		return nil, err
	}
	if _, err := p.write(p.stack.high, 0); err != nil {
		return nil, err
	}
	return p.place, nil
}

// check sorts the mappings and verifies that they are what exec can have made.
func (p *planner) check() error {
	if n := len(p.img.Mappings); n > maxMappings {
		return fmt.Errorf("%w: %d mappings", ErrImage, n)
	}
	p.mappings = slices.Clone(p.img.Mappings)
	slices.SortFunc(p.mappings, func(a, b frontend.Mapping) int { return cmp.Compare(a.Start, b.Start) })
	end, stacks, inside := uint64(0), 0, false
	for _, m := range p.mappings {
		if m.Start%PageSize != 0 || m.End%PageSize != 0 || m.Start >= m.End {
			return fmt.Errorf("%w: mapping %#x-%#x", ErrImage, m.Start, m.End)
		}
		if m.Start < end {
			return fmt.Errorf("%w: mappings overlap at %#x", ErrImage, m.Start)
		}
		end = m.End
		limit := uint64(TaskSize)
		if p.leaves(m.Region) {
			limit = imageEnd
		}
		if (m.Region == frontend.RegionVsyscall) != (end > limit) || end > limit && m.Start < limit {
			return fmt.Errorf("%w: mapping %#x-%#x is not where it can be", ErrImage, m.Start, m.End)
		}
		switch m.Region {
		case frontend.RegionProgram:
			p.program.add(m)
		case frontend.RegionInterp:
			p.interp.add(m)
		case frontend.RegionStack:
			p.stack.add(m)
			p.stackProt = m.Prot
			stacks++
		case frontend.RegionTrampoline:
			if p.trampoline.used || m.End-m.Start > maxTrampoline {
				return fmt.Errorf("%w: trampoline %#x-%#x", ErrImage, m.Start, m.End)
			}
			p.trampoline.add(m)
		case frontend.RegionOther, frontend.RegionKernel, frontend.RegionVsyscall:
		default:
			return fmt.Errorf("%w: mapping %#x-%#x of unknown kind %d", ErrImage, m.Start, m.End, m.Region)
		}
		code := m.Region == frontend.RegionProgram || m.Region == frontend.RegionInterp
		if code && p.img.IP >= m.Start && p.img.IP < m.End {
			p.starts, inside = m.Region, true
		}
	}
	switch {
	case stacks != 1:
		return fmt.Errorf("%w: %d stacks", ErrImage, stacks)
	case !p.program.used:
		return fmt.Errorf("%w: no program", ErrImage)
	case !inside:
		return fmt.Errorf("%w: start address %#x is not in the program", ErrImage, p.img.IP)
	}
	return nil
}

// anchor decides how far each group moves.
func (p *planner) anchor() error {
	if p.img.Movable {
		align := p.start.ProgramAlign
		if !validAlign(align) {
			align = PageSize
		}
		// The kernel aligned the distance from the linked addresses; so must this.
		to := p.offsets.Program + (p.program.low-p.offsets.Program)&(align-1)
		if size := p.program.size(); size > p.offsets.Brk-to {
			return fmt.Errorf("%w: program of %#x bytes", ErrTooLarge, size)
		}
		p.program.delta = p.base + to - p.program.low
	}
	if p.interp.used {
		if size := p.interp.size(); size > p.offsets.InterpEnd-mmapLow {
			return fmt.Errorf("%w: interpreter of %#x bytes", ErrTooLarge, size)
		}
		p.interp.delta = p.base + p.offsets.InterpEnd - p.interp.high
	}
	if p.trampoline.used {
		p.trampoline.delta = p.base + p.offsets.Program - PageSize - p.trampoline.high
	}
	if size := p.stack.size(); size > stackReserve {
		return fmt.Errorf("%w: stack of %#x bytes", ErrTooLarge, size)
	}
	p.stack.delta = p.real(p.offsets.stackEnd()) - p.stack.high
	return nil
}

// real returns the address that a is in the variant.
func (p *planner) real(a Address) uint64 {
	if a.rel {
		return p.base + a.off
	}
	return a.off
}

// move lists the moves and removals and records what is where afterwards.
func (p *planner) move() error {
	if p.start.KeepVDSO || p.start.Readings {
		p.keepKernel()
	}
	for _, m := range p.mappings {
		attrs := Attrs{Prot: m.Prot, Label: m.Path}
		if m.Shared {
			attrs.Flags |= Shared
		}
		g := &group{}
		switch m.Region {
		case frontend.RegionProgram:
			attrs.Kind, g = Program, &p.program
		case frontend.RegionInterp:
			attrs.Kind, g = Interp, &p.interp
		case frontend.RegionStack:
			// rebuild records the stack.
			p.relocate(m, &p.stack)
			continue
		case frontend.RegionKernel:
			if p.keeps(m) && p.kernel.used {
				p.relocate(m, &p.kernel)
				continue
			}
			p.place.Unmap = append(p.place.Unmap, frontend.Move{From: m.Start, Size: m.End - m.Start})
			continue
		case frontend.RegionTrampoline:
			attrs.Kind, g = Kernel, &p.trampoline
		case frontend.RegionVsyscall:
			attrs.Kind = Kernel
			p.space.splice(Absolute(m.Start), Absolute(m.End), Region{Absolute(m.Start), Absolute(m.End), attrs})
			continue
		default:
			if m.Path != "" {
				attrs.Kind = File
			}
		}
		at := Absolute(m.Start)
		if p.moves(m.Region) {
			p.relocate(m, g)
			at = Relative(m.Start + g.delta - p.base)
		} else if m.Start < BandEnd && m.End > BandStart {
			return fmt.Errorf("%w: %#x-%#x", ErrBand, m.Start, m.End)
		}
		if err := p.space.Map(at, m.End-m.Start, attrs); err != nil {
			return fmt.Errorf("%w: %w", ErrImage, err)
		}
	}
	ip := p.img.IP
	if p.starts == frontend.RegionInterp {
		ip = p.interp.reloc(ip)
	} else {
		ip = p.program.reloc(ip)
	}
	p.place.IP = ip
	return nil
}

// moves reports whether mappings of region r go to the slot.
func (p *planner) moves(r frontend.Region) bool {
	return r == frontend.RegionInterp || r == frontend.RegionTrampoline || r == frontend.RegionProgram && p.img.Movable
}

// leaves reports whether mappings of region r do not stay where the kernel put them.
func (p *planner) leaves(r frontend.Region) bool {
	return p.moves(r) || r == frontend.RegionStack || r == frontend.RegionKernel
}

// maxTrampoline bounds the size of the vDSO in bytes.
const maxTrampoline = 1 * mib

func (p *planner) relocate(m frontend.Mapping, g *group) {
	if g.delta != 0 {
		p.place.Moves = append(p.place.Moves, frontend.Move{From: m.Start, To: m.Start + g.delta, Size: m.End - m.Start})
	}
}

// keeps reports whether a mapping of the kernel's stays if there is room: all of them, or the vDSO's
// code only.
func (p *planner) keeps(m frontend.Mapping) bool { return !p.start.Readings || m.Prot&protExec != 0 }

// keepKernel gives the kernel's pages a place below the interpreter, if they are in one
// piece: the vDSO finds its data by the distance.
func (p *planner) keepKernel() {
	var g group
	size := uint64(0)
	for _, m := range p.mappings {
		if m.Region == frontend.RegionKernel && p.keeps(m) {
			g.add(m)
			size += m.End - m.Start
		}
	}
	if !g.used || size != g.size() {
		return
	}
	// The interpreter has not been recorded yet.
	top := p.offsets.InterpEnd
	if p.interp.used {
		top -= p.interp.size()
	}
	top -= kernelGap
	if top < mmapLow || top-mmapLow < size+PageSize {
		return
	}
	at, data := Relative(top-size), Relative(top-size-PageSize)
	if p.space.Map(at, size, Attrs{Kind: Kernel, Prot: protRead | protExec, Label: "[vdso]"}) != nil {
		return
	}
	if p.start.Readings {
		if p.space.Map(data, PageSize, Attrs{Kind: Kernel, Prot: protRead | protWrite}) != nil {
			_ = p.space.Unmap(at, size)
			return
		}
		p.place.Readings = p.real(data)
	}
	g.delta = p.real(at) - g.low
	p.kernel = g
}

// auxVector returns the leader's vector without its terminating entry, with the
// values that describe the variant's own image as it is after the move, and
// without the vDSO unless that is kept.
func (p *planner) auxVector() ([]frontend.Aux, error) {
	if len(p.start.Aux) > maxAux {
		return nil, fmt.Errorf("%w: auxiliary vector of %d entries", ErrImage, len(p.start.Aux))
	}
	var aux []frontend.Aux
	for _, a := range p.start.Aux {
		own, _ := AuxValue(p.img.Aux, a.Type)
		switch a.Type {
		case auxNull:
			return aux, nil
		case auxSysinfo, auxSysinfoEhdr:
			if !p.kernel.used {
				continue
			}
			a.Value = p.kernel.reloc(own)
		case auxPhdr, auxEntry:
			a.Value = p.program.reloc(own)
		case auxBase:
			a.Value = p.interp.reloc(own)
		case auxPhent, auxPhnum, auxFlags:
			a.Value = own
		}
		aux = append(aux, a)
	}
	return aux, nil
}

// write makes the contents of a stack that ends at end, with pad bytes between
// strings and tables where there is room, and returns their size in bytes.
func (p *planner) write(end, pad uint64) (size uint64, err error) {
	if holdsNul(p.start.Args, p.start.Env, [][]byte{p.start.ExecPath, p.start.Platform, p.start.BasePlatform}) {
		return 0, fmt.Errorf("%w: a string on the stack contains a NUL", ErrImage)
	}
	aux, err := p.auxVector()
	if err != nil {
		return 0, err
	}
	block, ok := layoutBlock(p.start, len(aux)+1, pad)
	if !ok || block.sp > p.stack.size() {
		return 0, fmt.Errorf("%w: stack of %#x bytes", ErrStackSize, p.stack.size())
	}
	pl := p.place
	pl.Stack = block.build(p.start, aux, end)
	pl.SP = end - block.sp
	pl.StackStart = pl.SP
	pl.ArgStart, pl.ArgEnd = end-block.argStart, end-block.envStart
	pl.EnvStart, pl.EnvEnd = end-block.envStart, end-block.envEnd
	pl.AuxStart, pl.AuxSize = end-block.aux, block.auxSize
	pl.Comm = p.start.Comm
	return block.sp, nil
}

// rebuild makes the new stack's contents and records the stack.
func (p *planner) rebuild() error {
	size, err := p.write(p.real(p.offsets.stackEnd()), p.offsets.StackPad)
	if err != nil {
		return err
	}
	p.place.Brk = p.real(p.offsets.brk())
	// The kernel's mapping may be larger or smaller by some pages, and grows by
	// itself; what is recorded depends on the block only.
	size = alignUp(size, PageSize) + stackExpand
	stackStart := p.offsets.stackEnd()
	stackStart.off -= size
	attrs := Attrs{Kind: Stack, Flags: GrowsDown, Prot: p.stackProt, Label: "[stack]"}
	if err := p.space.Map(stackStart, size, attrs); err != nil {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return nil
}
