//go:build linux && amd64

package kvmsandbox

import (
	"os"
	"syscall"
	"testing"

	"github.com/multivar/multivar/kvmsandbox/internal/loader"
)

// What was opened to find out whether it can be executed is there once more for the execution, and is
// closed when nothing comes of that.
func TestForeseen(t *testing.T) {
	c := &closer{}
	open := func(prompt bool) *loader.File {
		f, err := os.Open("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		return &loader.File{ReaderAt: f, Name: "prog", Size: 4711, Closer: handedOver{f, c, prompt}}
	}
	number := func(f *loader.File) int {
		own, ok := f.ReaderAt.(*os.File)
		if !ok {
			t.Fatal("it is no file")
		}
		return int(own.Fd())
	}
	isOpen := func(fd int) bool {
		_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		return errno == 0
	}
	a, b := opening{-100, "a", 0}, opening{3, "", 0x1000}
	for _, taken := range []bool{false, true} {
		var own task
		f := open(true)
		own.foresee(a, f)
		// Somebody opens it twice for one execution.
		own.foresee(a, f)
		kept := number(own.foreseen[a])
		if err := f.Close(); err != nil || !isOpen(kept) {
			t.Fatalf("it went with what was opened: %v", err)
		}
		if own.foretold(b) != nil {
			t.Error("another one is kept")
		}
		if taken {
			again := own.foretold(a)
			if again == nil || again.Name != "prog" || again.Size == 4711 || own.foretold(a) != nil {
				t.Fatalf("what is kept is %+v", again)
			}
			if n, err := again.ReadAt(make([]byte, 4), 0); n != 4 || err != nil {
				t.Errorf("it cannot be read: %v", err)
			}
			own.forgetForeseen()
			if !isOpen(kept) {
				t.Error("what was taken is closed")
			}
			_ = again.Close()
		}
		if own.forgetForeseen(); isOpen(kept) || len(own.foreseen) != 0 {
			t.Errorf("taken: %v: it stays open", taken)
		}
	}
	// Whoever answers for another file would be told late that it is closed.
	var own task
	f := open(false)
	defer f.Close()
	if own.foresee(a, f); own.foretold(a) != nil {
		t.Error("a file that may be slow is kept")
	}
}
