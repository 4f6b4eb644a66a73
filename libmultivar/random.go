package libmultivar

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/sites"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A processor gives each variant random numbers of its own, by instructions that nothing can make
// fault. So the engine looks for them in what is mapped to be executed, a program and its
// libraries, before its next call, and changes them to such that raise SIGILL: all variants get the same number then, as
// they do of the time stamp counter. Code that a program makes itself keeps them.
//
// CPUID is looked for as well, where the front-end answers it and cannot catch it otherwise. What it
// answers is the same whenever it is asked, so that is no event: nobody waits for it, and the engine
// hears of none. A follower that asks for something else is found by what it does then.

// code is what was changed in the code of a variant's address space, and of those that were forked
// from it: the addresses of changed instructions. It depends on the memory there what is at one.
type code map[uint64]bool

// textKey is a file's part that was mapped to be executed. What is there is looked at again before
// it is changed: so it does no harm if the file is another one by now.
type textKey struct {
	path                        string
	device, inode, offset, size uint64
}

// found is where in a text there are instructions that read random numbers, and CPUID.
type found struct{ random, cpuid []int }

func (f found) size() int { return len(f.random) + len(f.cpuid) }

// texts are where in texts instructions are to be changed. The zero value knows none.
type texts struct {
	known map[textKey]found
	// sites is how many there are in all, looked how many bytes have been looked at, and doubts
	// how often what looks like an instruction was looked at closely.
	sites, doubts int
	looked        uint64
}

// Bounds: of one text and of what is looked at in a session, so that a program that maps ever more
// code, or code made for it, does not keep the monitor busy, of what is remembered, and of what is
// read at once, with as much in front as tells where instructions begin and as much behind as the
// longest one with what follows it.
const (
	maxText     = 256 << 20
	maxLooked   = 4 << 30
	maxDoubts   = 1 << 16
	maxTexts    = 4096
	maxSites    = 1 << 18
	textPiece   = 1 << 20
	textLead    = 128
	textTrailer = 64
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
			e.patchAll(th, v, m.Start, e.textSites(s.task, m.Start, key, -1))
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
	// Followers map the leader's file.
	if fd := int(int32(args[4])); v == frontend.Leader {
		if key := e.mappedText(s.task, fd, args[5], length); key.size != 0 {
			ev.found = e.textSites(s.task, uint64(ret), key, fd)
		}
	}
	e.patchAll(th, v, uint64(ret), ev.found)
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

// patchAll changes the instructions at offsets from start in the memory of v's task of th.
func (e *Engine) patchAll(th *thread, v int, start uint64, offsets found) {
	for _, off := range offsets.random {
		e.patch(th, v, start+uint64(off))
	}
	identifier, ok := e.host.(frontend.Identifier)
	if !ok || len(offsets.cpuid) == 0 {
		return
	}
	addrs := make([]uint64, len(offsets.cpuid))
	for i, off := range offsets.cpuid {
		addrs[i] = start + uint64(off)
	}
	e.unpatchable(identifier.TrapCPUID(th.sides[v].task, addrs))
}

// unpatchable tells the user why code could not be changed, if it could not.
func (e *Engine) unpatchable(err error) {
	if err != nil && !errors.Is(err, frontend.ErrGone) {
		e.notice("patch", fmt.Sprintf("code cannot be changed: RDRAND and RDSEED give each variant another number: %v", err))
	}
}

// textSites returns what is to be changed in a text, which a task has mapped at start: a text of
// its descriptor fd or, where that is negative, of the file that key says.
func (e *Engine) textSites(t frontend.Task, start uint64, key textKey, fd int) found {
	x := &e.texts
	if f, ok := x.known[key]; ok {
		return f
	}
	patcher, ok := e.host.(frontend.Patcher)
	if !ok || key.size > maxText || key.size > maxLooked-x.looked || x.doubts >= maxDoubts {
		e.notice("code", "the program has mapped so much code that the rest is not looked at: RDRAND and RDSEED in it give each variant another number")
		return found{}
	}
	var f found
	// Who serves another file may never answer.
	if patcher.LocalFile(t, fd, key.path) {
		if f, ok = e.findSites(t, start, key.size); !ok {
			return found{}
		}
		x.looked += key.size
	}
	if len(x.known) == maxTexts || x.sites+f.size() > maxSites {
		x.known, x.sites = nil, 0
	}
	if x.known == nil {
		x.known = map[textKey]found{}
	}
	x.known[key], x.sites = f, x.sites+f.size()
	return f
}

// findSites looks at size bytes of a task's memory, and says whether they were there.
func (e *Engine) findSites(t frontend.Task, start, size uint64) (f found, ok bool) {
	piece := make([]byte, textLead+textPiece+textTrailer)
	for at := uint64(0); at < size; at += textPiece {
		from := at - min(at, textLead)
		p := piece[:min(at+textPiece+textTrailer, size)-from]
		// Behind the end of a file there is nothing.
		n, err := e.host.ReadVariantMem(t, start+from, p)
		if err != nil && !errors.Is(err, frontend.ErrFault) {
			return found{}, false
		}
		look := func(find func(text []byte, most int) ([]int, int), list []int) []int {
			offsets, doubts := find(p[:n], maxDoubts-e.texts.doubts)
			e.texts.doubts += doubts
			for _, off := range offsets {
				if o := from + uint64(off); o >= at && o < at+textPiece {
					list = append(list, int(o))
				}
			}
			return list
		}
		f.random = look(sites.FindRandom, f.random)
		if e.caps.Identifies {
			f.cpuid = look(sites.FindCPUID, f.cpuid)
		}
		if n < len(p) {
			break
		}
	}
	return f, true
}

// patch changes the instruction at an address, if it reads a random number.
func (e *Engine) patch(th *thread, v int, at uint64) {
	p, t := th.proc, th.sides[v].task
	var b [sites.RandomMost]byte
	n, _ := e.host.ReadVariantMem(t, at, b[:])
	i, ok := sites.TrapRandom(b[:n])
	if !ok || p.code[v] == nil || len(p.code[v]) >= maxRemembered {
		return
	}
	patcher, ok := e.host.(frontend.Patcher)
	if !ok {
		return
	}
	if err := patcher.PatchCode(t, at+uint64(i), b[i:i+1]); err != nil {
		e.unpatchable(err)
		return
	}
	p.code[v][at] = true
}

// sigILL is SIGILL.
const sigILL = 4

// randomNumber returns the read of a random number that is what a signal is about, if it is.
func (e *Engine) randomNumber(t frontend.Task, sig *frontend.Signal) (ts frontend.TimeStamp, ok bool) {
	th := e.tasks[t]
	if sig.Number != sigILL || !sig.Synchronous || th == nil || !th.proc.code[t.Variant][sig.IP] {
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
