//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/lacks"
)

// root is the directory of everything that this test process makes. It is set
// before the first test and readable for every user, because programs also run
// as an ordinary one.
var root string

// absent counts the calls of missing.
var absent lacks.Counter

func TestMain(m *testing.M) {
	if os.Getenv(reaperEnv) != "" {
		os.Exit(reap(os.Args[1:]))
	}
	if needsDevice() {
		os.Exit(inNamespace())
	}
	os.Exit(mainStatus(m))
}

func mainStatus(m *testing.M) int {
	if err := closeInherited(); err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		return 1
	}
	if what := noMachines(); what != "" {
		fmt.Fprintf(os.Stderr, "MISSING: all tests on virtual machines: %s\n", what)
		if os.Getenv("MV_REQUIRE_KVM") == "1" {
			return 1
		}
		return 0
	}
	syscall.Umask(0o022)
	// Started under nohup(1), the programs would ignore what tests send them.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	dir, err := os.MkdirTemp("", "multivar-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		// Programs print the directory they work in; it must have one name only.
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		return 1
	}
	root = dir
	if os.Getenv(deviceEnv) != "" {
		if err := openDevice(dir); err != nil {
			fmt.Fprintln(os.Stderr, "test:", err)
			return 1
		}
	}
	remove := dir
	if os.Getenv("MV_KEEP") != "" {
		remove = ""
		fmt.Fprintln(os.Stderr, "test: kept:", dir)
	}
	end, err := startReaper(remove)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		return 1
	}
	defer end()
	status := m.Run()
	absent.Tell(os.Stderr)
	return status
}

// closeInherited keeps descriptors that this process happened to inherit away
// from the programs, whose own are compared by number.
func closeInherited() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// missing ends a test that needs what the machine lacks: loudly, counted, and as a
// failure where everything has to be there.
func missing(t *testing.T, what string) {
	t.Helper()
	absent.End(t, what, "MV_REQUIRE_ALL")
}

// needRoot ends a test that only root can do in the same way. Nobody can install
// that, so whether it is a failure is asked for separately.
func needRoot(t *testing.T, why string) {
	t.Helper()
	if os.Getuid() != 0 {
		absent.End(t, "root, "+why, "MV_REQUIRE_ROOT")
	}
}

// searchPath is PATH for everything that a test starts.
const searchPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// tool returns the path of a program of the machine.
func tool(t *testing.T, name string) string {
	t.Helper()
	for dir := range strings.SplitSeq(searchPath, ":") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	missing(t, name)
	return ""
}

// built is the outcome of a build that happens once, when it is first needed.
type built struct {
	once sync.Once
	path string
	err  error
}

var kvmsandbox built

// sandbox returns the path of the kvmsandbox under test. The Makefile builds it,
// because it knows the flags.
func sandbox(t *testing.T) string {
	t.Helper()
	kvmsandbox.once.Do(func() {
		if path := os.Getenv("MV_KVMSANDBOX"); path != "" {
			kvmsandbox.path, kvmsandbox.err = filepath.Abs(path)
			return
		}
		bin := filepath.Join(root, "bin")
		cmd := exec.Command("make", "-s", "-C", "..", "build", "BIN="+bin)
		// The make that may have started this test is none of the new one's business.
		for _, e := range os.Environ() {
			if !strings.HasPrefix(e, "MAKE") && !strings.HasPrefix(e, "MFLAGS=") {
				cmd.Env = append(cmd.Env, e)
			}
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			kvmsandbox.err = fmt.Errorf("build kvmsandbox: %w\n%s", err, out)
			return
		}
		kvmsandbox.path = filepath.Join(bin, "kvmsandbox")
	})
	if kvmsandbox.err != nil {
		t.Fatal(kvmsandbox.err)
	}
	return kvmsandbox.path
}

// scratchNumber makes the names of scratch directories, all of one length, so that
// sizes do not depend on them.
var scratchNumber atomic.Int64

// scratch returns a fresh directory that goes away with the test.
func scratch(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprintf("d%07d", scratchNumber.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("MV_KEEP") == "" {
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
	}
	return dir
}
