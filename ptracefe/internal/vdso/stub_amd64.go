package vdso

import (
	"bytes"
	"debug/elf"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

//go:embed zz_stub_amd64.o
var object []byte

// codeAlign keeps the code apart from what is in front of it.
const codeAlign = 16

// jumpSize is the size of the jump that takes the place of a function.
const jumpSize = 5

// Stub is the code for the vDSO of this machine. It is immutable.
type Stub struct {
	code []byte
	// at is where in the vDSO it goes; labels are offsets in the code.
	at     uint64
	labels map[string]uint64
	// image is what the vDSO is to have from first on: its own code, of which functions lead to this
	// one.
	image []byte
	first uint64
}

// functions are those of the vDSO (arch/x86/entry/vdso/vdso.lds.S) with what takes their place, by
// their names without prefix.
var functions = map[string]string{
	"clock_gettime": "stub_clock_gettime", "gettimeofday": "stub_gettimeofday", "time": "stub_time",
	"clock_getres": "stub_clock_getres", "getcpu": "stub_getcpu", "getrandom": "stub_getrandom",
}

// New returns the code for a vDSO, given what is mapped of it. It is an error when that has
// functions that nothing takes the place of, or no room.
func New(image []byte) (*Stub, error) {
	s := &Stub{labels: map[string]uint64{}}
	if err := s.load(); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, fmt.Errorf("vDSO: %w", err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("vDSO: %w", err)
	}
	leads := map[uint64]string{}
	for _, sym := range symbols {
		if elf.ST_TYPE(sym.Info) != elf.STT_FUNC {
			continue
		}
		stub, ok := functions[strings.TrimPrefix(sym.Name, "__vdso_")]
		switch {
		case sym.Name == "__vdso_sgx_enter_enclave":
			// It tells nobody anything.
			continue
		case !ok:
			return nil, fmt.Errorf("vDSO: function %s is not known", sym.Name)
		case sym.Size < jumpSize || sym.Value > uint64(len(image))-jumpSize:
			return nil, fmt.Errorf("vDSO: function %s of %d bytes at %#x", sym.Name, sym.Size, sym.Value)
		}
		leads[sym.Value] = stub
	}
	if len(leads) == 0 {
		return nil, errors.New("vDSO: no functions")
	}
	// What is behind the last byte that is not zero belongs to nothing.
	end := uint64(len(bytes.TrimRight(image, "\x00")))
	for _, p := range f.Progs {
		end = max(end, p.Off+p.Filesz)
	}
	s.at = (end + codeAlign) &^ (codeAlign - 1)
	if s.at > uint64(len(image)) || uint64(len(image))-s.at < uint64(len(s.code)) {
		return nil, fmt.Errorf("vDSO: %d bytes of %d are in use", end, len(image))
	}
	changed := slices.Clone(image[:s.at+uint64(len(s.code))])
	copy(changed[s.at:], s.code)
	s.first = s.at
	for from, name := range leads {
		if from > s.at-jumpSize {
			return nil, fmt.Errorf("vDSO: a function at %#x, behind everything", from)
		}
		jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(s.at+s.labels[name]-(from+jumpSize)))
		copy(changed[from:], jump)
		s.first = min(s.first, from)
	}
	s.image = changed[s.first:]
	return s, nil
}

// load takes the code and its labels from the object file.
func (s *Stub) load() error {
	f, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		return fmt.Errorf("code for the vDSO: %w", err)
	}
	text := f.Section(".text")
	if text == nil {
		return errors.New("code for the vDSO: no text")
	}
	if s.code, err = text.Data(); err != nil {
		return fmt.Errorf("code for the vDSO: %w", err)
	}
	symbols, err := f.Symbols()
	if err != nil {
		return fmt.Errorf("code for the vDSO: %w", err)
	}
	for _, sym := range symbols {
		s.labels[sym.Name] = sym.Value
	}
	return nil
}

// Patch returns what a vDSO is to have from an offset on, for a task without a page. The fourth argument
// of the calls by which it reads clocks is secret.
func (s *Stub) Patch(secret uint64) (at uint64, code []byte) {
	code = slices.Clone(s.image)
	own := code[s.at-s.first:]
	binary.LittleEndian.PutUint64(own[s.labels["secret"]:], secret)
	return s.first, code
}

// Pointer is the offset in the vDSO of the word that has the address of the page, a multiple of 8: 0 for
// none.
func (s *Stub) Pointer() uint64 { return s.at + s.labels["data"] }

// Restart returns where a task goes on that has stopped at an offset in the vDSO: there, or in front
// of what it has begun.
func (s *Stub) Restart(at uint64) uint64 {
	for _, part := range [...][2]string{{"follow", "followed"}, {"ask", "asked"}} {
		first, end := s.at+s.labels[part[0]], s.at+s.labels[part[1]]
		if at > first && at < end {
			return first
		}
	}
	return at
}
