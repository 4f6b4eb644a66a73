//go:build linux && amd64

package kvmsandbox

import (
	"maps"
	"os"
	"path"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/mounts"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A name is known to agents when the leader has opened the same file by it several times, a
// regular one with no symbolic link on the way, on a file system whose files wait for nothing but
// a disk, or has found several times that there is none, where such a file system is. It is the
// monitor that allows to open by name; so it says for which names it need not
// be asked again, in memory that variants cannot write.

// openedAs is a name with which a file was opened, and the flags, or with which there was none.
type openedAs struct {
	name   string
	flags  uint32
	absent bool
}

const (
	// openedOften is how often a file is opened before agents may.
	openedOften = 4
	// maxAsked bounds how many names are counted.
	maxAsked = 4096
)

// knowsNames says whether agents may deal with calls that open files.
func (a *agents) knowsNames() bool { return a.names != nil }

// startNames makes room for names if agents may deal with calls that open files.
func (a *agents) startNames() (err error) {
	for i := range a.calls {
		if a.calls[i].Named.Opens {
			a.opened = map[openedAs]int{}
			a.names, err = vhost.NewNames()
			return err
		}
	}
	return nil
}

// noteOpened counts how often the leader's t has opened the file of its call, which is descriptor
// fd and which the kernel calls link. Those that are opened often agents may open.
func (s *session) noteOpened(t *task, fd int64, link string) {
	if key, ok := s.opensAs(t); ok {
		s.noteNamed(t, key, fd, link)
	}
}

// noteStraight is noteOpened where nobody has asked yet what the kernel calls the file.
func (s *session) noteStraight(t *task, fd int64) {
	key, ok := s.opensAs(t)
	if !ok || s.agents.opened[key] >= openedOften {
		return
	}
	if link, err := fileName(procPath(t.id.Host, "fd/"+strconv.FormatInt(fd, 10))); err == nil {
		s.noteNamed(t, key, fd, link)
	}
}

// noteNamed is noteOpened for what was opened as key says.
func (s *session) noteNamed(t *task, key openedAs, fd int64, link string) {
	// Where the kernel's name is another one there are links, or another root.
	if key.name == link && s.agents.often(key) && isLocal(t, int(fd)) {
		// Where there is no room for it it stays the monitor's.
		_ = s.agents.names.Add(link, key.flags, false)
	}
}

// noteAbsent is noteOpened for a call that has found no file, or one where a directory would have
// to be.
func (s *session) noteAbsent(t *task) {
	key, ok := s.opensAs(t)
	if key.absent = true; ok && path.IsAbs(key.name) && path.Clean(key.name) == key.name && s.agents.often(key) && mounts.LocalPath(t.id.Host, key.name) {
		_ = s.agents.names.Add(key.name, key.flags, true)
	}
}

// opensAs returns by which name and with which flags t's call opens a file; false for those of
// which agents are not to know.
func (s *session) opensAs(t *task) (o openedAs, ok bool) {
	a := &s.agents
	if !a.knowsNames() || s.rootMoved || !t.leads() || t.lane == nil {
		return o, false
	}
	c := s.agentCall(t.call.ranNr, t.call.ranArgs)
	if c == nil || !c.Named.Opens {
		return o, false
	}
	o.flags = uint32(t.call.ranArgs[c.Named.Flags])
	at := t.nameOf(c)
	if o.flags&^c.Named.Only != 0 || at == 0 {
		return o, false
	}
	name, err := s.text(t, at, maxPath, 0)
	o.name = string(name)
	return o, err == nil
}

// noteLooked is noteOpened for a call that has looked at what has a name, with result ret. Of these
// agents need to know nothing but where others would wait for them: that no file system that may
// wait for one of them is on the way.
func (s *session) noteLooked(t *task, ret int64) {
	a := &s.agents
	if row, ok := sysabi.Lookup(sysabi.AMD64, int(t.call.ranNr)); !ok || row.Tame != sysabi.TameLook {
		return
	}
	if !a.knowsNames() || s.rootMoved || !t.leads() || t.lane == nil {
		return
	}
	c := s.agentCall(t.call.ranNr, t.call.ranArgs)
	if c == nil || !c.Looks || ret < 0 && ret != -int64(syscall.ENOENT) && ret != -int64(syscall.EINVAL) {
		return
	}
	text, err := s.text(t, t.nameOf(c), maxPath, 0)
	name := string(text)
	if err != nil || !path.IsAbs(name) || path.Clean(name) != name || !a.often(openedAs{name: name, flags: vhost.Looked}) {
		return
	}
	at := name
	if ret == -int64(syscall.ENOENT) {
		at = path.Dir(name)
	}
	if mounts.LocalPath(t.id.Host, name) && unix.HasNoLinks(at) {
		_ = a.names.Add(name, vhost.Looked, false)
	}
}

// often counts how often something was opened, and says whether it is for the last time.
func (a *agents) often(o openedAs) bool {
	n, known := a.opened[o]
	if n >= openedOften {
		return false
	}
	if !known && len(a.opened) == maxAsked {
		// Others may be opened more often.
		maps.DeleteFunc(a.opened, func(_ openedAs, n int) bool { return n < openedOften })
		if len(a.opened) == maxAsked {
			return false
		}
	}
	a.opened[o] = n + 1
	return n+1 == openedOften
}

// nameOf returns where the name is that the call has which t's process has made.
func (t *task) nameOf(c *frontend.AgentCall) uint64 {
	for i := range c.Args {
		if c.Args[i].Kind == frontend.AgentName {
			return t.call.ranArgs[i]
		}
	}
	return 0
}

// isLocal says whether descriptor fd of t's is of a regular file that waits for nothing but a
// disk. One of another file system is not asked: that might take its time.
func isLocal(t *task, fd int) bool {
	if !mounts.LocalFD(t.id.Host, fd) {
		return false
	}
	info, err := os.Stat(procPath(t.id.Host, "fd/"+strconv.Itoa(fd)))
	return err == nil && info.Mode().IsRegular()
}
