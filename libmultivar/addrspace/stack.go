package addrspace

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/multivar/multivar/frontend"
)

const (
	wordSize = 8
	// stackExpand is how far the kernel extends a new stack's mapping below the
	// strings (setup_arg_pages in fs/exec.c), in bytes.
	stackExpand = 128 * kib
	// kernelPad is how much room the kernel leaves at random between the strings and
	// the tables (arch_align_stack in arch/x86/kernel/process.c), in bytes.
	kernelPad = 8 * kib
	// maxBlock bounds a stack block in bytes; the kernel allows 6 MiB of strings
	// and pointers (bprm_stack_limits in fs/exec.c).
	maxBlock = 64 * mib
)

// FitStack adapts o to the stack of a new program when RLIMIT_STACK keeps it small:
// there is no room for StackPad then. It returns ErrStackSize (wrapped) when the
// kernel may fail to put the program's start there in other variants, whose random
// pads are others; Linux kills such a program by chance.
func (o *Offsets) FitStack(img *frontend.Image, start StartInfo) error {
	for _, m := range img.Mappings {
		size := m.End - m.Start
		if m.Region != frontend.RegionStack || size >= stackExpand {
			continue
		}
		o.StackPad = 0
		block, ok := layoutBlock(&start, len(start.Aux)+1, 0)
		if !ok || saturate(block.sp, kernelPad+PageSize) > size {
			return fmt.Errorf("%w: it is limited to %#x bytes", ErrStackSize, size)
		}
	}
	return nil
}

// stackBlock is the layout of what a program finds on its stack, as
// create_elf_tables in fs/binfmt_elf.c makes it: from the stack pointer upwards
// argc, the argument pointers, NULL, the environment pointers, NULL, the
// auxiliary vector; then the random bytes and platform strings; then the argument
// strings, the environment strings, the program's path, and 8 zero bytes at the
// very end. All fields are distances in bytes below the end of the stack.
type stackBlock struct {
	sp, aux                         uint64
	random, platform, basePlatform  uint64
	argStart, envStart, envEnd      uint64
	execPath                        uint64
	auxSize                         uint64
	hasPlatform, hasBase, hasExecFn bool
}

// layoutBlock computes the layout for a vector of auxCount entries, the
// terminating one included. pad bytes are left between strings and tables when
// the tables are small enough that the kernel's mapping has room for both
// wherever it was made. ok is false when the block exceeds maxBlock.
func layoutBlock(start *StartInfo, auxCount int, pad uint64) (b stackBlock, ok bool) {
	total := uint64(0)
	push := func(n uint64) uint64 {
		total = saturate(total, n)
		return total
	}
	size := func(list [][]byte) (n uint64) {
		for _, s := range list {
			n = saturate(n, uint64(len(s))+1)
		}
		return n
	}
	push(wordSize)
	if b.hasExecFn = start.ExecPath != nil; b.hasExecFn {
		push(uint64(len(start.ExecPath)) + 1)
	}
	b.execPath = total
	b.envEnd = total
	b.envStart = push(size(start.Env))
	b.argStart = push(size(start.Args))

	b.auxSize = uint64(auxCount) * 2 * wordSize
	pointers := (uint64(len(start.Args)) + uint64(len(start.Env)) + 3) * wordSize
	tables := saturate(b.auxSize, pointers)
	info := uint64(len(start.Random)) + uint64(len(start.Platform)) + uint64(len(start.BasePlatform)) + 2
	if saturate(tables, info) <= stackExpand/2 {
		push(pad)
	}
	total = alignUp(total, 16)
	if b.hasPlatform = start.Platform != nil; b.hasPlatform {
		b.platform = push(uint64(len(start.Platform)) + 1)
	}
	if b.hasBase = start.BasePlatform != nil; b.hasBase {
		b.basePlatform = push(uint64(len(start.BasePlatform)) + 1)
	}
	b.random = push(uint64(len(start.Random)))
	b.sp = alignUp(push(tables), 16)
	b.aux = b.sp - min(pointers, b.sp)
	return b, b.sp <= maxBlock
}

// saturate adds and stops far above every legal size.
func saturate(a, b uint64) uint64 {
	const top = math.MaxUint64 >> 2
	return min(min(a, top)+min(b, top), top)
}

func alignUp(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }

// build returns the block's bytes for a stack that ends at end. aux holds the
// vector without its terminating entry; the pointers into the block among it are
// filled in here.
func (b *stackBlock) build(start *StartInfo, aux []frontend.Aux, end uint64) []byte {
	out := make([]byte, b.sp)
	le := binary.LittleEndian
	at := uint64(0)
	word := func(v uint64) {
		le.PutUint64(out[at:], v)
		at += wordSize
	}
	text := func(below uint64, s []byte) { copy(out[b.sp-below:], s) }
	list := func(below uint64, strings [][]byte) {
		for _, s := range strings {
			word(end - below)
			text(below, s)
			below -= uint64(len(s)) + 1
		}
		word(0)
	}
	word(uint64(len(start.Args)))
	list(b.argStart, start.Args)
	list(b.envStart, start.Env)
	pointer := func(below uint64, has bool) uint64 {
		if !has {
			return 0
		}
		return end - below
	}
	for _, a := range aux {
		switch a.Type {
		case auxRandom:
			a.Value = end - b.random
		case auxPlatform:
			a.Value = pointer(b.platform, b.hasPlatform)
		case auxBasePlatform:
			a.Value = pointer(b.basePlatform, b.hasBase)
		case auxExecFn:
			a.Value = pointer(b.execPath, b.hasExecFn)
		}
		word(a.Type)
		word(a.Value)
	}
	text(b.random, start.Random[:])
	if b.hasPlatform {
		text(b.platform, start.Platform)
	}
	if b.hasBase {
		text(b.basePlatform, start.BasePlatform)
	}
	if b.hasExecFn {
		text(b.execPath, start.ExecPath)
	}
	return out
}
