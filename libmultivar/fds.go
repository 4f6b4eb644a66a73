package libmultivar

import (
	"bytes"
	"encoding/binary"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// fdTable is what the engine remembers of a process's descriptors. The leader's
// kernel is the authority on them; here are only those whose content is
// different in each variant, files of /proc that show addresses, those
// through which files can be changed, and those by which they were mapped.
// Of what agents close, open and accept the engine hears nothing: a number may stand for something
// else by now, and who decides by it asks (changesOpened, stillWrites).
type fdTable struct {
	addresses map[int]procFile
	// writable holds the names of files that are open for writing.
	writable map[int]string
	// twins holds the keys of twins by which descriptors their files were mapped.
	twins map[int]string
	// shared: another process has, or had, the same table.
	shared bool
}

// procFile is an open file of /proc whose content holds addresses.
type procFile struct {
	binary bool
	// cookies: it is a socket by which words of the program come back to it, in any
	// layout.
	cookies     bool
	closeOnExec bool
}

func (t *fdTable) clone() *fdTable {
	return &fdTable{addresses: maps.Clone(t.addresses), writable: maps.Clone(t.writable), twins: maps.Clone(t.twins)}
}

// forget drops what is known of a descriptor that is closed or replaced.
func (t *fdTable) forget(fd int) {
	delete(t.addresses, fd)
	delete(t.writable, fd)
	delete(t.twins, fd)
}

// exec returns the table after execve(2).
func (t *fdTable) exec() *fdTable {
	c := t.clone()
	maps.DeleteFunc(c.addresses, func(_ int, f procFile) bool { return f.closeOnExec })
	c.twins = nil
	return c
}

func (t *fdTable) setTwin(fd int, key string) {
	if t.twins == nil {
		t.twins = make(map[int]string)
	}
	t.twins[fd] = key
}

func (t *fdTable) set(fd int, f procFile) {
	if t.addresses == nil {
		t.addresses = make(map[int]procFile)
	}
	t.addresses[fd] = f
}

const (
	openCloseOnExec = 0x80000
	openTruncate    = 0x200
	openAccess      = 3
	openWriteOnly   = 1
)

// procFileOf tells whether a path names a file of /proc that shows addresses of
// the process itself or of another of the session.
func procFileOf(path string) (procFile, bool) {
	rest, ok := strings.CutPrefix(path, "/proc/")
	if !ok {
		return procFile{}, false
	}
	who, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return procFile{}, false
	}
	if _, err := strconv.Atoi(who); err != nil && who != "self" && who != "thread-self" {
		return procFile{}, false
	}
	if task, sub, ok := strings.Cut(rest, "/"); ok && task == "task" {
		_, rest, _ = strings.Cut(sub, "/")
	}
	switch rest {
	case "maps", "smaps", "numa_maps", "stat", "syscall", "smaps_rollup":
		return procFile{}, true
	case "auxv":
		return procFile{binary: true}, true
	}
	return procFile{}, false
}

// What follows keeps no account where nobody is compared or told (see alone).

// prepareOpen notes descriptors whose content must be translated.
func (e *Engine) prepareOpen(th *thread, ev *record) {
	at := slices.IndexFunc(ev.call.Args, func(a sysabi.Arg) bool { return a.Kind == sysabi.Path })
	// creat(2) has no flags, openat2(2) has them in a record.
	flags := uint64(openWriteOnly)
	if i := slices.IndexFunc(ev.call.Args, func(a sysabi.Arg) bool { return a.Kind == sysabi.Flags }); i >= 0 {
		flags = ev.raw.Args[i]
	}
	if e.alone() {
		return
	}
	fds := th.proc.fds
	if fds.shared {
		// Those of the same process run in turns: none has a lease while an open begins for which not
		// all have asked, and none gets one (leases).
		ev.begin = func() { e.revokeLeases(func(p *process) bool { return p != th.proc && p.fds == fds }) }
	}
	cuts := e.cuts(th, ev)
	ev.after = func(ret int64) int64 {
		if ret < 0 {
			return ret
		}
		fds.forget(int(ret))
		if cuts && len(e.twins) > 0 {
			e.cutOpened(th, int(ret))
		}
		e.noteOpened(th, ev, fds, int(ret), flags&openAccess != 0)
		if at < 0 {
			// proc(5) gives no handles by which files could be opened.
			return ret
		}
		x := encoder{e: e, task: th.sides[frontend.Leader].task}
		path, ended, _ := x.cstring(nil, ev.raw.Args[at], maxPath)
		if !ended {
			return ret
		}
		if f, ok := procFileOf(string(path)); ok {
			f.closeOnExec = flags&openCloseOnExec != 0
			fds.set(int(ret), f)
		}
		return ret
	}
}

// prepareNewFD forgets what was known of the number that a new descriptor gets;
// a duplicate made by fcntl(2) is the same file.
func (e *Engine) prepareNewFD(th *thread, ev *record) {
	if isDuplicate(&ev.call) {
		e.prepareDup(th, ev)
		return
	}
	if e.alone() {
		return
	}
	fds := th.proc.fds
	ev.after = func(ret int64) int64 {
		if ret >= 0 {
			fds.forget(int(ret))
		}
		return ret
	}
}

// prepareMemfd notes the descriptor of an anonymous file, through which it can be
// changed.
func (e *Engine) prepareMemfd(th *thread, ev *record) {
	if e.alone() {
		return
	}
	fds := th.proc.fds
	ev.after = func(ret int64) int64 {
		if ret >= 0 {
			fds.forget(int(ret))
			e.noteWritable(th, fds, int(ret))
		}
		return ret
	}
}

// prepareFileHandle finds out how long the number of a mount is that name_to_handle_at(2)
// gives: that of a unique one is twice as long.
func (e *Engine) prepareFileHandle(_ *thread, ev *record) {
	const mountID, flags, unique = 3, 4, 1
	n := uint64(4)
	if ev.raw.Args[flags]&unique != 0 {
		n = 8
	}
	ev.call.Args = slices.Clone(ev.call.Args)
	ev.call.Args[mountID].Len = sysabi.Len{Kind: sysabi.LenConst, N: n}
}

// noteWritable remembers that descriptor fd can change a file.
func (e *Engine) noteWritable(th *thread, fds *fdTable, fd int) {
	if name := e.fdName(th, fd); strings.HasPrefix(name, "/") {
		e.setWritable(fds, fd, name)
	}
}

// undeleted returns the name that a file had before it was deleted (proc(5), fd).
func undeleted(name string) string { return strings.TrimSuffix(name, " (deleted)") }

// noteWritten remembers that the program may have written to a file.
func (e *Engine) noteWritten(name string) {
	if len(e.written) < maxRemembered {
		e.written[name] = true
	}
}

func (e *Engine) setWritable(t *fdTable, fd int, name string) {
	e.noteWritten(undeleted(name))
	if t.writable == nil {
		t.writable = make(map[int]string)
	}
	t.writable[fd] = name
}

// fdName returns the kernel's name of a descriptor of the leader, empty when it is
// of no interest.
func (e *Engine) fdName(th *thread, fd int) string {
	if e.followers == 0 {
		return ""
	}
	name, err := e.host.FilePath(th.sides[frontend.Leader].task, fd)
	if err != nil {
		return ""
	}
	return name
}

// stillWrites reports whether the leader's descriptor fd, which was noted as open to write, is one
// of a file that can be written by it, and forgets it otherwise. The file may have got another name.
func (e *Engine) stillWrites(th *thread, fd int) bool {
	writes := e.opensFile(th, fd)
	if writes {
		// What cannot be asked stays what it was.
		_ = e.leaderFile(th, fd, func(_ frontend.Twins, _ frontend.File, info frontend.FileInfo) error {
			writes = info.Writable
			return nil
		})
	}
	if !writes {
		delete(th.proc.fds.writable, fd)
	}
	return writes
}

// noteOpened looks at what a call of the leader has opened. Memory of processes,
// and anonymous files that were reached through /proc, may be those of a follower
// or of the monitor: a leader that an attack has taken over could use them, while
// it runs ahead, to make the others agree with it.
func (e *Engine) noteOpened(th *thread, ev *record, fds *fdTable, fd int, writable bool) {
	name := e.fdName(th, fd)
	if name := strings.TrimSuffix(name, " (deleted)"); strings.HasPrefix(name, "/proc/") && path.Base(name) == "mem" || strings.HasPrefix(name, "/memfd:") {
		ev.sensitive = true
	}
	if writable && strings.HasPrefix(name, "/") {
		e.setWritable(fds, fd, name)
	}
}

// withholds reports whether another thread with the descriptors of the leader's th has, or is
// about to get, one that is withheld from it until all variants have asked for it: the
// number can be guessed. An open for which all have asked when it begins withholds nothing, and with
// threads in parallel nobody waits for one that is under way.
func (e *Engine) withholds(th *thread) bool {
	if e.followers == 0 {
		return false
	}
	if !th.proc.fds.shared {
		return e.withheldIn(th.proc, th)
	}
	for _, p := range e.pids {
		if p.fds == th.proc.fds && e.withheldIn(p, th) {
			return true
		}
	}
	return false
}

// withheldIn is withholds for the other threads of p.
func (e *Engine) withheldIn(p *process, th *thread) bool {
	for _, other := range p.threads {
		n := len(other.events)
		if other == th || n == 0 {
			continue
		}
		last := other.events[n-1]
		opens := last.kind == event.Call && last.call.Row != nil && last.call.Handler == sysabi.HandlerOpen
		if last.withheld != nil || opens && last.started && !last.done && last.met < e.followers && !e.parallel() {
			return true
		}
	}
	return false
}

func (e *Engine) prepareClose(th *thread, ev *record) {
	if e.alone() {
		return
	}
	fds := th.proc.fds
	// Once the kernel has closed a descriptor another thread may get its number before this
	// one's result is known.
	ev.begin = func() {
		if ev.name == "close" {
			fds.forget(int(int32(ev.raw.Args[0])))
		} else if ev.raw.Args[2] == 0 {
			inRange := func(fd int) bool {
				return uint64(fd) >= uint64(uint32(ev.raw.Args[0])) && uint64(fd) <= uint64(uint32(ev.raw.Args[1]))
			}
			maps.DeleteFunc(fds.addresses, func(fd int, _ procFile) bool { return inRange(fd) })
			maps.DeleteFunc(fds.writable, func(fd int, _ string) bool { return inRange(fd) })
			maps.DeleteFunc(fds.twins, func(fd int, _ string) bool { return inRange(fd) })
		}
	}
}

func (e *Engine) prepareDup(th *thread, ev *record) {
	if e.alone() {
		return
	}
	fds := th.proc.fds
	ev.after = func(ret int64) int64 {
		if ret < 0 {
			return ret
		}
		old := int(int32(ev.raw.Args[0]))
		if old == int(ret) {
			return ret
		}
		f, ok := fds.addresses[old]
		name, writable := fds.writable[old]
		key, twinned := fds.twins[old]
		fds.forget(int(ret))
		if twinned {
			fds.twins[int(ret)] = key
		}
		if writable {
			fds.writable[int(ret)] = name
		}
		if ok {
			f.closeOnExec = ev.name == "dup3" && ev.raw.Args[2]&openCloseOnExec != 0 || ev.call.Command == "F_DUPFD_CLOEXEC"
			fds.set(int(ret), f)
		}
		return ret
	}
}

// Digits of the addresses of the band: all addresses of the leader's slot have
// the same number of them in hexadecimal and in decimal, so a translated text has
// the length of the original.
const (
	hexDigits     = 12
	decimalDigits = 14
)

// translateText rewrites the leader's addresses in what was read from a file of
// /proc that shows addresses.
func (e *Engine) translateText(ev *record, data []byte, v int) []byte {
	if !ev.addressText {
		return data
	}
	if ev.binaryText {
		return e.translateWords(data, v)
	}
	out := bytes.Clone(data)
	for i := 0; i < len(out); {
		if !isDigit(out[i]) {
			i++
			continue
		}
		j := i
		for j < len(out) && isDigit(out[j]) {
			j++
		}
		e.translateToken(out[i:j], v)
		i = j
	}
	return out
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// translateToken rewrites one number in place if it is an address of the leader.
func (e *Engine) translateToken(p []byte, v int) {
	base := 0
	switch len(p) {
	case hexDigits:
		base = 16
	case decimalDigits:
		base = 10
	default:
		return
	}
	val, err := strconv.ParseUint(string(p), base, 64)
	if err != nil {
		return
	}
	a := e.layout.Canonical(frontend.Leader, val)
	if !a.Relative() {
		return
	}
	if s := strconv.FormatUint(e.layout.Real(v, a), base); len(s) == len(p) {
		copy(p, s)
	}
}

func (e *Engine) translateWords(data []byte, v int) []byte {
	l := &sysabi.Layout{Size: 8, Fields: []sysabi.Field{{Size: 8, Kind: sysabi.Addr}}}
	return e.translate(l, data, v)
}

// noteText marks a completed read of a file of /proc whose bytes followers get
// translated. Where stacks and heaps have common addresses nothing is: all
// variants read alike, and a program finds its own stack in the text all the
// same. The words that a socket brings back to a program are its own in any layout.
func (e *Engine) noteText(th *thread, ev *record) {
	if len(th.proc.fds.addresses) == 0 || len(ev.call.Args) == 0 || ev.call.Args[0].Kind != sysabi.FD {
		return
	}
	f, ok := th.proc.fds.addresses[int(int32(ev.raw.Args[0]))]
	ev.addressText = ok && ev.kind == event.Call && (f.cookies || e.cfg.Layout == LayoutDisjoint)
	ev.binaryText = f.binary
}

// cuts reports whether the call of ev may shorten a file that it names or opens.
func (e *Engine) cuts(th *thread, ev *record) bool {
	args := &ev.raw.Args
	switch ev.name {
	case "truncate", "creat":
		return true
	case "open":
		return args[1]&openTruncate != 0
	case "openat", "open_by_handle_at":
		return args[2]&openTruncate != 0
	case "openat2":
		// The flags come first in struct open_how.
		var p [8]byte
		_, err := e.host.ReadVariantMem(th.sides[frontend.Leader].task, args[2], p[:])
		return err == nil && binary.LittleEndian.Uint64(p[:])&openTruncate != 0
	}
	return false
}

// changedFD returns the descriptor whose file the call of ev changes; false when it changes
// none, or one that it names.
func changedFD(ev *record) (fd int, ok bool) {
	switch ev.name {
	case "write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate", "fallocate", "sendfile":
		return int(int32(ev.raw.Args[0])), true
	case "copy_file_range", "splice":
		return int(int32(ev.raw.Args[2])), true
	case "ioctl":
		clones := ev.call.Command == "FICLONE" || ev.call.Command == "FICLONERANGE"
		return int(int32(ev.raw.Args[0])), clones
	}
	return -1, false
}

// changesMapped reports whether the call of ev changes a file that a variant has
// mapped, and prepares it. Such a call waits: a follower must have read what it reads from
// the mapping before the leader changes it.
func (e *Engine) changesMapped(th *thread, ev *record) bool {
	if len(e.mapped) == 0 || e.followers == 0 {
		return false
	}
	if fd, ok := changedFD(ev); ok {
		return e.changesOpened(th, ev, fd)
	}
	ev.changes = e.cutsMapped(th, ev)
	return ev.changes
}

// cutsMapped is changesMapped for calls by which a file may be shortened that they name.
func (e *Engine) cutsMapped(th *thread, ev *record) bool {
	if !e.cuts(th, ev) {
		return false
	}
	if len(e.twins) > 0 || ev.name == "open_by_handle_at" {
		// Which file it is nobody knows before.
		return true
	}
	if at := slices.IndexFunc(ev.call.Args, func(a sysabi.Arg) bool { return a.Kind == sysabi.Path }); at >= 0 {
		x := encoder{e: e, task: th.sides[frontend.Leader].task}
		name, ended, _ := x.cstring(nil, ev.raw.Args[at], maxPath)
		if !ended {
			return false
		}
		// Which file a path leads to is known afterwards only: wait for any of
		// that name.
		if e.allMapped {
			return true
		}
		base := path.Base(string(name))
		for m := range e.mapped {
			if path.Base(m) == base {
				return true
			}
		}
	}
	return false
}
