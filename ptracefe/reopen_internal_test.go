//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

// What is opened anew is the same file, at the same place, with the same rights.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range []int{os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND} {
		f, err := os.OpenFile(path, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(4, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		fd, err := reopen(os.Getpid(), int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		again := os.NewFile(uintptr(fd), "again")
		a, errA := f.Stat()
		b, errB := again.Stat()
		if errA != nil || errB != nil || !os.SameFile(a, b) {
			t.Errorf("another file: %v, %v", errA, errB)
		}
		if pos, err := again.Seek(0, io.SeekCurrent); err != nil || pos != 4 {
			t.Errorf("position %d, %v", pos, err)
		}
		if got, want := unix.Writable(fd), flags&os.O_RDWR != 0; got != want {
			t.Errorf("flags %#x: writable %t", flags, got)
		}
		_, _ = again.Close(), f.Close()
	}
}

// A file without a name can be opened anew, and so can one that only root may open while
// the caller is root; a pipe is not opened, only looked at.
func TestReopenOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, file := range []*os.File{f, r} {
		fd, err := reopen(os.Getpid(), int(file.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, regular, err := unix.FileStat(fd)
		if err != nil || regular != (file == f) {
			t.Errorf("regular %t, %v", regular, err)
		}
		if err := syscall.Close(fd); err != nil {
			t.Error(err)
		}
	}
	if fd, err := reopen(os.Getpid(), 1<<20); err != syscall.EBADF {
		t.Errorf("a descriptor that is not open: %d, %v", fd, err)
	}
}

func TestParseFileInfo(t *testing.T) {
	flags, pos, inode, err := parseFileInfo([]byte("pos:\t77\nflags:\t0100002\nmnt_id:\t9\nino:\t18446744073709551615\n"))
	if err != nil || pos != 77 || flags != 0o100002 || inode != 1<<64-1 {
		t.Errorf("%o, %d, %d, %v", flags, pos, inode, err)
	}
	for _, bad := range []string{
		"", "pos:\t1\n", "pos:\tx\nflags:\t0\nino:\t1\n", "pos:\t0\nflags:\t9\nino:\t1\n", "pos:\t0\nflags:\t0\n", "pos:\t0\nflags:\t0\nino:\t-1\n",
	} {
		if _, _, _, err := parseFileInfo([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
