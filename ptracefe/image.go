//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
)

// maxStart bounds what the kernel puts on the stack of a new program: its own
// limit is 6 MB of strings (fs/exec.c), and pointers to them.
const maxStart = 64 << 20

// Types of auxiliary vector entries (linux/auxvec.h).
const (
	auxNull         = 0
	auxBase         = 7
	auxEntry        = 9
	auxPlatform     = 15
	auxBasePlatform = 24
	auxRandom       = 25
	auxExecFn       = 31
)

// image describes the fresh address space of a task at an exec stop.
func (s *session) image(t *task) (*frontend.Image, error) {
	if err := t.load(); err != nil {
		return nil, err
	}
	program, err := readHeader(t.id.Host)
	if err != nil {
		return nil, err
	}
	vmas, err := procmaps.Read(t.id.Host)
	if err != nil {
		return nil, err
	}
	sp := stackPointer(&t.regs)
	at := procmaps.Find(vmas, sp)
	if at < 0 {
		return nil, errors.New("a new program has no stack")
	}
	vmas[at].Region = frontend.RegionStack
	size := vmas[at].End - sp
	if size > maxStart {
		return nil, fmt.Errorf("%d bytes of arguments are too many", size)
	}
	stack := make([]byte, size)
	if _, err := s.ReadVariantMem(t.id, sp, stack); err != nil {
		return nil, err
	}
	img, err := parseStart(stack, sp)
	if err != nil {
		return nil, err
	}
	img.IP, img.Movable, img.Align = instructionPointer(&t.regs), program.movable, program.align
	t.image = loaded{}
	for _, a := range img.Aux {
		switch a.Type {
		case auxEntry:
			classify(vmas, a.Value, frontend.RegionProgram)
		case auxBase:
			if a.Value != 0 {
				classify(vmas, a.Value, frontend.RegionInterp)
				t.image.setLoader(vmas, a.Value)
			}
		}
	}
	if handlersReturnToVDSO {
		for i := range vmas {
			if vmas[i].Path == vdsoLabel && vmas[i].File == "" {
				vmas[i].Region = frontend.RegionTrampoline
			}
		}
	}
	img.Mappings = procmaps.Plain(vmas)
	comm, err := os.ReadFile(procPath(t.id.Host, "comm"))
	if err != nil {
		return nil, procError("name of task", err)
	}
	img.Comm = string(bytes.TrimSuffix(comm, []byte("\n")))
	return img, nil
}

// procError describes a failed access to a file of a task in /proc; the files of
// a task that has died are gone.
func procError(what string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return frontend.ErrGone
	}
	return fmt.Errorf("%s: %w", what, err)
}

// errnoOf returns the errno in err, or err.
func errnoOf(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

// program is what the file of a program says about where it can be.
type program struct {
	movable bool
	// align is the largest alignment of its segments in bytes, 0 when unknown.
	align uint64
}

// readHeader reads the ELF headers of the program that host runs. A program that
// is not a 64-bit one of this machine is ENOEXEC.
func readHeader(host int) (program, error) {
	f, err := os.Open(procPath(host, "exe"))
	if err != nil {
		return program{}, procError("open program", err)
	}
	defer f.Close()
	// What a short file lacks is zero to the kernel.
	var h [elfHeaderSize]byte
	if n, err := f.ReadAt(h[:], 0); n < headerSize {
		return program{}, fmt.Errorf("program header: %w", err)
	}
	if string(h[:len(elf.ELFMAG)]) != elf.ELFMAG || !is64Bit(h[:]) {
		return program{}, fmt.Errorf("program for another machine: %w", syscall.ENOEXEC)
	}
	p := program{movable: elf.Type(binary.LittleEndian.Uint16(h[16:])) == elf.ET_DYN}
	table, count := int64(binary.LittleEndian.Uint64(h[32:])), int(binary.LittleEndian.Uint16(h[56:]))
	if table < 0 || count > maxHeaders {
		return p, nil
	}
	segments := make([]byte, count*segmentSize)
	if _, err := f.ReadAt(segments, table); err == nil {
		p.align = largestAlign(segments)
	}
	return p, nil
}

// largestAlign returns the largest alignment in bytes that loadable segments ask
// for, given the program headers. Like the kernel (maximum_alignment in
// fs/binfmt_elf.c) it passes over what is no power of two. 0 means none.
func largestAlign(segments []byte) (align uint64) {
	for ; len(segments) >= segmentSize; segments = segments[segmentSize:] {
		a := binary.LittleEndian.Uint64(segments[48:])
		if elf.ProgType(binary.LittleEndian.Uint32(segments)) == elf.PT_LOAD && bits.OnesCount64(a) == 1 {
			align = max(align, a)
		}
	}
	return align
}

// startParser reads the words of a new program's stack.
type startParser struct {
	mem  []byte
	base uint64
	at   int
}

var errStart = errors.New("the stack of a new program is malformed")

func (p *startParser) word() (uint64, error) {
	if len(p.mem)-p.at < 8 {
		return 0, errStart
	}
	v := binary.LittleEndian.Uint64(p.mem[p.at:])
	p.at += 8
	return v, nil
}

// text returns the string at addr without its NUL.
func (p *startParser) text(addr uint64) ([]byte, error) {
	if addr < p.base || addr-p.base >= uint64(len(p.mem)) {
		return nil, errStart
	}
	rest := p.mem[addr-p.base:]
	end := bytes.IndexByte(rest, 0)
	if end < 0 {
		return nil, errStart
	}
	return bytes.Clone(rest[:end]), nil
}

// vector returns the strings of a NULL-terminated vector.
func (p *startParser) vector() ([][]byte, error) {
	var all [][]byte
	for {
		addr, err := p.word()
		if err != nil {
			return nil, err
		}
		if addr == 0 {
			return all, nil
		}
		text, err := p.text(addr)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
}

// parseStart parses what the kernel put on a new program's stack (System V ABI,
// AMD64, 3.4.1; arm64 has the same). mem is the stack from the stack pointer base on.
func parseStart(mem []byte, base uint64) (*frontend.Image, error) {
	p := &startParser{mem: mem, base: base}
	img := &frontend.Image{}
	count, err := p.word()
	if err != nil {
		return nil, err
	}
	if img.Args, err = p.vector(); err != nil {
		return nil, err
	}
	if uint64(len(img.Args)) != count {
		return nil, errStart
	}
	if img.Env, err = p.vector(); err != nil {
		return nil, err
	}
	for {
		kind, err := p.word()
		if err != nil {
			return nil, err
		}
		value, err := p.word()
		if err != nil {
			return nil, err
		}
		if kind == auxNull {
			return img, nil
		}
		img.Aux = append(img.Aux, frontend.Aux{Type: kind, Value: value})
		if err := p.pointee(img, kind, value); err != nil {
			return nil, err
		}
	}
}

// pointee takes over what an auxiliary vector entry points to.
func (p *startParser) pointee(img *frontend.Image, kind, value uint64) (err error) {
	switch kind {
	case auxExecFn:
		img.ExecPath, err = p.text(value)
	case auxPlatform:
		img.Platform, err = p.text(value)
	case auxBasePlatform:
		img.BasePlatform, err = p.text(value)
	case auxRandom:
		if value < p.base || value-p.base > uint64(len(p.mem)) ||
			copy(img.Random[:], p.mem[value-p.base:]) < len(img.Random) {
			return errStart
		}
	}
	return err
}
