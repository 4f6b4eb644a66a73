package libmultivar

import (
	"errors"
	"fmt"
	"strings"

	"github.com/multivar/multivar/frontend"
)

// twin is a file of the leader that the program shares memory with, and the copy
// of it that each follower shares memory with instead. What the program writes
// through its memory reaches the real file in the leader only; the copies are
// compared when memory is synchronised or goes away.
type twin struct {
	key string
	// name is what the file was mapped by last, empty for a segment.
	name string
	// copies holds the file of each variant, none for the leader.
	copies []frontend.File
	// pin tells of the leader's file when a call changes that by its name; 0 for none. As
	// long as it is there the file keeps its number and its space, so it must be gone when
	// nobody of the program has the file any more.
	pin frontend.File
	// size is how many bytes of the leader's file were copied so far.
	size int64
	// domain is that of the threads whose processes map it.
	domain *domain
	// kept: what it holds may be mapped again when nobody maps it.
	kept bool
	// removed: it is that of a System V segment which ends with its last user.
	removed bool
	// users counts the events by which followers may have yet to map the copies. The last
	// one closes those of a twin that is dropped.
	users   int
	dropped bool
	// handle is what the program can map the file with again when nobody maps it, and the
	// twin is idle; nil while somebody does.
	handle *handle
}

// maxCopy is the size of the largest file that gets a twin.
const maxCopy = 1 << 30

// leaderFile calls f with a duplicate of a descriptor of the leader and its
// description.
func (e *Engine) leaderFile(th *thread, fd int, f func(frontend.Twins, frontend.File, frontend.FileInfo) error) error {
	host, ok := e.host.(frontend.Twins)
	if !e.caps.Twins || !ok {
		return errors.ErrUnsupported
	}
	file, err := e.host.DupFile(th.sides[frontend.Leader].task, fd)
	if err != nil {
		return err
	}
	defer func() { e.hostFailed(e.host.CloseFile(file)) }()
	info, err := host.FileInfo(file)
	if err != nil {
		return err
	}
	return f(host, file, info)
}

// canTwin reports whether the leader's descriptor is one whose file can get a
// twin; refused is true when it is a descriptor but of another kind.
func (e *Engine) canTwin(th *thread, fd int) (ok, refused bool) {
	if !e.caps.Twins {
		return false, true
	}
	err := e.leaderFile(th, fd, func(_ frontend.Twins, _ frontend.File, info frontend.FileInfo) error {
		ok = info.Regular && info.Size <= maxCopy
		refused = !ok
		return nil
	})
	return ok && err == nil, refused
}

// sharedOtherwise reports whether what the leader maps to read only may be written
// through memory that others of the program map: a follower's process has to read what
// its own write. Such a file has a twin, or a process has it open to write: by its name, or,
// if that is the process of th, by any. What is written by processes outside no twin would
// have.
func (e *Engine) sharedOtherwise(th *thread, fd int) (shared bool) {
	name, err := e.host.FilePath(th.sides[frontend.Leader].task, fd)
	written := err == nil && (e.written[undeleted(name)] || len(e.written) >= maxRemembered)
	var key string
	err = e.leaderFile(th, fd, func(_ frontend.Twins, _ frontend.File, info frontend.FileInfo) error {
		if info.Regular && info.Size <= maxCopy {
			key = fileKey(info)
			shared = info.Writable || written || e.written[key]
		}
		return nil
	})
	if err != nil || key == "" || shared {
		return shared && err == nil
	}
	for fd := range th.proc.fds.writable {
		if e.hasKey(th, fd, key) {
			return true
		}
	}
	return false
}

func fileKey(info frontend.FileInfo) string { return fmt.Sprintf("%d:%d", info.Device, info.Inode) }

// attachTwin makes ev map the twin of the leader's file, which is up to date as a whole
// afterwards, and returns the file's key. Memory may come to reach further, by mremap(2), when
// no descriptor is there to copy from any more.
func (e *Engine) attachTwin(th *thread, ev *record, fd int) (key string) {
	e.restAgents()
	err := e.leaderFile(th, fd, func(host frontend.Twins, file frontend.File, info frontend.FileInfo) error {
		key = fileKey(info)
		t, err := e.twinOf(host, key, info.Size)
		if err != nil {
			return err
		}
		e.share(t, ev, th)
		th.proc.fds.setTwin(fd, key)
		// Who maps it only to read, by whatever name, has to see what was written.
		e.noteWritten(key)
		if name, err := e.host.FilePath(th.sides[frontend.Leader].task, fd); err == nil {
			e.noteMapped(name)
			t.name = name
			if t.pin == 0 && !strings.HasPrefix(name, "/memfd:") {
				if t.pin, err = host.Pin(file); err != nil {
					return err
				}
			}
		}
		return e.growTwin(host, t, file, info)
	})
	e.lose(ev, err)
	return key
}

// twinOf returns the twin with a key. A new one has files of size bytes.
func (e *Engine) twinOf(host frontend.Twins, key string, size int64) (*twin, error) {
	if t := e.twins[key]; t != nil {
		return t, nil
	}
	t := &twin{key: key, copies: make([]frontend.File, e.cfg.Variants)}
	for v := 1; v < e.cfg.Variants; v++ {
		f, err := host.NewFile(size)
		if err != nil {
			for _, made := range t.copies[1:v] {
				e.hostFailed(e.host.CloseFile(made))
			}
			return nil, err
		}
		t.copies[v] = f
	}
	e.twins[key] = t
	return t, nil
}

// share makes ev map the copies of t, in a process which so becomes one of those that share
// memory by it.
func (e *Engine) share(t *twin, ev *record, th *thread) {
	ev.twin, ev.files = t, t.copies
	t.users++
	e.leaveIdle(t)
	e.gather(t, th)
}

// noteMapped remembers that a file is mapped somewhere. When they are too many to
// remember, all files count as mapped.
func (e *Engine) noteMapped(name string) {
	name = undeleted(name)
	if e.mapped[name] {
		return
	}
	e.beforeMapping(name)
	if len(e.mapped) >= maxRemembered {
		e.allMapped = true
		return
	}
	e.mapped[name] = true
}

// growTwin copies what the leader's file has gained.
func (e *Engine) growTwin(host frontend.Twins, t *twin, file frontend.File, info frontend.FileInfo) error {
	size := min(info.Size, maxCopy)
	if size <= t.size {
		return nil
	}
	for v := 1; v < e.cfg.Variants; v++ {
		if err := host.CopyRange(t.copies[v], file, t.size, size-t.size); err != nil {
			return err
		}
	}
	t.size = size
	return nil
}

// cutTwin gives the copies of the leader's file the size that this has got by a call for
// which followers wait. What is new is zeros, and is no gain that growTwin would copy: the
// program may write there at once, and followers later than the leader.
func (e *Engine) cutTwin(host frontend.Twins, t *twin, size int64) error {
	t.size = min(size, maxCopy)
	for v := 1; v < e.cfg.Variants; v++ {
		if err := host.Truncate(t.copies[v], t.size); err != nil {
			return err
		}
	}
	return nil
}

// unwritable reports whether memory that the leader maps by a descriptor, and that it
// shares with the file, can never be written.
func (e *Engine) unwritable(th *thread, fd int) (never bool) {
	err := e.leaderFile(th, fd, func(_ frontend.Twins, _ frontend.File, info frontend.FileInfo) error {
		never = !info.Writable
		return nil
	})
	return never && err == nil
}
