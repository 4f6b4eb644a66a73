//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// What a program reads in /proc about the processes of its session shows neither
// the variant host's slot nor its descriptors nor the thread that the kernel adds to
// a process with a virtual machine:
//
//   - A descriptor of one of procTexts is exchanged, when it has been opened, for one
//     of an anonymous file with the text as it should be. It is written anew when the
//     program goes back to its beginning.
//   - Entries are left out of the listings of fd, fdinfo, task and map_files.
//
// Not hidden are: names that a program guesses instead of listing them (they cannot
// be opened), sums (smaps_rollup, the number of entries in a directory's status), the
// name of the anonymous file in /proc/PID/fd, and what other processes of the
// system see.

// procFile is a file of /proc that is about a process of the session.
type procFile struct {
	proc *process
	// task is the thread whose file it is.
	task *task
	// name is what comes behind the process or thread: "maps", "fd".
	name string
}

// procFile returns what the kernel calls link.
func (s *session) procFile(link string) (f procFile, ok bool) {
	rest, ok := strings.CutPrefix(link, "/proc/")
	if !ok {
		return f, false
	}
	who, rest, _ := strings.Cut(rest, "/")
	if sub, isTask := strings.CutPrefix(rest, "task/"); isTask {
		who, rest, _ = strings.Cut(sub, "/")
	}
	id, err := strconv.Atoi(who)
	if err != nil {
		return f, false
	}
	f.name, f.task = rest, s.tasks[id]
	if f.proc = s.procs[id]; f.proc == nil {
		if f.task == nil {
			return f, false
		}
		f.proc = f.task.proc
	}
	return f, true
}

// view describes what the files of a process shall show.
func (s *session) view(f procFile) *procView {
	v := &procView{threads: max(len(f.proc.tasks), 1), limits: f.proc.limits, room: s.slotRoom(), rewriting: f.proc.rewritten()}
	if f.task != nil {
		v.blocked = uint64(f.task.blocked())
	}
	for n := 1; n <= signals.Max; n++ {
		switch f.proc.actions.Action(n).Handler {
		case signals.Default:
		case signals.Ignored:
			v.ignored |= 1 << (n - 1)
		default:
			v.caught |= 1 << (n - 1)
		}
	}
	if maps, err := procmaps.Read(f.proc.pid); err == nil {
		for _, m := range maps {
			if inSlot(m.Start) || v.rewriting.holds(m.Start) {
				v.slot += m.End - m.Start
			}
		}
	}
	return v
}

// snapshot is a text of /proc that a program has open as an anonymous file.
type snapshot struct {
	// source is the file in /proc, text the anonymous one; link is the source's name.
	source, text *os.File
	inode        uint64
	link         string
}

// maxSnapshots is how many are kept up to date; older ones stay as they are.
const maxSnapshots = 64

// snapshotFile is how the kernel names snapshots.
const snapshotFile = "proc-text"

// exchange gives the program a snapshot in place of what it has opened as fd, if
// that shows something of the variant host. The last call made was the opening one.
func (s *session) exchange(t *task, fd int, link string) error {
	f, ok := s.procFile(link)
	if !ok {
		return nil
	}
	if listings[f.name] {
		s.listed = true
		return nil
	}
	if procTexts[f.name] == nil {
		return nil
	}
	raw, err := unix.PidfdGetfd(t.proc.pidfd, fd)
	if err != nil {
		return nil //nolint:nilerr // another thread has closed it
	}
	readOnly, err := s.snapshotOfText(f, raw, link)
	if readOnly == nil {
		return err
	}
	defer readOnly.Close()
	got, err := s.receive(t, frontend.File(readOnly.Fd()))
	if err != nil {
		return err
	}
	const getFlags, closeOnExec = 1, 1
	flags, err := s.call1(t, unix.SysFcntl, uint64(fd), getFlags)
	if err != nil {
		return err
	}
	how := uint64(0)
	if flags&closeOnExec != 0 {
		how = unix.OCloexec
	}
	return s.must(t, "show a text of /proc",
		vhost.Call{Nr: unix.SysDup3, Args: [6]uint64{uint64(got), uint64(fd), how}},
		vhost.Call{Nr: unix.SysClose, Args: [6]uint64{uint64(got)}})
}

// snapshotOfText makes a snapshot of a file of /proc that is open in the monitor as
// raw, which it takes, and returns an open file of it. That is nil for what can be
// opened but not read, as O_PATH does it, or whose process is gone: the program may
// have what the kernel gave it.
func (s *session) snapshotOfText(f procFile, raw int, link string) (*os.File, error) {
	n := &snapshot{source: os.NewFile(uintptr(raw), link), link: link}
	if err := s.makeSnapshot(n, f); err != nil {
		n.close()
		return nil, nil //nolint:nilerr,nilnil // see above
	}
	if len(s.snapshots) == maxSnapshots {
		s.snapshots[0].close()
		s.snapshots = s.snapshots[1:]
	}
	s.snapshots = append(s.snapshots, n)
	return os.Open(procPath(unix.Getpid(), fmt.Sprintf("fd/%d", n.text.Fd())))
}

func (n *snapshot) close() {
	_ = n.source.Close()
	if n.text != nil {
		_ = n.text.Close()
	}
}

// makeSnapshot makes the anonymous file of n.
func (s *session) makeSnapshot(n *snapshot, f procFile) error {
	text, err := readAll(n.source)
	if err != nil {
		return err
	}
	fd, err := unix.Memfd(snapshotFile, 0)
	if err != nil {
		return err
	}
	n.text = os.NewFile(uintptr(fd), snapshotFile)
	if _, n.inode, _, _, err = unix.FileStat(fd); err != nil {
		return err
	}
	_, err = n.text.WriteAt(procTexts[f.name](s.view(f), text), 0)
	return err
}

// readAll reads a file of /proc from its beginning, wherever its position is.
func readAll(f *os.File) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, 0, 1<<62))
}

// rewind brings a snapshot up to date when a call is about its beginning.
func (s *session) rewind(t *task, nr int64, args [6]uint64) {
	if len(s.snapshots) == 0 {
		return
	}
	switch {
	case nr == unix.SysLseek && args[1] == 0 && args[2] == io.SeekStart:
	case nr == unix.SysPread64 && args[3] == 0:
	case (nr == unix.SysPreadv || nr == unix.SysPreadv2) && args[3] == 0:
	default:
		return
	}
	fd := int(int32(args[0]))
	if n := s.snapshotOf(t, fd); n != nil {
		f, ok := s.procFile(n.link)
		if !ok {
			return
		}
		if text, err := readAll(n.source); err == nil {
			text = procTexts[f.name](s.view(f), text)
			if _, err := n.text.WriteAt(text, 0); err == nil {
				_ = n.text.Truncate(int64(len(text)))
			}
		}
	}
}

// snapshotOf returns the snapshot behind descriptor fd of t, nil when it is none.
func (s *session) snapshotOf(t *task, fd int) *snapshot {
	if link, err := unix.ReadLink(procPath(t.id.Host, "fd/"+strconv.Itoa(fd))); err != nil || !strings.HasPrefix(link, "/memfd:"+snapshotFile) {
		return nil
	}
	own, err := unix.PidfdGetfd(t.proc.pidfd, fd)
	if err != nil {
		return nil
	}
	// By now it may be anything.
	defer s.closer.closeFD(own)
	_, inode, _, _, err := unix.FileStat(own)
	if err != nil {
		return nil
	}
	for _, n := range s.snapshots {
		if n.inode == inode {
			return n
		}
	}
	return nil
}

// listings are the directories of /proc/PID whose entries are looked through.
var listings = map[string]bool{"fd": true, "fdinfo": true, "task": true, "map_files": true}

// hiddenEntry says whether a name is left out of listing f.
func (s *session) hiddenEntry(f procFile, name string) bool {
	switch f.name {
	case "map_files":
		at, ok := lineAddress([]byte(name))
		return ok && (inSlot(at) || f.proc.rewritten().holds(at))
	case "task":
		id, err := strconv.Atoi(name)
		return err == nil && !slices.ContainsFunc(f.proc.tasks, func(t *task) bool { return t.id.Host == id })
	default:
		fd, err := strconv.Atoi(name)
		return err == nil && slices.Contains(s.own(f.proc), fd)
	}
}

// runListing makes a call that lists a directory, if it is one of listings.
func (s *session) runListing(t *task, c vhost.Call) bool {
	if !s.listed || c.Nr != unix.SysGetdents64 && c.Nr != unix.SysGetdents {
		return false
	}
	link, err := unix.ReadLink(procPath(t.id.Host, "fd/"+strconv.Itoa(int(int32(c.Args[0])))))
	if err != nil {
		return false
	}
	f, ok := s.procFile(link)
	if !ok || !listings[f.name] {
		return false
	}
	c.Flags &^= vhost.Interruptible
	s.post(t, []vhost.Call{c}, false, func() { s.listedEntries(t, c, f) })
	return true
}

// listedEntries takes hidden entries out of what a call has listed. When nothing is
// left, the call is made again: it would look like the end.
func (s *session) listedEntries(t *task, c vhost.Call, f procFile) {
	ret := t.blk.Result(0)
	if ret > 0 {
		list := make([]byte, min(ret, int64(uint32(c.Args[2]))))
		if _, err := s.ReadVariantMem(t.id, c.Args[1], list); err != nil {
			s.check(t, err)
			return
		}
		kept := s.keepEntries(list, c.Nr, f)
		if len(kept) == 0 {
			s.post(t, []vhost.Call{c}, false, func() { s.listedEntries(t, c, f) })
			return
		}
		if len(kept) < len(list) {
			if _, err := s.WriteVariantMem(t.id, c.Args[1], kept); err != nil {
				s.check(t, err)
				return
			}
			ret = int64(len(kept))
		}
	}
	s.check(t, s.done(t, ret))
}

// keepEntries returns the entries that are not hidden: structs linux_dirent64 or
// linux_dirent.
func (s *session) keepEntries(list []byte, nr int64, f procFile) []byte {
	const offSize, offName64, offName = 16, 19, 18
	at := offName64
	if nr == unix.SysGetdents {
		at = offName
	}
	var kept []byte
	for len(list) > at {
		size := int(binary.LittleEndian.Uint16(list[offSize:]))
		if size <= at || size > len(list) {
			break
		}
		name, _, _ := strings.Cut(string(list[at:size]), "\x00")
		if !s.hiddenEntry(f, name) {
			kept = append(kept, list[:size]...)
		}
		list = list[size:]
	}
	return kept
}
