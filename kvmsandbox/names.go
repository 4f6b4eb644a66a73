//go:build linux && amd64

package kvmsandbox

import (
	"maps"
	"os"
	"strconv"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/mounts"
)

// A name is known to agents when the leader has opened the same file by it several times, a
// regular one with no symbolic link on the way, on a file system whose files wait for nothing but
// a disk. It is the monitor that allows to open by name; so it says for which names it need not
// be asked again, in memory that variants cannot write.

// openedAs is a name with which a file was opened, and the flags.
type openedAs struct {
	name  string
	flags uint32
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
	a := &s.agents
	if !a.knowsNames() || !t.leads() || t.lane == nil {
		return
	}
	c := s.agentCall(t.call.ranNr, t.call.ranArgs)
	if c == nil || !c.Named.Opens {
		return
	}
	flags := uint32(t.call.ranArgs[c.Named.Flags])
	at := t.nameOf(c)
	if flags&^c.Named.Only != 0 || at == 0 {
		return
	}
	// Where the kernel's name is another one there are links, or another root.
	name, err := s.text(t, at, maxPath, 0)
	if err != nil || string(name) != link {
		return
	}
	key := openedAs{link, flags}
	n, known := a.opened[key]
	if n >= openedOften {
		return
	}
	if !known && len(a.opened) == maxAsked {
		// Others may be opened more often.
		maps.DeleteFunc(a.opened, func(_ openedAs, n int) bool { return n < openedOften })
		if len(a.opened) == maxAsked {
			return
		}
	}
	if a.opened[key] = n + 1; n+1 == openedOften && isLocal(t, int(fd)) {
		// Where there is no room for it it stays the monitor's.
		_ = a.names.Add(link, flags)
	}
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
