//go:build linux

package vhost

import (
	"bytes"
	"debug/elf"
	"fmt"

	"github.com/multivar/multivar/internal/unix"
)

// actionSection is the section of the image with the action of signals by which a native
// program comes to the variant host.
const actionSection = ".action"

// ImageEnd returns the end of the variant host's image, to the page.
func ImageEnd() (uint64, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("image of the variant host: %w", err)
	}
	return endOf(f), nil
}

func endOf(f *elf.File) uint64 {
	var end uint64
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			end = max(end, p.Vaddr+p.Memsz)
		}
	}
	return (end + PageSize - 1) &^ (PageSize - 1)
}

// Startup returns the calls by which a variant host begins that an exec has started with
// this Environment for a native program, from its first instruction to its first report.
// Those that change nothing but the task's own mask and stack of signals, and those that
// ask, are left out.
func Startup(arena, bell int) ([]Call, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, fmt.Errorf("image of the variant host: %w", err)
	}
	action := f.Section(actionSection)
	if action == nil {
		return nil, fmt.Errorf("image of the variant host: no section %s", actionSection)
	}
	size := endOf(f) - Image
	const (
		read, write, exec = 1, 2, 4
		shared            = unix.MapSharedFlag | unix.MapFixed
		private           = unix.MapPrivate | unix.MapAnonymous | unix.MapFixed
		mayMove           = 1
		sigill            = 4
		sigsetSize        = 8
	)
	return []Call{
		{Nr: unix.SysMmap, Args: [6]uint64{Blocks, blocksSize, read | write, shared, uint64(arena), 0}},
		{Nr: unix.SysMmap, Args: [6]uint64{Bell, PageSize, read | write, shared, uint64(bell), 0}},
		{Nr: unix.SysMmap, Args: [6]uint64{imageCopy, size, read | write, private, ^uint64(0), 0}},
		{Nr: unix.SysMprotect, Args: [6]uint64{imageCopy, size, read | exec}},
		{Nr: unix.SysMremap, Args: [6]uint64{imageCopy, size, size, mayMove | unix.MremapFixed, Image}},
		{Nr: unix.SysMunmap, Args: [6]uint64{0, SlotStart}},
		{Nr: unix.SysMunmap, Args: [6]uint64{SlotEnd, taskEnd - SlotEnd}},
		{Nr: unix.SysRtSigaction, Args: [6]uint64{sigill, action.Addr, 0, sigsetSize}},
	}, nil
}
