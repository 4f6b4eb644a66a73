package procmaps_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// What a process maps of memory without a name is known by the numbers that stat(2) has for it.
func TestFileID(t *testing.T) {
	fd, err := unix.SealedFile("procmaps", []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	mem, err := syscall.Mmap(fd, 0, 4, syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(mem) }()
	dev, inode, _, _, err := unix.FileStat(fd)
	if err != nil {
		t.Fatal(err)
	}
	all, err := procmaps.Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	i := procmaps.Find(all, unix.AddressOf(mem))
	if i < 0 || all[i].File != procmaps.FileID(dev, inode) {
		t.Errorf("mapping %d of %d; the file is %s", i, len(all), procmaps.FileID(dev, inode))
	}
}
