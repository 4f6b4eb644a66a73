package libmultivar

import (
	"errors"
	"fmt"

	"github.com/multivar/multivar/frontend"
)

// What the leader's calls do to files is done to their twins.

// Modes of fallocate(2) by which the rest of the file moves (include/uapi/linux/falloc.h).
const (
	fallocCollapse = 0x08
	fallocInsert   = 0x20
)

// mirrorChunk is how many bytes of the leader's memory are copied at once.
const mirrorChunk = 1 << 20

// mirrorWrite copies what a call of the leader has written to a file with a twin.
func (e *Engine) mirrorWrite(th *thread, ev *record) {
	if len(e.twins) == 0 {
		return
	}
	e.settleTwins(th)
	if ev.ret < 0 {
		return
	}
	if ev.name == "truncate" {
		e.cutNamed()
		return
	}
	fd, ok := changedFD(ev)
	if !ok || ev.special || !ev.changes && !e.opensFile(th, fd) {
		return
	}
	// The range is off..off+n; without n it ends at the file's position, without
	// both it is the whole file.
	off, n := int64(-1), int64(-1)
	args := ev.raw.Args
	switch ev.name {
	case "pwrite64", "pwritev", "pwritev2":
		off, n = int64(args[3]), ev.ret
	case "write", "writev", "sendfile":
		n = ev.ret
	case "fallocate":
		if args[1]&(fallocCollapse|fallocInsert) == 0 {
			off, n = int64(args[2]), int64(args[3])
		}
	case "copy_file_range", "splice":
		if args[3] == 0 {
			n = ev.ret
		}
	}
	found := false
	err := e.leaderFile(th, fd, func(host frontend.Twins, file frontend.File, info frontend.FileInfo) error {
		t := e.twins[fileKey(info)]
		if t == nil {
			return nil
		}
		found = true
		switch {
		case ev.name == "ftruncate":
			n = 0
		case n < 0:
			off, n = 0, info.Size
		case off < 0:
			off = max(info.Position-n, 0)
		}
		if info.Size < t.size {
			if err := e.cutTwin(host, t, info.Size); err != nil {
				return err
			}
		}
		if !info.Readable {
			if done, err := e.mirrorUnread(host, th, ev, t, info, off, n); done || err != nil {
				return err
			}
		}
		// What lies beyond is not mirrored: a follower that looks there diverges. Who appends
		// writes elsewhere than it says.
		off = min(off, t.size)
		n = min(n, t.size-off)
		if err := e.growTwin(host, t, file, info); err != nil {
			return err
		}
		for v := 1; v < e.cfg.Variants && n > 0; v++ {
			if err := host.CopyRange(t.copies[v], file, off, n); err != nil {
				return err
			}
		}
		return nil
	})
	// Another thread may have closed the descriptor of a file that nobody mapped.
	if found || ev.changes {
		e.unmirrored(th, fd, err)
	}
}

// mirrorUnread is mirrorWrite for a descriptor by which nothing can be read, in a file that
// is not to be opened anew: the program could see that. What a call wrote is in the leader's
// memory, in which nobody has run since. It is false when the call says not what it wrote.
func (e *Engine) mirrorUnread(host frontend.Twins, th *thread, ev *record, t *twin, info frontend.FileInfo, off, n int64) (done bool, err error) {
	old := t.size
	switch ev.name {
	case "ftruncate":
		return true, e.cutTwin(host, t, info.Size)
	case "write", "writev", "pwrite64", "pwritev", "pwritev2":
	default:
		return false, nil
	}
	if info.Size > old {
		if err := e.cutTwin(host, t, info.Size); err != nil {
			return true, err
		}
		if ev.name != "write" && ev.name != "writev" {
			// Who appends writes there in any case; otherwise it is the same place.
			off = info.Size - n
		}
	}
	return true, e.putWritten(host, th, ev, t, off, min(n, t.size-off))
}

// putWritten puts the first n bytes that the call of ev has written into the copies, at off.
func (e *Engine) putWritten(host frontend.Twins, th *thread, ev *record, t *twin, off, n int64) error {
	task, args := th.sides[frontend.Leader].task, &ev.raw.Args
	buf := make([]byte, max(0, min(n, mirrorChunk)))
	for i := uint64(0); n > 0; i++ {
		at, size := args[1], uint64(n)
		if ev.name != "write" && ev.name != "pwrite64" {
			var p [16]byte
			if i >= args[2] {
				return nil
			}
			if _, err := e.host.ReadVariantMem(task, args[1]+i*16, p[:]); err != nil {
				return fmt.Errorf("%w: %w", frontend.ErrUnreadable, err)
			}
			at, size = uintOf(p[:8]), min(uintOf(p[8:]), size)
		}
		for size > 0 {
			p := buf[:min(size, uint64(len(buf)))]
			if _, err := e.host.ReadVariantMem(task, at, p); err != nil {
				return fmt.Errorf("%w: %w", frontend.ErrUnreadable, err)
			}
			for v := 1; v < e.cfg.Variants; v++ {
				if err := host.WriteFile(t.copies[v], p, off); err != nil {
					return err
				}
			}
			done := uint64(len(p))
			at, size, off, n = at+done, size-done, off+int64(done), n-int64(done)
		}
	}
	return nil
}

// unmirrored takes the error of copying what the file of the leader's descriptor has. When it
// cannot be read followers do without: those that look there diverge.
func (e *Engine) unmirrored(th *thread, fd int, err error) {
	if !errors.Is(err, frontend.ErrUnreadable) {
		e.hostFailed(err)
		return
	}
	name := e.fdName(th, fd)
	e.notice("unread "+name, fmt.Sprintf("what was written to %s cannot be read: followers that map it do not have it", name))
}

// cutNamed gives twins the size of their files behind a call that has given one of these
// another size, by its name: which one that was nobody knows.
func (e *Engine) cutNamed() {
	host, ok := e.host.(frontend.Twins)
	if !ok {
		return
	}
	for _, t := range e.twins {
		if t.pin == 0 {
			continue
		}
		info, err := host.FileInfo(t.pin)
		if err != nil {
			// The file's server may be gone. Whoever maps it has that from the kernel.
			e.log.Debug("size of a mapped file", "name", t.name, "err", err)
			continue
		}
		if min(info.Size, maxCopy) != t.size {
			e.hostFailed(e.cutTwin(host, t, info.Size))
		}
	}
}

// cutOpened gives the twin of a file that the leader has cut by opening it its size. What it
// holds already comes from others who have written since.
func (e *Engine) cutOpened(th *thread, fd int) {
	e.unmirrored(th, fd, e.leaderFile(th, fd, func(host frontend.Twins, file frontend.File, info frontend.FileInfo) error {
		t := e.twins[fileKey(info)]
		if t == nil || info.Size >= t.size {
			return nil
		}
		if err := e.cutTwin(host, t, 0); err != nil {
			return err
		}
		return e.growTwin(host, t, file, info)
	}))
}
