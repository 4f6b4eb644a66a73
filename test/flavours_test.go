//go:build linux && amd64

package test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// flavour is a way to link a C program.
type flavour string

const (
	dynamic   flavour = "dynamic"
	static    flavour = "static"
	staticPIE flavour = "static-pie"
	musl      flavour = "musl"

	// arm64Static is for a machine of another instruction set.
	arm64Static flavour = "arm64"
)

// armCompiler makes programs for arm64.
const armCompiler = "aarch64-linux-gnu-gcc"

var flavours = []flavour{dynamic, static, staticPIE, musl}

func (f flavour) compiler() (name string, args []string) {
	switch f {
	case static:
		return "gcc", []string{"-static"}
	case staticPIE:
		return "gcc", []string{"-static-pie"}
	case arm64Static:
		return armCompiler, []string{"-static"}
	case musl:
		return "musl-gcc", []string{"-static"}
	}
	return "gcc", nil
}

// cFlags are those of every program.
var cFlags = []string{"-std=c11", "-O1", "-Wall", "-Wextra", "-Werror"}

// builds is where programs are built, empty for the directory of the runs. What is there already
// is taken, so it must be of this very state of the sources.
var builds = os.Getenv("MV_TEST_BUILDS")

// programs holds the *built of each program, by its path.
var programs sync.Map

// program returns the path of progs/NAME.c, built in this flavour once, when first
// asked for. A definition such as "MUT=path" makes a build of its own, as does a flag of
// the compiler such as "-g".
func program(t *testing.T, name string, f flavour, defines ...string) string {
	t.Helper()
	compiler, args := f.compiler()
	cc := tool(t, compiler)
	path := filepath.Join(cmp.Or(builds, root), "progs", strings.Join(append([]string{string(f)}, defines...), ","), name)
	entry, _ := programs.LoadOrStore(path, new(built))
	b := entry.(*built) //nolint:errcheck,forcetypeassert // nothing else is stored
	b.once.Do(func() {
		b.path = path
		if _, err := os.Stat(path); err == nil {
			return
		}
		if b.err = os.MkdirAll(filepath.Dir(path), 0o755); b.err != nil {
			return
		}
		args = append(args, cFlags...)
		for _, d := range defines {
			if !strings.HasPrefix(d, "-") {
				d = "-D" + d
			}
			args = append(args, d)
		}
		// Another process may look for it.
		unfinished := path + ".part"
		args = append(args, "-o", unfinished, filepath.Join("progs", name+".c"))
		cmd := exec.Command(cc, args...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("build %s (%s): %w\n%s", name, f, err, out)
			return
		}
		b.err = os.Rename(unfinished, path)
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}
