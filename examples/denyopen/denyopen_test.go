//go:build linux && amd64

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/fronts"
)

// tests counts what the machine lacks.
var tests fronts.Tests

func TestMain(m *testing.M) { os.Exit(tests.Main(m)) }

// What is behind the fence is refused however it is named, and what is not is not.
func TestDeny(t *testing.T) {
	tests.Tool(t, "sh")
	tests.Tool(t, "cat")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"secret/file": "hidden\n", "secret/sub/file": "hidden\n", "secrets": "not below\n", "open/file": "shown\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const denied = "Permission denied"
	for _, tc := range []struct {
		name, script, out, err string
		status                 int
	}{
		{"absolute", `cat $0/secret/file`, "", denied, 1},
		{"roundabout", `cat $0/open/../secret/./sub/file`, "", denied, 1},
		{"relative", `cd $0/open && cat ../secret/file`, "", denied, 1},
		{"working directory", `cd $0/secret`, "", "can't cd", 2},
		{"new file", `echo x >$0/secret/new`, "", denied, 2},
		{"program", `$0/secret/file`, "", denied, 126},
		{"new name", `ln $0/secret/file $0/open/link`, "", denied, 1},
		{"no fork is too far", `(sh -c "cat $0/secret/file") 2>&1 | cat; cat $0/open/file`, "cat: " + dir + "/secret/file: " + denied + "\nshown\n", "", 0},
		{"beside", `cat $0/secrets $0/open/file`, "not below\nshown\n", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tests.Each(t, func(t *testing.T, fe frontend.FrontEnd) {
				files := fronts.NewFiles(t, "")
				status, err := run(t.Context(), fe, 2, filepath.Join(dir, "secret"), files.List(), "sh", "-c", tc.script, dir)
				if err != nil {
					t.Fatal(err)
				}
				out, errs := files.Output(t)
				if status != tc.status || out != tc.out || !strings.Contains(errs, tc.err) || (tc.err == "") != (errs == "") {
					t.Errorf("status %d, output %q, %q; want %d, %q, %q", status, out, errs, tc.status, tc.out, tc.err)
				}
			})
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "secret", "new")); err == nil {
		t.Error("a file was made behind the fence")
	}
	if _, err := os.Lstat(filepath.Join(dir, "open", "link")); err == nil {
		t.Error("a name was made for what is behind the fence")
	}
}

func TestBars(t *testing.T) {
	for _, tc := range []struct {
		fence fence
		name  string
		want  bool
	}{
		{"/a", "/a", true}, {"/a", "/a/b", true}, {"/a", "/ab", false}, {"/a", "/", false}, {"/", "/x", true}, {"/a", "pipe:[1]", false},
	} {
		if got := tc.fence.bars(tc.name); got != tc.want {
			t.Errorf("%s bars %s: %v", tc.fence, tc.name, got)
		}
	}
}
