//go:build linux

package unix

import (
	"errors"
	"os"
	"syscall"
	"testing"

	sys "golang.org/x/sys/unix"
)

// A message with one descriptor gives it, and one with more than that none: those that
// came are closed.
func TestReceiveFile(t *testing.T) {
	pair, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(pair[0])
	defer sys.Close(pair[1])
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, count := range []int{1, 2} {
		var fds []int
		for range count {
			fds = append(fds, int(w.Fd()))
		}
		if err := sys.Sendmsg(pair[0], []byte("12345678"), sys.UnixRights(fds...), nil, 0); err != nil {
			t.Fatal(err)
		}
		var payload [8]byte
		n, fd, err := ReceiveFile(pair[1], payload[:])
		if n != len(payload) || (fd >= 0) != (count == 1) || (err == nil) != (count == 1) {
			t.Errorf("%d descriptors: %d bytes, descriptor %d, %v", count, n, fd, err)
		}
		if fd >= 0 {
			sys.Close(fd)
		}
	}
	var payload [8]byte
	if _, _, err := ReceiveFile(pair[1], payload[:]); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("nothing was sent: %v", err)
	}
	// The pipe ends when nobody has its other end any more.
	w.Close()
	end := int(r.Fd())
	if err := sys.SetNonblock(end, true); err != nil {
		t.Fatal(err)
	}
	if n, err := sys.Read(end, payload[:]); n != 0 || err != nil {
		t.Errorf("descriptors are still open: read %d, %v", n, err)
	}
}
