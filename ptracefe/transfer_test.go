//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
)

// connected returns a connection of TCP and the descriptor of its other end.
func connected(t *testing.T) (net.Conn, *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	tcp, ok := far.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T is no connection of TCP", far)
	}
	f, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return near, f
}

// Data move through the leader's descriptor in its place where that is sure to be the same, and
// nothing of it is left when the program has closed it.
func TestTransfers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	local, far := os.NewFile(uintptr(pair[0]), "near"), os.NewFile(uintptr(pair[1]), "far")
	defer local.Close()
	defer far.Close()
	peer, stream := connected(t)
	otherPeer, slow := connected(t)
	const streamFD, fileFD, slowFD, pipeFD, localFD, noFD = 3, 4, 5, 6, 7, 99
	for _, send := range []io.Writer{otherPeer, w, far} {
		if _, err := send.Write([]byte("there")); err != nil {
			t.Fatal(err)
		}
	}

	m := &script{}
	looked, closed, ended := false, false, false
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		h, ok := m.Host.(frontend.Transfers)
		p := make([]byte, 4)
		switch {
		case !ok:
			t.Error("the host moves no data")
		case !looked:
			looked = true
			// To ask a file for its descriptor makes it block. Only the program has it open from
			// now on.
			fd := int(stream.Fd())
			if err := errors.Join(syscall.SetNonblock(fd, true), syscall.Dup3(int(file.Fd()), fd, syscall.O_CLOEXEC)); err != nil {
				t.Error(err)
			}
			lookAtTransfers(t, h, id, streamFD, fileFD, peer)
			for _, fd := range []int{slowFD, pipeFD, localFD, noFD, -1, fileFD} {
				for range enough {
					_, sent := h.Send(id, fd, []byte("no"))
					if _, received := h.Receive(id, fd, p); sent || received {
						t.Errorf("data moved through descriptor %d", fd)
					}
				}
			}
		case name == "close" && c.Args[0] == streamFD:
			closed = true
		case closed && name == "close" && c.Args[0] == fileFD:
			// The shell had a duplicate for a while.
			ended = true
			if n, err := peer.Read(p); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("after the program has closed the connection its peer reads %d bytes (%v)", n, err)
			}
			if _, done := h.Send(id, streamFD, p); done {
				t.Error("data moved through a descriptor that is closed")
			}
		}
		return nil
	}
	res := runWith(t, m, frontend.Spec{
		Programs: []string{"/bin/sh"}, Args: []string{"sh", "-c", "exec 3<&-; exec 4<&-"}, Variants: 1,
		// Only the program has the connection open.
		Files: []*os.File{stream, file, slow, r, local},
	})
	if res.err != nil || len(m.Failures) > 0 || !ended {
		t.Errorf("%v, %v, closed %v", res.err, m.Failures, ended)
	}
}

// enough is as often as a descriptor is used, at most, before data move through it.
const enough = 5

// lookAtTransfers moves data through a connection with peer, and from a file with ten digits.
func lookAtTransfers(t *testing.T, h frontend.Transfers, id frontend.Task, streamFD, fileFD int, peer net.Conn) {
	p := make([]byte, 4)
	for range enough {
		if _, done := h.Receive(id, streamFD, p); done {
			t.Error("something was received that nobody has sent")
		}
		// There is not as much.
		if _, done := h.ReceiveAt(id, fileFD, p, 9); done {
			t.Error("four bytes were read at 9 of ten")
		}
	}
	if _, err := peer.Write([]byte("abcdef")); err != nil {
		t.Error(err)
	}
	if n, done := h.Receive(id, streamFD, p); n != 4 || !done || string(p) != "abcd" {
		t.Errorf("received %d bytes, %v: %q", n, done, p)
	}
	if n, done := h.Receive(id, streamFD, p); n != 2 || !done || string(p) != "efcd" {
		t.Errorf("received %d bytes, %v: %q", n, done, p)
	}
	if n, done := h.Send(id, streamFD, []byte("xyz")); n != 3 || !done {
		t.Errorf("sent %d bytes, %v", n, done)
	}
	if err := peer.SetReadDeadline(time.Now().Add(watchdog)); err != nil {
		t.Error(err)
	}
	if n, err := io.ReadFull(peer, p[:3]); err != nil || string(p[:3]) != "xyz" {
		t.Errorf("the peer has got %q (%d, %v)", p[:3], n, err)
	}
	if n, done := h.ReceiveAt(id, fileFD, p, 3); n != 4 || !done || string(p) != "3456" {
		t.Errorf("read %d bytes, %v: %q", n, done, p)
	}
	for _, off := range []int64{7, 10, 100, -1} {
		if _, done := h.ReceiveAt(id, fileFD, p, off); done {
			t.Errorf("four bytes were read at %d of ten", off)
		}
	}
	if _, done := h.ReceiveAt(id, streamFD, p, 0); done {
		t.Error("a connection was read at a place")
	}
}
