package libmultivar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// ficlone is FICLONE of ioctl(2).
const ficlone = 0x40049409

var errLost = errors.New("nothing is known of it")

// memFile is a file in memory.
type memFile struct {
	name    string
	inode   uint64
	content []byte
	// special: it is a pipe or a device. readOnly: the descriptor cannot write.
	special, readOnly bool
}

func (f *memFile) resize(size int64) {
	f.content = append(f.content[:min(size, int64(len(f.content)))], make([]byte, max(0, size-int64(len(f.content))))...)
}

// opened is a File: what it refers to and what it is for.
type opened struct {
	*memFile
	what string
}

// fileHost is a Host with files, and descriptors of the leader to them.
type fileHost struct {
	*memHost
	fds  map[int]*memFile
	last frontend.File
	// open are the Files that the engine has yet to close.
	open map[frontend.File]opened
	// lost are Files that tell of nothing.
	lost map[frontend.File]bool
	// unreadable: descriptors of the leader can be written only, and nothing can be read
	// otherwise.
	unreadable bool
}

func (h *fileHost) add(f *memFile, what string) frontend.File {
	h.last++
	h.open[h.last] = opened{f, what}
	return h.last
}

func (h *fileHost) DupFile(_ frontend.Task, fd int) (frontend.File, error) {
	if h.fds[fd] == nil {
		return 0, errLost
	}
	return h.add(h.fds[fd], "duplicate"), nil
}

func (h *fileHost) FilePath(_ frontend.Task, fd int) (string, error) {
	if h.fds[fd] == nil {
		return "", errLost
	}
	return h.fds[fd].name, nil
}

func (h *fileHost) NewFile(size int64) (frontend.File, error) {
	return h.add(&memFile{content: make([]byte, size)}, "copy"), nil
}

func (h *fileHost) Pin(f frontend.File) (frontend.File, error) {
	return h.add(h.open[f].memFile, "pin"), nil
}

func (h *fileHost) FileInfo(f frontend.File) (frontend.FileInfo, error) {
	of := h.open[f]
	if h.lost[f] || of.memFile == nil {
		return frontend.FileInfo{}, errLost
	}
	return frontend.FileInfo{Device: 1, Inode: of.inode, Size: int64(len(of.content)), Regular: !of.special, Writable: !of.readOnly, Readable: !h.unreadable}, nil
}

func (h *fileHost) Truncate(f frontend.File, size int64) error {
	h.open[f].resize(size)
	return nil
}

func (h *fileHost) CopyRange(dst, src frontend.File, off, n int64) error {
	if h.unreadable {
		return frontend.ErrUnreadable
	}
	to, from := h.open[dst].memFile, h.open[src].memFile
	to.resize(max(off+n, int64(len(to.content))))
	clear(to.content[off : off+n])
	copy(to.content[off:off+n], from.content[min(off, int64(len(from.content))):])
	return nil
}

func (h *fileHost) WriteFile(dst frontend.File, p []byte, off int64) error {
	to := h.open[dst].memFile
	to.resize(max(off+int64(len(p)), int64(len(to.content))))
	copy(to.content[off:], p)
	return nil
}

func (h *fileHost) CloseFile(f frontend.File) error {
	if h.open[f].memFile == nil {
		return fmt.Errorf("file %d is not open", f)
	}
	delete(h.open, f)
	return nil
}

// count returns how many Files are open for something.
func (h *fileHost) count(what string) (n int) {
	for _, f := range h.open {
		if f.what == what {
			n++
		}
	}
	return n
}

// twinBench is a bench whose process maps files.
type twinBench struct {
	*bench
	files *fileHost
}

func newTwinBench(t *testing.T) *twinBench {
	t.Helper()
	b := &twinBench{bench: newBench(t)}
	b.files = &fileHost{
		memHost: b.host, fds: map[int]*memFile{}, open: map[frontend.File]opened{}, lost: map[frontend.File]bool{},
	}
	b.e.host, b.e.caps.Twins, b.e.caps.Arch = b.files, true, sysabi.AMD64
	b.th.proc.space = b.space()
	return b
}

func (b *twinBench) space() *addrspace.Space {
	b.t.Helper()
	s, err := addrspace.NewSpace(b.e.layout, b.e.layout.Random(b.e.rand))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// file creates a file of size bytes and returns a descriptor by which it is written.
func (b *twinBench) file(name string, size int64) (int, *memFile) {
	n := len(b.files.fds) + 3
	f := &memFile{name: "/" + name, inode: uint64(n), content: make([]byte, size)}
	b.files.fds[n] = f
	b.e.noteWritable(b.th, b.th.proc.fds, n)
	return n, f
}

// content returns what a follower's copy holds.
func (b *twinBench) content(t *twin) []byte { return b.files.open[t.copies[1]].content }

// mapped maps the file of a descriptor at an address, in the leader.
func (b *twinBench) mapped(th *thread, fd int, at uint64) (*record, *twin) {
	b.t.Helper()
	ev := &record{thread: th, name: "mmap"}
	b.e.beforeTwin(ev)
	key := b.e.attachTwin(th, ev, fd)
	if err := th.proc.space.Map(addrspace.Absolute(at), pageSize, addrspace.Attrs{
		Prot: protRead | protWrite, Kind: addrspace.File, Flags: addrspace.Shared | addrspace.SharedFile, Label: key,
	}); err != nil {
		b.t.Fatal(err)
	}
	b.over(th, ev)
	return ev, b.e.twins[key]
}

// over ends a call of the leader.
func (b *twinBench) over(th *thread, ev *record) {
	b.t.Helper()
	b.e.mirrorWrite(th, ev)
	if err := b.e.Err(); err != nil {
		b.t.Fatal(err)
	}
}

// unmapped unmaps what is at an address.
func (b *twinBench) unmapped(th *thread, at uint64) {
	b.t.Helper()
	b.e.unmaps(th.proc.space, addrspace.Absolute(at), pageSize)
	if err := th.proc.space.Unmap(addrspace.Absolute(at), pageSize); err != nil {
		b.t.Fatal(err)
	}
	b.over(th, &record{thread: th, name: "munmap"})
}

// want fails unless there are this many pins and copies.
func (b *twinBench) want(what string, pins, copies int) {
	b.t.Helper()
	if p, c := b.files.count("pin"), b.files.count("copy"); p != pins || c != copies {
		b.t.Errorf("%s: %d pins and %d copies, want %d and %d", what, p, c, pins, copies)
	}
}

// What a call has made longer followers have as well: the next mapping leaves alone what
// they have written there before the leader did.
func TestTwinOfLongerFile(t *testing.T) {
	b := newTwinBench(t)
	fd, f := b.file("file", pageSize)
	_, twin := b.mapped(b.th, fd, testAddr)
	f.resize(4 * pageSize)
	b.over(b.th, &record{thread: b.th, name: "truncate"})
	if n := len(b.content(twin)); n != 4*pageSize {
		t.Fatalf("the copy has %d bytes", n)
	}
	copy(b.content(twin)[2*pageSize:], "mine")
	b.mapped(b.th, fd, testAddr+pageSize)
	if got := string(b.content(twin)[2*pageSize:][:4]); got != "mine" {
		t.Errorf("the follower's memory has %q", got)
	}
}

// What an open has cut is gone in followers, whatever others have written since.
func TestTwinOfOpenedFile(t *testing.T) {
	b := newTwinBench(t)
	fd, f := b.file("file", 10)
	copy(f.content, "0123456789")
	_, twin := b.mapped(b.th, fd, testAddr)
	f.content = []byte("\x00\x00x")
	b.e.cutOpened(b.th, fd)
	if got := string(b.content(twin)); got != "\x00\x00x" || twin.size != 3 || b.e.Err() != nil {
		t.Errorf("the copy has %q and counts as %d bytes, %v", got, twin.size, b.e.Err())
	}
}

// Of a file that the program has no more the engine has nothing either.
func TestTwinsEnd(t *testing.T) {
	b := newTwinBench(t)
	closed := func(fd int) {
		b.th.proc.fds.forget(fd)
		b.over(b.th, &record{thread: b.th, name: "close"})
	}

	fd, _ := b.file("file", pageSize)
	ev, twin := b.mapped(b.th, fd, testAddr)
	b.unmapped(b.th, testAddr)
	b.want("unmapped and open", 1, 1)
	again, same := b.mapped(b.th, fd, testAddr)
	if same != twin {
		t.Error("the file that was open is copied anew")
	}
	b.unmapped(b.th, testAddr)
	closed(fd)
	b.want("closed, followers behind", 0, 1)
	b.e.release(ev)
	b.e.release(again)
	b.want("closed", 0, 0)

	fd, _ = b.file("other", pageSize)
	ev, _ = b.mapped(b.th, fd, testAddr)
	b.e.release(ev)
	closed(fd)
	b.want("closed and mapped", 1, 1)
	other := b.process(300)
	other.proc.space = b.th.proc.space.Clone()
	b.unmapped(b.th, testAddr)
	b.want("mapped by another process", 1, 1)
	b.e.leave(other, frontend.Leader)
	b.want("which has ended", 0, 0)

	fd, _ = b.file("third", pageSize)
	ev, _ = b.mapped(b.th, fd, testAddr)
	b.e.release(ev)
	old := b.th.proc.space
	b.th.proc.space = b.space()
	b.e.unmapsAll(old)
	b.want("another program", 0, 0)
	if len(b.e.idle) != 0 || len(b.e.twins) != 0 {
		t.Errorf("%d twins, %d of them idle", len(b.e.twins), len(b.e.idle))
	}
}

// Whoever maps one part of a file after the other, by a descriptor that can only read, has it
// copied once.
func TestTwinOfReadOnlyFile(t *testing.T) {
	b := newTwinBench(t)
	fd, f := b.file("file", pageSize)
	delete(b.th.proc.fds.writable, fd)
	_, twin := b.mapped(b.th, fd, testAddr)
	b.unmapped(b.th, testAddr)
	if _, again := b.mapped(b.th, fd, testAddr); again != twin {
		t.Error("another part has another twin")
	}
	b.unmapped(b.th, testAddr)
	row, _ := sysabi.ByName("dup")
	ev := &record{thread: b.th, name: "dup", call: row.Resolve([6]uint64{uint64(fd)})}
	ev.raw.Args[0] = uint64(fd)
	b.e.prepareDup(b.th, ev)
	other := fd + 10
	b.files.fds[other] = f
	ev.after(int64(other))
	b.th.proc.fds.forget(fd)
	b.over(b.th, &record{thread: b.th, name: "close"})
	if b.e.twins[twin.key] != twin {
		t.Error("a twin ends although its file is open by another descriptor")
	}
	b.th.proc.fds.forget(other)
	b.over(b.th, &record{thread: b.th, name: "close"})
	if len(b.e.twins) != 0 {
		t.Error("a twin outlives all descriptors of its file")
	}
}

// Files that are open, and that nobody maps, do not become many.
func TestIdleTwins(t *testing.T) {
	b := newTwinBench(t)
	for i := range 3*keepTwins + 5 {
		fd, _ := b.file(fmt.Sprint(i), pageSize)
		ev, _ := b.mapped(b.th, fd, testAddr)
		b.unmapped(b.th, testAddr)
		b.e.release(ev)
		if n := b.files.count("pin"); n > keepTwins || n != len(b.e.idle) || n != len(b.e.twins) {
			t.Fatalf("%d pins of %d twins, of which %d are idle", n, len(b.e.twins), len(b.e.idle))
		}
		if i%5 == 0 {
			continue
		}
		// It is mapped once more.
		ev, _ = b.mapped(b.th, fd, testAddr)
		b.e.release(ev)
		if n := len(b.e.idle); n != len(b.e.twins)-1 {
			t.Fatalf("%d of %d twins are idle", n, len(b.e.twins))
		}
		b.unmapped(b.th, testAddr)
	}
	b.e.prepareUnmount(nil, nil)
	b.want("before a file system goes", 0, 0)
}

// A file of which nothing can be learnt is no reason not to follow another one.
func TestTwinsWithLostPin(t *testing.T) {
	b := newTwinBench(t)
	fd, _ := b.file("lost", pageSize)
	_, lost := b.mapped(b.th, fd, testAddr)
	fd, f := b.file("file", pageSize)
	_, twin := b.mapped(b.th, fd, testAddr+pageSize)
	b.files.lost[lost.pin] = true
	f.resize(10)
	b.over(b.th, &record{thread: b.th, name: "truncate"})
	if twin.size != 10 || lost.size != pageSize {
		t.Errorf("twins of %d and %d bytes", twin.size, lost.size)
	}
}

// process starts another process in all variants.
func (b *twinBench) process(id int) *thread {
	b.t.Helper()
	p := b.e.newProcess(b.th.proc, id, newDomain(2))
	for v := range p.main.sides {
		b.e.attach(p.main, frontend.Task{Variant: v, Host: id + v})
	}
	p.space = b.space()
	return p.main
}

// call lets v's task of th make a call, and returns the threads of the leader that the kernel
// gets a call of.
func (b *twinBench) call(th *thread, v int, name string, args ...uint64) (runs []*thread) {
	b.t.Helper()
	row, _ := sysabi.ByName(name)
	c := frontend.Call{Nr: int64(row.Nr[sysabi.AMD64])}
	copy(c.Args[:], args)
	for _, a := range b.e.OnSyscall(th.sides[v].task, c) {
		if a.Op == frontend.OpRun && a.Task.Variant == frontend.Leader {
			runs = append(runs, b.e.tasks[a.Task])
		}
	}
	if b.e.Err() != nil || b.e.Divergence() != nil {
		b.t.Fatal(b.e.Err(), b.e.Divergence())
	}
	return runs
}

// mirrors ends a call of the leader's by which a file has changed, and checks what its twin has.
func (b *twinBench) mirrors(t *testing.T, twin *twin, name string, args [6]uint64, ret int64, after string) {
	t.Helper()
	// By whatever descriptor.
	b.th.proc.fds.forget(int(args[0]))
	row, _ := sysabi.ByName(name)
	ev := &record{thread: b.th, name: name, ret: ret, call: row.Resolve(args)}
	ev.raw.Args = args
	b.over(b.th, ev)
	if got := string(b.content(twin)); got != after || twin.size != int64(len(after)) {
		t.Errorf("the copy has %q and counts as %d bytes", got, twin.size)
	}
}

// What a call writes followers have, wherever that is and however the file's size changes by
// it.
func TestMirrorWrite(t *testing.T) {
	for _, c := range []struct {
		what  string
		name  string
		args  [6]uint64
		ret   int64
		after string
	}{
		{what: "in the middle", name: "pwrite64", args: [6]uint64{3: 2}, ret: 2, after: "01xx456789"},
		{what: "over the end", name: "pwrite64", args: [6]uint64{3: 8}, ret: 4, after: "01234567xxxx"},
		{what: "behind the end", name: "pwrite64", args: [6]uint64{3: 12}, ret: 1, after: "0123456789\x00\x00x"},
		{what: "appended", name: "pwrite64", args: [6]uint64{3: 2}, ret: 2, after: "0123456789xx"},
		{what: "cut", name: "ftruncate", args: [6]uint64{1: 3}, after: "012"},
		{what: "made longer", name: "ftruncate", args: [6]uint64{1: 12}, after: "0123456789\x00\x00"},
		{what: "moved down", name: "fallocate", args: [6]uint64{1: fallocCollapse, 2: 2, 3: 4}, after: "016789"},
		{what: "moved up", name: "fallocate", args: [6]uint64{1: fallocInsert, 2: 2, 3: 2}, after: "01\x00\x0023456789"},
		{what: "cloned", name: "ioctl", args: [6]uint64{1: ficlone}, after: "other content"},
		{what: "reserved", name: "fallocate", args: [6]uint64{1: 1, 2: 5, 3: 1 << 62}, after: "0123456789"},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newTwinBench(t)
			fd, f := b.file("file", 10)
			copy(f.content, "0123456789")
			_, twin := b.mapped(b.th, fd, testAddr)
			f.content = []byte(c.after)
			c.args[0] = uint64(fd)
			b.mirrors(t, twin, c.name, c.args, c.ret, c.after)
		})
	}
}

// What is mapped only to read is shared with who has the file open to write, by whatever name
// that was.
func TestSharedOtherwise(t *testing.T) {
	for _, c := range []struct {
		what   string
		name   string
		inode  uint64
		shared bool
	}{
		{"by its name", "/file", 99, true},
		{"by another name", "/new", 3, true},
		{"another file", "/new", 99, false},
	} {
		b := newTwinBench(t)
		b.file("file", pageSize)
		b.files.fds[9] = &memFile{name: c.name, inode: c.inode, readOnly: true}
		if b.e.sharedOtherwise(b.th, 9) != c.shared {
			t.Errorf("%s: it is shared: %t", c.what, !c.shared)
		}
		b.want("looked at", 0, 0)
		if n := b.files.count("duplicate"); n != 0 {
			t.Errorf("%d duplicates are left", n)
		}
	}
}

// Of a file that can be written only followers have what the program's memory says that a
// call has written to it, and of other calls the size that they gave it.
func TestMirrorWriteOnly(t *testing.T) {
	for _, c := range []struct {
		what  string
		name  string
		args  [6]uint64
		ret   int64
		size  int
		after string
	}{
		{what: "in the middle", name: "pwrite64", args: [6]uint64{1: testAddr, 3: 2}, ret: 2, size: 10, after: "01ab456789"},
		{what: "over the end", name: "pwrite64", args: [6]uint64{1: testAddr, 3: 8}, ret: 4, size: 12, after: "01234567abcd"},
		{what: "behind the end", name: "pwrite64", args: [6]uint64{1: testAddr, 3: 12}, ret: 1, size: 13, after: "0123456789\x00\x00a"},
		{what: "appended", name: "pwrite64", args: [6]uint64{1: testAddr, 3: 2}, ret: 2, size: 12, after: "0123456789ab"},
		{what: "vectors", name: "pwritev", args: [6]uint64{1: testAddr + 16, 2: 3, 3: 1}, ret: 3, size: 10, after: "0dab456789"},
		{what: "memory that is gone", name: "pwrite64", args: [6]uint64{1: 8, 3: 2}, ret: 2, size: 10, after: "0123456789"},
		{what: "cut", name: "ftruncate", args: [6]uint64{1: 3}, size: 3, after: "012"},
		{what: "made longer", name: "ftruncate", args: [6]uint64{1: 12}, size: 12, after: "0123456789\x00\x00"},
		{what: "moved", name: "fallocate", args: [6]uint64{1: fallocCollapse, 2: 2, 3: 4}, size: 6, after: "012345"},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newTwinBench(t)
			memory := make([]byte, 64)
			copy(memory, "abcd")
			for i, v := range [][2]uint64{{testAddr + 3, 1}, {8, 0}, {testAddr, 5}} {
				binary.LittleEndian.PutUint64(memory[16+16*i:], v[0])
				binary.LittleEndian.PutUint64(memory[24+16*i:], v[1])
			}
			b.host.put(frontend.Leader, testAddr, memory)
			fd, f := b.file("file", 10)
			copy(f.content, "0123456789")
			_, twin := b.mapped(b.th, fd, testAddr)
			b.files.unreadable = true
			f.resize(int64(c.size))
			c.args[0] = uint64(fd)
			b.mirrors(t, twin, c.name, c.args, c.ret, c.after)
		})
	}
}
