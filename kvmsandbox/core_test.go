//go:build linux && amd64

package kvmsandbox_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
)

// The program's core dump is the leader's, and holds the program's memory, not the
// variant host's. Followers make none, which would lie where they happen to be.
func TestCoreDump(t *testing.T) {
	machines(t)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &old); err != nil {
		t.Fatal(err)
	}
	if old.Max == 0 {
		missing(t, "a hard limit of core dumps (ulimit -Hc) that is not 0")
	}
	crash := compile(t, "#include <unistd.h>\nint main(void) { if (fork() == 0) _exit(0); *(volatile int *)8 = 1; return 0; }")
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: old.Max, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &old) }()
	dir := t.TempDir()
	t.Chdir(dir)
	dumped := map[int]bool{}
	m := &frontendtest.Script{End: func(id frontend.Task, st frontend.Status) []frontend.Action {
		if st.Signal != 0 {
			dumped[id.Variant] = st.Core
		}
		return nil
	}}
	if o := run(t, m, 3, crash); o.Status.Signal != int(syscall.SIGSEGV) {
		t.Errorf("outcome %+v", o)
	}
	if len(dumped) != 3 || dumped[1] || dumped[2] {
		t.Errorf("dumps %v", dumped)
	}
	files, err := filepath.Glob(filepath.Join(dir, "core*"))
	if err != nil {
		t.Fatal(err)
	}
	if !dumped[frontend.Leader] || len(files) == 0 {
		t.Log("this system puts no core dumps here, so their size was not tested")
		return
	}
	st, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	const tooLarge = 32 << 20
	if len(files) != 1 || st.Size() == 0 || st.Size() > tooLarge {
		t.Errorf("dumps %v, the first of %d bytes", files, st.Size())
	}
}
