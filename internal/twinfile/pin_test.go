//go:build linux

package twinfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/lacks"
)

// A pin tells of its file whatever becomes of the name, and keeps no lock.
func TestPin(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	pin, err := Files{}.Pin(frontend.File(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(int(pin))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("the lock is kept: %v", err)
	}
	if err := os.Rename(name, name+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name+"2", 3); err != nil {
		t.Fatal(err)
	}
	info, err := Files{}.FileInfo(pin)
	if err != nil || info.Size != 3 || !info.Regular || info.Writable {
		t.Errorf("%+v, %v", info, err)
	}
}

// What a descriptor can write only is copied, too.
func TestCopyWriteOnly(t *testing.T) {
	src, err := os.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := src.WriteString("0123456789"); err != nil {
		t.Fatal(err)
	}
	dst, err := Files{}.NewFile(4)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(int(dst))
	if err := (Files{}).CopyRange(dst, frontend.File(src.Fd()), 2, 6); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 16)
	n, err := syscall.Pread(int(dst), got, 0)
	if want := "\x00\x00234567"; err != nil || string(got[:n]) != want {
		t.Errorf("%q, %v, want %q", got[:n], err, want)
	}
}

// A file that cannot be opened anew is told apart from other failures.
func TestCopyUnreadable(t *testing.T) {
	src, err := os.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	// Whoever opens it to read has to wait for the lease to end.
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, src.Fd(), syscall.F_SETLEASE, syscall.F_WRLCK); errno != 0 {
		new(lacks.Counter).End(t, fmt.Sprintf("leases of files: %v", errno), "MV_REQUIRE_ALL")
	}
	info, err := Files{}.FileInfo(frontend.File(src.Fd()))
	if err != nil || info.Readable || !info.Writable {
		t.Errorf("%+v, %v", info, err)
	}
	dst, err := Files{}.NewFile(4)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(int(dst))
	if err := (Files{}).CopyRange(dst, frontend.File(src.Fd()), 0, 4); !errors.Is(err, frontend.ErrUnreadable) {
		t.Errorf("copied: %v", err)
	}
	if err := (Files{}).WriteFile(dst, []byte("abc"), 2); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 16)
	if n, err := syscall.Pread(int(dst), got, 0); err != nil || string(got[:n]) != "\x00\x00abc" {
		t.Errorf("%q, %v", got[:n], err)
	}
}
