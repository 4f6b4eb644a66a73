//go:build linux && amd64

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// threadPrograms are programs of several threads that compute at the same time, in the
// languages that people write them in. What they print does not depend on how the
// threads interleave.
var threadPrograms = []realProgram{
	{"go", func(t *testing.T) Case {
		return Case{Args: []string{threaded(t, "goroutines", "go", "build", "-o", "OUT", "./threads/goroutines")}}
	}},
	{"c++", func(t *testing.T) Case {
		return Case{Args: []string{threaded(t, "pool", tool(t, "g++"), "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", "OUT", "threads/pool.cc")}}
	}},
	{"openmp", func(t *testing.T) Case {
		return Case{Args: []string{threaded(t, "openmp", tool(t, "gcc"), "-O1", "-Wall", "-Wextra", "-Werror", "-fopenmp", "-o", "OUT", "threads/openmp.c")}}
	}},
	{"python", func(t *testing.T) Case { return Case{Args: []string{tool(t, "python3"), source(t, "pool.py")}} }},
	{"perl", func(t *testing.T) Case { return Case{Args: []string{tool(t, "perl"), source(t, "threads.pl")}} }},
	{"xz", func(t *testing.T) Case {
		return Case{Args: []string{tool(t, "xz"), "-T2", "-c", "-1", "--block-size=64KiB"}, Stdin: standardInput()}
	}},
	{"pigz", func(t *testing.T) Case {
		return Case{Args: []string{tool(t, "pigz"), "-p2", "-n", "-c"}, Stdin: standardInput()}
	}},
}

// source returns the absolute path of a file of threads.
func source(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("threads", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// threaded builds a program of threads, by a command in which OUT stands for the file.
func threaded(t *testing.T, name string, command ...string) string {
	t.Helper()
	out := filepath.Join(root, "threads", name)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range command {
		if command[i] == "OUT" {
			command[i] = out
		}
	}
	if text, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, text)
	}
	return out
}

// TestThreads runs programs whose threads compute, natively and as variants.
func TestThreads(t *testing.T) {
	for _, p := range threadPrograms {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.make(t).same(t, Run{}, 1, 2, 3)
		})
	}
}
