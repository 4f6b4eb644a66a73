package libmultivar

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/sites"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A processor gives each variant random numbers of its own, by instructions that nothing can make
// fault. So the engine looks for them in what is mapped to be executed, a program and its
// libraries, and changes them to such that raise SIGILL: all variants get the same number then, as
// they do of the time stamp counter. Code that a program makes itself keeps them.

// code is what was changed in the code of an address space, and of those that were forked from it.
type code struct {
	// changed are the addresses of changed instructions, in whichever variant. It depends on the
	// memory there what is at one.
	changed map[addrspace.Address]bool
}

// textKey is a file's part that was mapped to be executed, and textSites where in it instructions
// read random numbers. What is there is looked at before it is changed: so it does no harm if
// the file is another one by now.
type textKey struct {
	path                        string
	device, inode, offset, size uint64
}

// maxText bounds what is looked at of one mapping, maxTexts how many are remembered.
const (
	maxText  = 64 << 20
	maxTexts = 4096
)

// patches reports whether random numbers are the same in all variants by changing code.
func (e *Engine) patches() bool {
	return e.caps.Patches && e.caps.Arch == sysabi.AMD64 && e.followers > 0
}

// patchNew looks at the program that v's task of th has executed, unless that was done.
func (e *Engine) patchNew(th *thread, v int) {
	s := &th.sides[v]
	if !s.unpatched {
		return
	}
	s.unpatched = false
	if !e.patches() {
		return
	}
	list, err := e.host.Mappings(s.task)
	if err != nil {
		// It is gone, which is reported by itself.
		return
	}
	for i := range list {
		m := &list[i]
		if m.Inode != 0 && !m.Shared && m.Prot&(protRead|protWrite|protExec) == protRead|protExec {
			key := textKey{path: m.Path, inode: m.Inode, offset: m.Offset, size: m.End - m.Start}
			e.patchText(th, v, m.Start, key)
		}
	}
}

// patchMapped looks at what v's task of th has mapped, if that can be executed; ret is what its
// call has got.
func (e *Engine) patchMapped(th *thread, v int, ret int64) {
	s := &th.sides[v]
	ev := s.inCall
	if ev == nil || ev.name != "mmap" || ret <= 0 || !e.patches() {
		return
	}
	args := &ev.raw.Args
	length, ok := addrspace.PageUp(args[1])
	if !ok || args[2]&(protRead|protWrite|protExec) != protRead|protExec || args[3]&mapAnon != 0 || args[3]&mapType != mapPrivate {
		return
	}
	if v == frontend.Leader {
		ev.mapped = e.mappedText(s.task, int(int32(args[4])), args[5], length)
	}
	if ev.mapped.size != 0 {
		e.patchText(th, v, uint64(ret), ev.mapped)
	}
}

// mappedText identifies what a task has mapped of a descriptor; its size is 0 when that cannot be
// told.
func (e *Engine) mappedText(t frontend.Task, fd int, offset, size uint64) textKey {
	twins, ok := e.host.(frontend.Twins)
	if !ok || !e.caps.Twins {
		return textKey{}
	}
	f, err := e.host.DupFile(t, fd)
	if err != nil {
		return textKey{}
	}
	info, err := twins.FileInfo(f)
	if err = errors.Join(err, e.host.CloseFile(f)); err != nil {
		return textKey{}
	}
	return textKey{device: info.Device, inode: info.Inode, offset: offset, size: size}
}

// patchText changes the instructions in what v's task of th has mapped at start.
func (e *Engine) patchText(th *thread, v int, start uint64, key textKey) {
	t := th.sides[v].task
	for _, off := range e.textSites(t, start, key) {
		e.patch(th, v, start+uint64(off))
	}
}

// textSites returns where in a text instructions read random numbers.
func (e *Engine) textSites(t frontend.Task, start uint64, key textKey) []int {
	if list, ok := e.texts[key]; ok {
		return list
	}
	if key.size > maxText {
		return nil
	}
	text := make([]byte, key.size)
	// Behind the end of a file there is nothing.
	n, _ := e.host.ReadVariantMem(t, start, text)
	list := sites.FindRandom(text[:n])
	if len(e.texts) == maxTexts {
		clear(e.texts)
	}
	if e.texts == nil {
		e.texts = map[textKey][]int{}
	}
	e.texts[key] = list
	return list
}

// patch changes the instruction at an address, if it reads a random number.
func (e *Engine) patch(th *thread, v int, at uint64) {
	p, t := th.proc, th.sides[v].task
	var b [sites.RandomMost]byte
	n, _ := e.host.ReadVariantMem(t, at, b[:])
	if !sites.TrapRandom(b[:n]) {
		return
	}
	patcher, ok := e.host.(frontend.Patcher)
	if !ok || p.code == nil || patcher.PatchCode(t, at, b[:n]) != nil {
		return
	}
	if p.code.changed == nil {
		p.code.changed = map[addrspace.Address]bool{}
	}
	p.code.changed[e.layout.Canonical(v, at)] = true
}

// sigILL is SIGILL.
const sigILL = 4

// randomNumber returns the read of a random number that is what a signal is about, if it is.
func (e *Engine) randomNumber(t frontend.Task, sig *frontend.Signal) (ts frontend.TimeStamp, ok bool) {
	th := e.tasks[t]
	if sig.Number != sigILL || !sig.Synchronous || th == nil || th.proc.code == nil ||
		!th.proc.code.changed[e.layout.Canonical(t.Variant, sig.IP)] {
		return ts, false
	}
	var b [sites.RandomMost]byte
	n, _ := e.host.ReadVariantMem(t, sig.IP, b[:])
	r, ok := sites.Trapped(b[:n])
	if !ok {
		return ts, false
	}
	var number [8]byte
	_, _ = rand.Read(number[:]) // never fails
	return frontend.TimeStamp{
		Cycles: binary.LittleEndian.Uint64(number[:]) >> (64 - 8*uint(r.Size)),
		Random: frontend.RandomNumber(r),
		IP:     sig.IP,
	}, true
}
