//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"
)

// stuck is a file that is not closed before it is let go.
type stuck struct {
	let    <-chan struct{}
	closed *atomic.Int32
}

func (f stuck) Close() error {
	<-f.let
	f.closed.Add(1)
	return nil
}

// Files that take for ever to be closed hold up nobody, take few goroutines, however
// many they are, and are all closed when they can be.
func TestCloserStuck(t *testing.T) {
	const files = 1000
	var c closer
	var closed atomic.Int32
	let := make(chan struct{})
	before := runtime.NumGoroutine()
	var last <-chan struct{}
	for range files {
		last = c.close(stuck{let, &closed})
	}
	if n := runtime.NumGoroutine() - before; n > maxClosers {
		t.Errorf("%d goroutines", n)
	}
	c.stop(slog.New(slog.DiscardHandler))
	if n := closed.Load(); n != 0 {
		t.Errorf("%d files are closed", n)
	}
	close(let)
	<-last
	c.stop(slog.New(slog.DiscardHandler))
	if n := closed.Load(); n != files {
		t.Errorf("%d files of %d are closed", n, files)
	}
}

// What waits for a file goes on when that is closed, and not before.
func TestWhenClosed(t *testing.T) {
	s := &session{}
	var closed atomic.Int32
	let := make(chan struct{})
	task := &task{proc: &process{}}
	went := 0
	s.whenClosed(task, s.closer.close(stuck{let, &closed}), func() { went++ })
	if s.takeClosed() || went != 0 {
		t.Fatal("it went on")
	}
	close(let)
	s.closer.stop(slog.New(slog.DiscardHandler))
	if !s.takeClosed() || len(s.ready) != 1 || s.takeClosed() {
		t.Fatalf("%d go on", len(s.ready))
	}
	s.doNext()
	done := make(chan struct{})
	close(done)
	s.whenClosed(task, done, func() { went++ })
	if went != 2 {
		t.Errorf("%d went on", went)
	}
}

// A thread on its way out makes no more calls, be it that it waits for files.
func TestExiting(t *testing.T) {
	if pid := os.Getpid(); exiting(pid, pid) {
		t.Error("this process is on its way out")
	}
	c := exec.Command("/bin/true")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// Its end of the pipe is closed when it is past the point.
	if _, err := out.Read(make([]byte, 1)); err == nil {
		t.Error("output")
	}
	if !exiting(c.Process.Pid, c.Process.Pid) {
		t.Error("a process that has ended is not on its way out")
	}
	if err := c.Wait(); err != nil && !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if !exiting(c.Process.Pid, c.Process.Pid) {
		t.Error("a process that is gone is not on its way out")
	}
}
