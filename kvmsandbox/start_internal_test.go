//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

// What is no program is refused as execve(2) does it, also where the kernel is not
// asked whether it would (before Linux 6.14).
func TestOpenProgramRefuses(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/bin/sh", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]syscall.Errno{link: syscall.ELOOP, dir: syscall.EACCES, "/dev/null": syscall.EACCES} {
		fd, err := syscall.Open(path, unix.OPath|unix.ONofollow|unix.OCloexec, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := new(closer).openProgram(fd); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}
