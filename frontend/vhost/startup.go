//go:build linux

package vhost

import (
	"bytes"
	"debug/elf"
	"fmt"

	"github.com/multivar/multivar/internal/unix"
)

// actionSection is the section of the image with the actions of signals.
const actionSection = ".action"

// Places is what is where in the variant host's image.
type Places struct {
	// End is the image's end, to the page.
	End uint64
	// Handle and Default are struct kernel_sigactions: that of a signal by which a native
	// program comes to the variant host, and that which signals have at first.
	Handle, Default uint64
}

// ImagePlaces reads the variant host's image.
func ImagePlaces() (p Places, err error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return p, fmt.Errorf("image of the variant host: %w", err)
	}
	action := f.Section(actionSection)
	if action == nil {
		return p, fmt.Errorf("image of the variant host: no section %s", actionSection)
	}
	const actionSize = 32
	p.Handle, p.Default = action.Addr, action.Addr+actionSize
	for _, g := range f.Progs {
		if g.Type == elf.PT_LOAD {
			p.End = max(p.End, (g.Vaddr+g.Memsz+PageSize-1)&^(PageSize-1))
		}
	}
	return p, nil
}

// Startup returns the calls by which a variant host begins that an exec has started with
// this Environment for a native program, from its first instruction to its first report.
// Those that change nothing but the task's own mask and stack of signals, and those that
// ask, are left out.
func (p *Places) Startup(arena, bell int) []Call {
	size := p.End - Image
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
		{Nr: unix.SysRtSigaction, Args: [6]uint64{sigill, p.Handle, 0, sigsetSize}},
	}
}
