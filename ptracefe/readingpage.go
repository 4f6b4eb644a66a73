//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"encoding/binary"
	"errors"

	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/ptracefe/internal/vdso"
)

// readingPage is the page by which the session talks with the code in the vDSO of an address space, of
// which its processes have the pointer. Most programs do not read clocks often enough to have it: it
// is made when its first readings are due.
type readingPage struct {
	// at is where it goes in the address space, pointer where in the vDSO the word is that leads there.
	at, pointer uint64
	// shared is the page, which the address space and the session have both mapped, nil for none;
	// refused is true when there is to be none.
	shared  vdso.Page
	refused bool
	// users is how many processes have the address space.
	users int
	// own and known are what it has been set to: whether the program may read clocks, and how many
	// readings are in it; seen is how many of those that were made or taken have been reported, since
	// it was set.
	own   bool
	known int
	seen  int
	// since is when the task last made a call behind readings.
	since moment
	// by is the task that has gone on last: tasks with one address space take turns.
	by *task
}

// placeReadings puts the code into the vDSO of a task that begins a program. There is room for a page
// in front of it at page.
func (in *injector) placeReadings(page uint64) error {
	s, t := in.s, in.t
	t.proc.dropPage()
	if page == 0 {
		return nil
	}
	stub := s.readings.stub
	if stub == nil {
		return errors.New("programs cannot read clocks by themselves")
	}
	at, code := stub.Patch(s.readings.secret)
	at += page + pageSize
	if unix.PatchMemory(t.id.Host, at, code) != nil {
		// Kernels can be set not to allow it that way.
		if err := poke(t.id.Host, at, code); err != nil {
			return taskError("change the vDSO", err)
		}
	}
	t.proc.page = &readingPage{at: page, pointer: page + pageSize + stub.Pointer(), users: 1}
	return nil
}

// poke writes code to the memory of a stopped task, word by word.
func poke(host int, at uint64, code []byte) error {
	for len(code) > 0 {
		start := at &^ (wordSize - 1)
		old, err := unix.PtracePeekText(host, start)
		if err != nil {
			return err
		}
		word := binary.LittleEndian.AppendUint64(nil, old)
		n := copy(word[at-start:], code)
		if err := unix.PtracePokeText(host, start, binary.LittleEndian.Uint64(word)); err != nil {
			return err
		}
		at, code = at+uint64(n), code[n:]
	}
	return nil
}

// sharePage makes the page of t, which stands at the entry of a call that it will not make. It has none
// afterwards where that is not possible, now or ever.
func (s *session) sharePage(t *task) error {
	p := t.proc.page
	if p.refused || t.leads() && s.replaces(t.proc) {
		// Another thread is about to get a descriptor's number, which is to be what it is without this.
		return nil
	}
	// It is tried once: to try costs much, and what keeps it from being made mostly lasts.
	p.refused = true
	if t.proc.sharesFiles || !s.filteredOnly(t) {
		return nil
	}
	in, err := s.inject(t)
	if errors.Is(err, errNoGate) {
		return nil
	}
	if err != nil {
		return err
	}
	shared, err := in.sharePage(p)
	if err != nil {
		return err
	}
	if err := in.end(in.base); err != nil {
		return err
	}
	if shared == nil {
		s.log.Debug("a program does not read clocks by itself", "task", t.id.String())
		return nil
	}
	if unix.PtracePokeText(t.id.Host, p.pointer, p.at) != nil {
		// The program has done away with its vDSO, or is gone.
		_ = unix.Unmap(shared)
		return nil
	}
	p.shared, p.refused = shared, false
	return nil
}

// sharePage has a task make the page's file, and maps that, in the task and here. It is nil when that
// fails, as it may for want of descriptors or memory.
func (in *injector) sharePage(p *readingPage) (vdso.Page, error) {
	// The word that is to lead there is 0, a name without characters.
	fd, err := in.call(unix.SysMemfdCreate, p.pointer, unix.MfdCloexec|unix.MfdAllowSealing)
	if err != nil || fd < 0 {
		return nil, err
	}
	shared := in.t.proc.mapPage(int(fd))
	mapped, err := in.mapPage(p, uint64(fd), shared != nil)
	if err == nil {
		err = in.must("close", unix.SysClose, uint64(fd))
	}
	if (err != nil || !mapped) && shared != nil {
		_ = unix.Unmap(shared)
		shared = nil
	}
	return shared, err
}

// mapPage maps file fd as the page of the task, without those that it makes having it, too.
func (in *injector) mapPage(p *readingPage, fd uint64, wanted bool) (mapped bool, err error) {
	if !wanted {
		return false, nil
	}
	ret, err := in.call(unix.SysMmap, p.at, pageSize, protRead|protWrite, unix.MapSharedFlag|unix.MapFixedNoreplace, fd, 0)
	if err != nil || uint64(ret) != p.at {
		return false, err
	}
	if ret, err = in.call(unix.SysMadvise, p.at, pageSize, unix.MadvDontFork); err != nil || ret == 0 {
		return err == nil, err
	}
	return false, in.must("unmap", unix.SysMunmap, p.at, pageSize)
}

// mapPage maps file fd of p's here, if it is one whose size nobody can change any more. Another process
// may have put something else in its place.
func (p *process) mapPage(fd int) vdso.Page {
	own, err := p.duplicate(fd)
	if err != nil {
		return nil
	}
	defer unix.Close(own)
	if unix.FixSize(own, vdso.PageSize) != nil {
		return nil
	}
	shared, err := unix.MapShared(own, 0, vdso.PageSize)
	if err != nil {
		return nil
	}
	return shared
}

// filteredOnly reports whether the session's is the only filter that t has and the session has not. One
// of the program's own may not let it make the calls that a page takes, and end it for them.
func (s *session) filteredOnly(t *task) bool {
	const filters = "Seccomp_filters:"
	own, ok := statusField(s.pid, filters)
	if !ok {
		return false
	}
	n, ok := statusField(t.id.Host, filters)
	return ok && n == own+1
}

// dropPage parts with the page that p's address space has, which p has no more.
func (p *process) dropPage() {
	page := p.page
	p.page = nil
	if page == nil {
		return
	}
	if page.users--; page.users == 0 && page.shared != nil {
		_ = unix.Unmap(page.shared)
		page.shared = nil
	}
}

// inheritPage gives the process of a new task, which stands at its first instruction, what it has of the
// one that made it: the same page where they have their memory together, and none that is there yet
// elsewhere.
func inheritPage(child *process, parent *task) {
	page := parent.proc.page
	if page == nil || child == parent.proc {
		return
	}
	// It fails where the child is dead.
	if same, err := unix.SharesMemory(parent.id.Host, child.pid); err == nil && same {
		child.page = page
		page.users++
		return
	}
	if page.shared != nil && unix.PtracePokeText(child.pid, page.pointer, 0) != nil {
		return
	}
	child.page = &readingPage{at: page.at, pointer: page.pointer, users: 1}
}
