//go:build linux

package vdso_test

import (
	"bytes"
	"debug/elf"
	"os"
	"slices"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/ptracefe/internal/vdso"
)

// ownImage returns this process's vDSO.
func ownImage(t *testing.T) []byte {
	t.Helper()
	all, err := procmaps.Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(v procmaps.VMA) bool { return v.Path == "[vdso]" })
	if i < 0 {
		t.Fatal("there is no vDSO")
	}
	f, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image := make([]byte, all[i].End-all[i].Start)
	if _, err := f.ReadAt(image, int64(all[i].Start)); err != nil {
		t.Fatal(err)
	}
	return image
}

// Each function of the vDSO leads into code behind it, which overwrites nothing.
func TestPatch(t *testing.T) {
	image := ownImage(t)
	s, err := vdso.New(image)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	changed := slices.Clone(image)
	at, patch := s.Patch(0x4444_5555_6666_7777)
	copy(changed[at:], patch)
	// The code is behind all that there is.
	end := uint64(len(bytes.TrimRight(image, "\x00")))
	known := make([]bool, end)
	functions := 0
	for _, sym := range symbols {
		if elf.ST_TYPE(sym.Info) != elf.STT_FUNC || sym.Name == "__vdso_sgx_enter_enclave" {
			continue
		}
		functions++
		inst, err := x86asm.Decode(changed[sym.Value:], 64)
		distance, ok := inst.Args[0].(x86asm.Rel)
		if err != nil || inst.Op != x86asm.JMP || !ok {
			t.Errorf("%s begins with %v (%v)", sym.Name, inst, err)
			continue
		}
		to := uint64(int64(sym.Value) + int64(inst.Len) + int64(distance))
		if to < end || to >= at+uint64(len(patch)) {
			t.Errorf("%s leads to %#x", sym.Name, to)
		}
		for i := range inst.Len {
			known[sym.Value+uint64(i)] = true
		}
	}
	for i, is := range known {
		if !is && changed[i] != image[i] {
			t.Errorf("the byte at %#x is another one", i)
		}
	}
	if functions == 0 {
		t.Error("the vDSO has no functions")
	}
}

// A task that has stopped goes on where it is, or in front of what it has begun.
func TestRestart(t *testing.T) {
	image := ownImage(t)
	s, err := vdso.New(image)
	if err != nil {
		t.Fatal(err)
	}
	moved := map[uint64]int{}
	for at := range uint64(len(image)) {
		if to := s.Restart(at); to != at {
			if to > at || s.Restart(to) != to {
				t.Errorf("%#x goes back to %#x", at, to)
			}
			moved[to]++
		}
	}
	if len(moved) != 2 {
		t.Errorf("tasks go back to %v", moved)
	}
}

// What is no vDSO, or has no room, is refused.
func TestRefused(t *testing.T) {
	image := ownImage(t)
	full := slices.Clone(image)
	full[len(full)-1] = 1
	for name, b := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 4096), "half": image[:len(image)/2], "no room": full,
	} {
		if _, err := vdso.New(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzNew feeds it anything.
func FuzzNew(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := vdso.New(b)
		if err != nil {
			return
		}
		if at, code := s.Patch(1); at > uint64(len(b)) || uint64(len(b))-at < uint64(len(code)) {
			t.Fatalf("changes %d bytes at %#x of %d", len(code), at, len(b))
		}
	})
}
