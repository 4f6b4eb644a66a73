//go:build linux && amd64

package kvmsandbox_test

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/internal/unix"
)

//go:embed testdata/races.c
var racesSource string

//go:embed testdata/reaches.c
var reachesSource string

// races are the programs of testdata/races.c, reaches those of testdata/reaches.c.
var (
	races   = []string{"exec-bit", "opens", "fifo", "ends", "tables", "lease", "execs", "sharing", "memories", "closed", "lingers", "slots", "making", "copying"}
	reaches = []string{"opened", "rooted"}
)

// compileRaces compiles one of the two.
func compileRaces(t *testing.T, source string) string {
	t.Helper()
	return compile(t, source, "-Itestdata", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
}

// No thread is faster than what the monitor does for another one, and calls that are
// made apart for that reason answer what they always do.
func TestRaces(t *testing.T) {
	machines(t)
	program := compileRaces(t, racesSource)
	for _, name := range races {
		t.Run(name, func(t *testing.T) { race(t, program, name, t.TempDir()) })
	}
	reach := compileRaces(t, reachesSource)
	for _, name := range reaches {
		t.Run(name, func(t *testing.T) { race(t, reach, name, t.TempDir()) })
	}
	// Files that may be of proc(5) are opened another way than others.
	t.Run("opened/apart", func(t *testing.T) { race(t, reach, "opened", t.TempDir(), "apart") })
	for _, name := range []string{"opens", "fifo", "ends", "tables", "execs", "memories", "closed", "slots"} {
		t.Run(name+"/apart", func(t *testing.T) { race(t, program, name, t.TempDir(), "apart") })
	}
}

func race(t *testing.T, program string, args ...string) {
	// How many descriptors the process has, the variant host's included.
	var open []int
	m := &frontendtest.Script{Report: func(id frontend.Task, _ int, _ uint64) []frontend.Action {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", id.Host))
		if err != nil {
			t.Error(err)
		}
		open = append(open, len(entries))
		return nil
	}}
	if o := run(t, m, 1, append([]string{program}, args...)...); o.Status != (frontend.Status{}) {
		t.Errorf("%+v", o)
	}
	if len(open) > 0 && slices.Max(open) > open[0]+4 {
		t.Errorf("descriptors: %v", open)
	}
}

//go:embed testdata/touching.c
var touchingSource string

// Threads of a process touch memory of which the machine has had nothing, all at once, and
// go on while all that it has had is taken from it.
func TestTouching(t *testing.T) {
	machines(t)
	program := compile(t, touchingSource, "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
	for _, name := range []string{"first", "tables"} {
		t.Run(name, func(t *testing.T) {
			if o := run(t, &frontendtest.Script{}, 1, program, name); o.Status != (frontend.Status{}) {
				t.Errorf("%+v", o)
			}
		})
	}
}

// Where a user has as many threads as it may have by a limit that nobody can lift, its
// threads open files all the same.
func TestOpensAtLimit(t *testing.T) {
	machines(t)
	if os.Getuid() != 0 {
		lacksRoot(t, "to become a user without processes")
	}
	const limited = "MV_TEST_LIMITED"
	if os.Getenv(limited) == "" {
		// A limit may be for ever.
		c := exec.Command(os.Args[0], "-test.run=^TestOpensAtLimit$")
		c.Env = append(os.Environ(), limited+"=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	program := compileRaces(t, racesSource)
	if err := syscall.Setrlimit(unix.RlimitProcesses, &syscall.Rlimit{Cur: 8, Max: 8}); err != nil {
		t.Fatal(err)
	}
	if o := run(t, &frontendtest.Script{}, 1, program, "crowd", t.TempDir()); o.Status != (frontend.Status{}) {
		t.Errorf("%+v", o)
	}
}

// The programs find nothing wrong with Linux itself, but that it opens memory.
func TestRacesNative(t *testing.T) {
	try := func(program, name string, finds bool) {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(program, name, t.TempDir()).CombinedOutput()
			switch {
			case finds && err == nil:
				t.Errorf("memory cannot be opened: this finds nothing\n%s", out)
			case !finds && err != nil:
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	program := compileRaces(t, racesSource)
	for _, name := range races {
		try(program, name, name == "memories")
	}
	program = compileRaces(t, reachesSource)
	for _, name := range reaches {
		// Who is not root gets no other one.
		try(program, name, name == "opened" || os.Getuid() == 0)
	}
}
