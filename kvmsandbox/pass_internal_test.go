//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/multivar/multivar/internal/unix"
)

// send sends a hand-over as a variant's process does: image is in its own memory.
func send(t *testing.T, socket int, number uint64, f *os.File) {
	t.Helper()
	image, err := unix.MapPrivateMemory(messageSize)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmap(image) }()
	copy(image, rightsImage(unix.AddressOf(image), number, int(f.Fd())))
	if _, _, errno := syscall.Syscall(syscall.SYS_SENDMSG, uintptr(socket), uintptr(unsafe.Pointer(&image[0])), 0); errno != 0 {
		t.Fatal(errno)
	}
}

// receiver returns a variant and the socket at which its processes would send.
func receiver(t *testing.T) (v *variant, peer int) {
	t.Helper()
	pair, err := unix.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(pair[0])
		_ = unix.Close(pair[1])
	})
	return &variant{socket: pair[0]}, pair[1]
}

// A file that is handed over with another number than the one that is asked for, by a
// task that has died since or by who has forged it, is not taken for that one, and does
// not stay open.
func TestTakeFileHeedsNumber(t *testing.T) {
	v, peer := receiver(t)
	file := func() *os.File {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	stale, own, forged := file(), file(), file()
	before, c := openFiles(t), new(closer)
	for _, numbers := range [][]uint64{{7}, {6, 7}, {6, 8, 7, 9}} {
		for _, n := range numbers {
			f := stale
			switch {
			case n == 7:
				f = own
			case n > 7:
				f = forged
			}
			send(t, peer, n, f)
		}
		fd, err := v.takeFile(c, 7)
		if err != nil {
			t.Fatalf("%v: %v", numbers, err)
		}
		var got, want syscall.Stat_t
		if err := errors.Join(syscall.Fstat(fd, &got), syscall.Fstat(int(own.Fd()), &want)); err != nil {
			t.Fatal(err)
		}
		if got.Ino != want.Ino {
			t.Errorf("%v: another file", numbers)
		}
		_ = unix.Close(fd)
	}
	// What was behind the right one is still there.
	send(t, peer, 10, forged)
	if fd, err := v.takeFile(c, 11); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("a file with another number was taken (%d, %v)", fd, err)
	}
	c.stop(slog.New(slog.DiscardHandler))
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

// A message is no hand-over when its number is of another size or it brings no file.
func TestTakeFileRefuses(t *testing.T) {
	v, peer := receiver(t)
	for _, text := range []string{"\x07\x00\x00\x00\x00\x00\x00\x00", "\x07", ""} {
		if _, err := syscall.Write(peer, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if fd, err := v.takeFile(new(closer), 7); err == nil {
			t.Errorf("%q: file %d", text, fd)
		}
	}
}
