package fakefe

import (
	"bytes"
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
)

// The parts of a program's image.
const (
	textSize = 64 << 10
	dataSize = 4 << 20
	dataGap  = 0x1000
	// Handlers lie in the text.
	handlerStart = 0x8000
	handlerSize  = 0x100
	entryAt      = 0x100
	interpSize   = 0x2000
	stackSize    = 0x21000
	vdsoSize     = 0x2000
	vsyscall     = 0xffff_ffff_ff60_0000

	// Where the simulated kernel puts things, each exec at another page.
	kernelText   = 0x5555_0000_0000
	kernelInterp = 0x7f55_0000_0000
	kernelStack  = 0x7ffd_0000_0000
	kernelVdso   = 0x7ffe_0000_0000
	maxExecs     = 1 << 12

	maxStrings = 1 << 20
	maxVector  = 4096
)

// layout says where the parts of a program are.
type layout struct{ text, data uint64 }

func byteStrings(in []string) [][]byte {
	out := make([][]byte, 0, len(in))
	for _, s := range in {
		out = append(out, []byte(s))
	}
	return out
}

// load makes the address space of a program that t is about to run.
func (s *session) load(t *task, prog *Program, args, env [][]byte) {
	s.execs++
	shift := s.execs % maxExecs * 0x10000
	text, interp, stack, vdso := kernelText+shift*64, kernelInterp+shift, kernelStack+shift*8, kernelVdso+shift
	data := uint64(text + textSize + dataGap)
	m := newSpace()
	put := func(start, size uint64, prot uint32, path string, r frontend.Region) {
		m.add(area{Mapping: frontend.Mapping{Start: start, End: start + size, Prot: prot, Path: path, Region: r}, grows: r == frontend.RegionStack})
	}
	put(text, textSize, protRead|protExec, prog.Path, frontend.RegionProgram)
	put(data, dataSize, protRead|protWrite, prog.Path, frontend.RegionProgram)
	put(interp, interpSize, protRead|protExec, "/lib/ld.so", frontend.RegionInterp)
	put(vdso, vdsoSize, protRead|protExec, "[vdso]", frontend.RegionKernel)
	put(stack-stackSize, stackSize, protRead|protWrite, "[stack]", frontend.RegionStack)
	put(vsyscall, pageSize, protExec, "[vsyscall]", frontend.RegionVsyscall)
	img := &frontend.Image{
		Movable: true, IP: interp + entryAt, Args: args, Env: env,
		Aux: []frontend.Aux{
			{Type: 33, Value: vdso}, {Type: 6, Value: pageSize}, {Type: 3, Value: text + 0x40}, {Type: 4, Value: 56},
			{Type: 5, Value: 2}, {Type: 7, Value: interp}, {Type: 9, Value: text + entryAt}, {Type: 25, Value: stack - 64},
			{Type: 31, Value: stack - 48}, {},
		},
		ExecPath: []byte(prog.Path), Comm: "fake",
	}
	binary.LittleEndian.PutUint64(img.Random[:], s.execs*0x9e3779b97f4a7c15)
	for i := range m.areas {
		img.Mappings = append(img.Mappings, m.areas[i].Mapping)
	}
	p := t.proc
	p.mem = m
	p.program = prog
	p.used = 0
	p.image = layout{text, data}
	p.vars = make(map[string]uint64)
	p.args = nil
	for _, a := range args {
		p.args = append(p.args, string(a))
	}
	t.sp = stack - 256
	t.frames = []*frame{{steps: prog.Steps}}
	t.step, t.outs, t.again, t.restart, t.suspended = nil, nil, nil, 0, nil
	t.image = img
	t.state = execing
	p.vfork = nil
}

// exec carries out execve.
func (s *session) exec(t *task) (int64, bool) {
	a := &t.run.args
	path, ok := t.readString(a[0])
	if !ok {
		return errFault, true
	}
	return s.execProgram(t, s.program(path), a[1], a[2]), true
}

func (s *session) execProgram(t *task, prog *Program, argv, envp uint64) int64 {
	args, ok1 := t.readVector(argv)
	env, ok2 := t.readVector(envp)
	switch {
	case prog == nil:
		return errNoEnt
	case !ok1 || !ok2:
		return errFault
	}
	p := t.proc
	for _, o := range p.tasks {
		if o != t && o.alive() {
			o.state, o.status = dying, frontend.Status{}
			o.bequeath()
		}
	}
	t.bequeath()
	t.robust = 0
	disp := new([65]action)
	for i := range p.disp {
		if p.disp[i].handler == 1 {
			disp[i].handler = 1
		}
	}
	p.disp = disp
	t.saw(Seen{Nr: SawExec})
	s.load(t, prog, args, env)
	return 0
}

// execFile carries out OpExec.
func (s *session) execFile(t *task, a *frontend.Action) {
	f := s.files[a.File]
	if f == nil || f.program == nil {
		s.fault("file %d, which is no program, for an exec of %v", a.File, t.id)
		return
	}
	t.run = call{nrExecve, a.Args}
	t.exit = true
	s.record.Effects = append(s.record.Effects, Effect{Variant: t.id.Variant, Process: t.path, Nr: nrExecve, Args: a.Args})
	prog := f.program
	if own := s.cfg.Instead[t.id.Variant]; own != nil && own.Path == prog.Path {
		prog = own
	}
	if ret := s.execProgram(t, prog, a.Args[1], a.Args[2]); ret != 0 {
		s.done(t, ret)
	}
}

// place carries out OpPlace.
func (s *session) place(t *task, pl *frontend.Placement) {
	if pl == nil {
		s.fault("no placement for %v", t.id)
		return
	}
	p := t.proc
	old := p.image
	p.mem.move(pl.Moves)
	for _, u := range pl.Unmap {
		p.mem.remove(u.From, u.From+u.Size)
	}
	for _, mv := range pl.Moves {
		if old.text >= mv.From && old.text < mv.From+mv.Size {
			p.image.text = old.text - mv.From + mv.To
		}
		if old.data >= mv.From && old.data < mv.From+mv.Size {
			p.image.data = old.data - mv.From + mv.To
		}
	}
	stack := p.mem.find(pl.SP)
	switch {
	case !p.mem.valid():
		s.fault("placement of %v makes mappings overlap", t.id)
		return
	case stack == nil || !stack.grows || p.mem.write(pl.SP, pl.Stack, false) < len(pl.Stack):
		s.fault("placement of %v has its stack at %#x, where none is", t.id, pl.SP)
		return
	case p.mem.find(pl.IP) == nil:
		s.fault("placement of %v starts at %#x, where nothing is", t.id, pl.IP)
		return
	}
	t.sp = pl.SP
	t.image = nil
	t.fresh = false
	t.proceed()
}

// unmoved is the placement of a program that stays where the kernel put it.
func (s *session) unmoved(t *task) *frontend.Placement {
	return &frontend.Placement{SP: t.sp, IP: t.image.IP}
}

func (t *task) readString(addr uint64) (string, bool) {
	var out []byte
	for len(out) < maxStrings {
		var p [64]byte
		n := t.proc.mem.read(addr+uint64(len(out)), p[:])
		if i := bytes.IndexByte(p[:n], 0); i >= 0 {
			return string(append(out, p[:i]...)), true
		}
		if n < len(p) {
			return "", false
		}
		out = append(out, p[:]...)
	}
	return "", false
}

func (t *task) readVector(addr uint64) ([][]byte, bool) {
	var out [][]byte
	for addr != 0 && len(out) < maxVector {
		var p [8]byte
		if t.proc.mem.read(addr+uint64(len(out))*8, p[:]) < len(p) {
			return nil, false
		}
		at := binary.LittleEndian.Uint64(p[:])
		if at == 0 {
			break
		}
		str, ok := t.readString(at)
		if !ok {
			return nil, false
		}
		out = append(out, []byte(str))
	}
	return out, true
}
