//go:build linux && amd64

package loader

import (
	"debug/elf"
	"strings"
	"syscall"

	"github.com/multivar/multivar/frontend"
)

// maxScripts is how many interpreters of interpreters the kernel goes through
// (exec_binprm in fs/exec.c), maxComm the length of a task's name (TASK_COMM_LEN
// without its NUL).
const (
	maxScripts = 5
	maxComm    = 15
)

// Where Linux puts things when it does not randomise: position-independent
// programs (ELF_ET_DYN_BASE, page aligned), and below which address interpreters.
const (
	programBase = 0x5555_5555_4000
	interpTop   = 0x7fff_f7ff_f000
)

// Request is an execve(2) whose file has been found.
type Request struct {
	// File is the file. Load does not close it.
	File *File
	// Path is what AT_EXECFN will be: the path that execve got, for execveat(2)
	// with a descriptor N "/dev/fd/N" or "/dev/fd/N/path".
	Path string
	// Comm is the task's name. When it is empty it is the last part of Path.
	Comm string
	// PathInaccessible is true when the program that is started cannot open Path,
	// because it leads through a descriptor that execve closes.
	PathInaccessible bool
	// Args and Env are the strings, without NULs. The plan refers to them.
	Args, Env [][]byte
	// StackLimit is RLIMIT_STACK in bytes, all ones for none.
	StackLimit uint64
	// MinAddr is the lowest address that the process may map: the setting
	// vm.mmap_min_addr, or 0 for one with CAP_SYS_RAWIO.
	MinAddr uint64
	// Host is an auxiliary vector of this host, for the entries that say the same to
	// all programs. Other entries are ignored.
	Host []frontend.Aux
	// UID, EUID, GID and EGID are the process's ids in its user namespace, Secure
	// is AT_SECURE.
	UID, EUID, GID, EGID uint32
	Secure               bool
	// Random is what AT_RANDOM points to.
	Random [16]byte
}

// Limits are the addresses that the kernel keeps of a program's parts
// (proc_pid_stat(5), struct prctl_mm_map). They are computed as Linux does it,
// page aligned only in the case of Brk. A program without executable segments
// has no sensible StartCode.
type Limits struct {
	StartCode, EndCode, StartData, EndData uint64
	// Brk is the end of the program's last segment, where the heap could start.
	Brk uint64
}

// moved returns the limits after the program has moved by delta.
func (l Limits) moved(delta uint64) Limits {
	return Limits{
		StartCode: l.StartCode + delta, EndCode: l.EndCode + delta,
		StartData: l.StartData + delta, EndData: l.EndData + delta,
		Brk: pageUp(l.Brk + delta),
	}
}

// Plan is the address space of a new program at provisional addresses.
type Plan struct {
	// Image is what a monitor is told. Its mappings are the Segments, in the same
	// order. Entries of its vector that point to the stack are 0. It has neither a
	// vDSO nor a vsyscall page.
	Image frontend.Image
	// Segments are what is mapped, ascending, and without overlaps. One of them is
	// the stack: anonymous memory that has room for all that is written to it at
	// the start. That it grows downwards is the caller's to see to.
	Segments []Segment
	// Limits are those of the program.
	Limits Limits
	// Files are the program, which is Request.File unless that is a script, and its
	// interpreter if it has one. The caller closes what is not Request.File.
	Files []*File
}

// Indices in Plan.Files.
const (
	Program     = 0
	Interpreter = 1
)

// loader is a Load under way.
type loader struct {
	req     *Request
	open    Opener
	strings *vector
	// program is the file that was opened last: the request's or an interpreter of
	// a script. interp is the program's interpreter.
	program, interp *File
}

// Load plans the execution of a program. open opens its interpreters.
//
// Errors: [*Error]; what req.File or open return without an error number,
// wrapped; and an error when a string of req contains a NUL. After an error every
// file that open returned is closed.
func Load(req *Request, open Opener) (*Plan, error) {
	l := &loader{req: req, open: open, program: req.File}
	p, err := l.load()
	if err != nil {
		if l.program != req.File {
			l.program.Close()
		}
		if l.interp != nil {
			l.interp.Close()
		}
		return nil, err
	}
	return p, nil
}

func (l *loader) load() (*Plan, error) {
	var err error
	if l.strings, err = newVector(l.req); err != nil {
		return nil, err
	}
	program, err := l.findProgram()
	if err != nil {
		return nil, err
	}
	if err := program.readHeaders(syscall.ENOEXEC); err != nil {
		return nil, err
	}
	interp, err := l.findInterpreter(program)
	if err != nil {
		return nil, err
	}
	if l.program.GainsPrivileges {
		return nil, refuse(syscall.EACCES, "it would gain privileges")
	}
	return l.plan(program, interp)
}

// findProgram follows scripts to a program.
func (l *loader) findProgram() (*object, error) {
	path := l.req.Path
	for depth := 0; depth <= maxScripts; depth++ {
		var head [scriptLine]byte
		if _, err := l.program.read(head[:], 0); err != nil {
			return nil, failed(err, "it cannot be read")
		}
		interpreter, arg, ok := parseScript(head)
		if !ok {
			o := parseObject(l.program, head[:headerSize])
			switch {
			case o.executable():
				return o, nil
			case o.isELF && o.machine == elf.EM_386:
				return nil, refuse(syscall.ENOEXEC, "it is a 32-bit program")
			}
			return nil, answer(syscall.ENOEXEC, "it is no program of this machine")
		}
		if l.req.PathInaccessible {
			return nil, answer(syscall.ENOENT, "it is a script that its interpreter could not open")
		}
		if err := l.strings.interpret(interpreter, arg, path); err != nil {
			return nil, err
		}
		next, err := l.openFile(interpreter)
		if err != nil {
			return nil, err
		}
		if l.program != l.req.File {
			l.program.Close()
		}
		l.program, path = next, string(interpreter)
	}
	return nil, answer(syscall.ELOOP, "it has too many interpreters")
}

// openFile opens an interpreter.
func (l *loader) openFile(path []byte) (*File, error) {
	if len(path) == 0 {
		// The path leads to the current directory (open_exec in fs/exec.c).
		return nil, answer(syscall.EACCES, "the path of its interpreter is empty")
	}
	f, err := l.open(string(path))
	if err != nil {
		return nil, failed(err, "its interpreter %q cannot be opened", path)
	}
	return f, nil
}

// findInterpreter returns the interpreter of a program, nil when it has none.
func (l *loader) findInterpreter(program *object) (*object, error) {
	path, ok, err := program.interpreter()
	if err != nil || !ok {
		return nil, err
	}
	if l.interp, err = l.openFile([]byte(path)); err != nil {
		return nil, err
	}
	var head [headerSize]byte
	switch n, err := l.interp.read(head[:], 0); {
	case err != nil:
		return nil, failed(err, "its interpreter %q cannot be read", path)
	case n < len(head):
		return nil, answer(syscall.EIO, "its interpreter %q is too short", path)
	}
	o := parseObject(l.interp, head[:])
	o.index = Interpreter
	if !o.isELF || o.machine != elf.EM_X86_64 {
		return nil, answer(syscall.ELIBBAD, "its interpreter %q is none of this machine", path)
	}
	if err := o.readHeaders(syscall.ELIBBAD); err != nil {
		return nil, err
	}
	return o, nil
}

// plan maps the program. All errors of Linux are fatal from here on.
func (l *loader) plan(program, interp *object) (*Plan, error) {
	s := &space{low: l.req.MinAddr}
	bias, err := loadProgram(s, program, interp != nil)
	if err != nil {
		return nil, err
	}
	stack := Segment{File: Anonymous, Size: l.strings.stackSize(), Prot: ProtRead | ProtWrite, Region: frontend.RegionStack}
	if program.executableStack() {
		stack.Prot |= ProtExec
	}
	if stack.Addr, err = s.below(TaskSize, stack.Size); err != nil {
		return nil, err
	}
	if err := s.put(stack); err != nil {
		return nil, err
	}
	p := &Plan{Files: []*File{l.program}, Limits: program.limits().moved(bias)}
	img := &p.Image
	img.Movable = program.kind == elf.ET_DYN
	img.Align = program.largestAlign()
	img.IP = program.entry + bias
	starts := frontend.RegionProgram
	var base uint64
	if interp != nil {
		if base, err = loadInterpreter(s, interp); err != nil {
			return nil, err
		}
		p.Files = append(p.Files, l.interp)
		img.IP = interp.entry + base
		starts = frontend.RegionInterp
	}
	if img.IP >= TaskSize {
		return nil, fatal(syscall.EINVAL, "it starts at %#x", img.IP)
	}
	p.Segments = s.segments
	if !p.holds(img.IP, starts) || !p.has(frontend.RegionProgram) {
		return nil, refuse(syscall.ENOEXEC, "it starts outside of its segments")
	}
	l.describe(p)
	img.Aux = l.aux(program, bias, base)
	return p, nil
}

// loadProgram maps the program and returns how far from where it is linked.
func loadProgram(s *space, o *object, interpreted bool) (bias uint64, err error) {
	x, err := o.extent()
	if err != nil {
		return 0, err
	}
	for _, h := range o.headers {
		if h.kind == elf.PT_LOAD && (h.vaddr >= TaskSize || h.memsz > TaskSize-h.vaddr) {
			return 0, fatal(syscall.EINVAL, "a segment of it is linked to %#x", h.vaddr)
		}
	}
	if o.kind == elf.ET_DYN && x.any {
		if x.below+x.above == 0 {
			return 0, fatal(syscall.EINVAL, "its segments are empty")
		}
		base := programBase &^ (max(pageUp(o.largestAlign()), pageSize) - 1)
		if !interpreted && !x.file {
			// The kernel lets mmap(2) find a place, which it does not call here.
			base = 0
		}
		bias = pageDown(base - x.first)
	}
	return bias, s.load(o, bias, frontend.RegionProgram)
}

// loadInterpreter maps the interpreter of a program at a free place, and returns
// how far from where it is linked (load_elf_interp).
func loadInterpreter(s *space, o *object) (bias uint64, err error) {
	if o.kind != elf.ET_DYN && o.kind != elf.ET_EXEC {
		return 0, fatal(syscall.EPERM, "its interpreter is of type %v", o.kind)
	}
	x, err := o.extent()
	if err != nil {
		return 0, err
	}
	if x.below+x.above == 0 {
		return 0, fatal(syscall.EINVAL, "its interpreter has no segments")
	}
	if !x.file {
		return 0, refuse(syscall.ELIBBAD, "its interpreter begins with memory that is not in the file")
	}
	if o.kind == elf.ET_EXEC {
		if err := s.load(o, 0, frontend.RegionInterp); err != nil {
			return 0, err
		}
		return 0, refuse(syscall.ELIBBAD, "its interpreter is linked to fixed addresses")
	}
	at, err := s.below(interpTop, x.below+x.above)
	if err != nil {
		return 0, err
	}
	bias = at + x.below - x.firstPage()
	return bias, s.load(o, bias, frontend.RegionInterp)
}

// describe fills in what the image says about p's segments and the program's
// start.
func (l *loader) describe(p *Plan) {
	img := &p.Image
	img.Args, img.Env = l.strings.args, l.strings.env
	img.ExecPath, img.Platform = []byte(l.req.Path), []byte("x86_64")
	img.Random = l.req.Random
	img.Comm = l.req.Comm
	if img.Comm == "" {
		img.Comm = l.req.Path[strings.LastIndexByte(l.req.Path, '/')+1:]
	}
	img.Comm = img.Comm[:min(len(img.Comm), maxComm)]
	img.Mappings = make([]frontend.Mapping, 0, len(p.Segments))
	for i := range p.Segments {
		g := &p.Segments[i]
		m := frontend.Mapping{Start: g.Addr, End: g.End(), Prot: g.Prot, Region: g.Region}
		switch {
		case g.File != Anonymous:
			m.Path = p.Files[g.File].Name
		case g.Region == frontend.RegionStack:
			m.Path = "[stack]"
		}
		img.Mappings = append(img.Mappings, m)
	}
}

// holds says whether a segment of region r contains addr.
func (p *Plan) holds(addr uint64, r frontend.Region) bool {
	for i := range p.Segments {
		if g := &p.Segments[i]; g.Region == r && addr >= g.Addr && addr < g.End() {
			return true
		}
	}
	return false
}

// has says whether there is a segment of region r.
func (p *Plan) has(r frontend.Region) bool {
	for i := range p.Segments {
		if p.Segments[i].Region == r {
			return true
		}
	}
	return false
}
