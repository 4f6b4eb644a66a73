//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

// lease changes the lease on f (fcntl(2)).
func lease(f *os.File, kind uintptr) error {
	const setLease = 1024
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), setLease, kind); errno != 0 {
		return errno
	}
	return nil
}

// Programs with leases on them that nobody gives up, however many and however often they
// are tried, take no goroutines and no descriptors, and the session does not wait for
// them: each is tried once per tick, until it is free.
func TestManyLeases(t *testing.T) {
	const programs, ticks, writeLease, unlease = 50, 20, 1, 2
	dir := t.TempDir()
	var held []*os.File
	for i := range programs {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		if err := lease(f, writeLease); err != nil {
			Lacks(t, fmt.Sprintf("a file system with leases (%v)", err), "MV_REQUIRE_ALL")
		}
		held = append(held, f)
	}
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	s := &session{}
	tries, opened := make([]int, programs), 0
	var try func(i int)
	try = func(i int) {
		tries[i]++
		fd, err := unix.OpenPath(held[i].Name())
		if err != nil {
			t.Fatal(err)
		}
		switch f, err := s.closer.openProgram(fd); {
		case errors.Is(err, errLeased):
			s.awaitTick(&task{proc: &process{}}, func() { try(i) })
		case err != nil:
			t.Fatal(err)
		default:
			opened++
			_ = f.Close()
		}
	}
	tick := func() {
		s.tryAgain()
		for len(s.ready) > 0 {
			s.doNext()
		}
	}
	for i := range held {
		try(i)
	}
	for range ticks {
		tick()
	}
	s.closer.stop(slog.New(slog.DiscardHandler))
	// While a finalizer of another test's runs its goroutine counts.
	if n := runtime.NumGoroutine(); n > goroutines+1 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if n := openFiles(t); n != files {
		t.Errorf("%d descriptors, %d before", n, files)
	}
	for i, n := range tries {
		if n != ticks+1 {
			t.Errorf("program %d was tried %d times in %d ticks", i, n, ticks)
		}
	}
	for _, f := range held {
		if err := lease(f, unlease); err != nil {
			t.Fatal(err)
		}
	}
	if tick(); opened != programs || len(s.waiting) > 0 {
		t.Errorf("%d programs of %d are open, %d are waited for", opened, programs, len(s.waiting))
	}
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
