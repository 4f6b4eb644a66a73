package machine

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
)

// archive writes a file system for the kernel to start from: cpio's "newc" format
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel). The
// first error stays.
type archive struct {
	w     *bufio.Writer
	inode int
	made  map[string]bool
	err   error
}

func newArchive(w io.Writer) *archive {
	return &archive{w: bufio.NewWriter(w), made: map[string]bool{"/": true, ".": true}}
}

// Types of files, as in st_mode.
const (
	typeDirectory = 0o040000
	typeFile      = 0o100000
	typeLink      = 0o120000
)

// directory makes a directory and those above it.
func (a *archive) directory(name string, mode uint32) {
	name = path.Clean("/" + name)
	if a.made[name] {
		return
	}
	a.directory(path.Dir(name), 0o755)
	a.made[name] = true
	a.header(name, typeDirectory|mode, 0)
}

// bytes makes a file.
func (a *archive) bytes(name string, mode uint32, content []byte) {
	a.directory(path.Dir(path.Clean("/"+name)), 0o755)
	a.header(name, typeFile|mode, int64(len(content)))
	a.write(content)
	a.pad(int64(len(content)))
}

// link makes a symbolic link.
func (a *archive) link(name, target string) {
	a.directory(path.Dir(path.Clean("/"+name)), 0o755)
	a.header(name, typeLink|0o777, int64(len(target)))
	a.write([]byte(target))
	a.pad(int64(len(target)))
}

// file copies a file of this host.
func (a *archive) file(name, from string) {
	if a.err != nil {
		return
	}
	f, err := os.Open(from)
	if err != nil {
		a.err = err
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", from)
	}
	if err != nil {
		a.err = err
		return
	}
	a.directory(path.Dir(path.Clean("/"+name)), 0o755)
	a.header(name, typeFile|uint32(info.Mode().Perm()), info.Size())
	if a.err == nil {
		_, a.err = io.CopyN(a.w, f, info.Size())
	}
	a.pad(info.Size())
}

// close writes what ends an archive.
func (a *archive) close() error {
	a.inode = -1
	a.header("TRAILER!!!", 0, 0)
	if a.err == nil {
		a.err = a.w.Flush()
	}
	return a.err
}

func (a *archive) header(name string, mode uint32, size int64) {
	if a.err == nil && size > 1<<31 {
		a.err = fmt.Errorf("%s is too large for a machine in memory", name)
	}
	if name != "TRAILER!!!" {
		name = path.Clean("/" + name)[1:]
	}
	a.inode++
	const magic, links = "070701", 1
	head := magic
	for _, v := range []int64{int64(a.inode), int64(mode), 0, 0, links, 0, size, 0, 0, 0, 0, int64(len(name)) + 1, 0} {
		head += fmt.Sprintf("%08x", v)
	}
	head += name + "\x00"
	a.write([]byte(head))
	a.pad(int64(len(head)))
}

func (a *archive) write(p []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(p)
	}
}

// pad fills up what has n bytes to a multiple of four.
func (a *archive) pad(n int64) { a.write(make([]byte, -n&3)) }
