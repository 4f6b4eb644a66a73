//go:build linux && amd64

package vhost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/lacks"
)

// absent counts the tests that did not run, as in test/main_test.go.
var absent lacks.Counter

// scratchDir is the directory of what the tests build.
var scratchDir string

func TestMain(m *testing.M) { os.Exit(mainStatus(m)) }

func mainStatus(m *testing.M) int {
	dir, err := os.MkdirTemp("", "multivar-vhost-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratchDir = dir
	status := m.Run()
	absent.Tell(os.Stderr)
	return status
}

// missing ends a test that needs what the machine lacks: loudly, counted, and as a
// failure where everything has to be there.
func missing(t testing.TB, what string) {
	t.Helper()
	absent.End(t, what, "MV_REQUIRE_ALL")
}

// tool returns the path of a program of the machine.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name)
	}
	return path
}

// hang ends what does not end. It is no limit on speed.
const hang = 5 * time.Minute

// command returns a command that ends with the test, with all that it started, and
// after hang in any case.
func command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	return commandIn(t.Context(), t, name, args...)
}

// commandIn returns a command that ends with ctx.
func commandIn(ctx context.Context, t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, hang)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	// Leaks are looked for by tracing, which not every machine allows; the stack of
	// a block must hold all that a function has.
	cmd.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0",
		"UBSAN_OPTIONS=print_stacktrace=1")
	return cmd
}

var cTests struct {
	once sync.Once
	path string
	err  error
}

// cProgram returns the path of the program of testdata, which is the variant host's
// C code under ASan and UBSan with tests around it.
func cProgram(t testing.TB) string {
	t.Helper()
	gcc := tool(t, "gcc")
	cTests.once.Do(func() {
		cTests.path = filepath.Join(scratchDir, "tests")
		cTests.err = buildC(t, gcc, cTests.path, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
			"-fno-omit-frame-pointer")
	})
	if cTests.err != nil {
		t.Fatal(cTests.err)
	}
	return cTests.path
}

// buildC builds the program of testdata. The addresses of the slot are far from a
// program that is not PIE.
func buildC(t testing.TB, gcc, path string, flags ...string) error {
	args := slices.Concat(flags, []string{
		"-std=gnu11", "-Wall", "-Wextra", "-Werror", "-no-pie", "-fPIC", "-Isrc", "-D_start=vhost_entry",
		"-Wl,--wrap=vhost_call", "-Wl,--wrap=ring_await",
		fmt.Sprintf("-Wl,--defsym=vhost_end=%#x", Image+2*PageSize+16),
		// All of the program is the image where only its code is meant.
		"-Wl,--defsym=vhost_first=0x400000", "-o", path,
	})
	for _, pattern := range []string{"src/*.[cS]", "testdata/*.[cS]"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no files %s: %w", pattern, err)
		}
		args = append(args, files...)
	}
	if out, err := command(t, gcc, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", gcc, err, out)
	}
	return nil
}
