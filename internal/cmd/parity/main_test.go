package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Three files of results, as make parity leaves them, become a page with three columns, and
// that page is what later results are held against.
func TestThreeFrontEnds(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "parity.md")
	write := func(frontEnd, text string) string {
		t.Helper()
		name := filepath.Join(dir, frontEnd+".json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return frontEnd + "=" + name
	}
	const broken = `{"Action":"pass","Test":"TestSeal/a"}
{"Action":"run","Test":"TestProgs/a"}
{"Action":"output","Package":"p","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}
`
	args := []string{
		write("ptrace", results),
		write("kvm", strings.ReplaceAll(results, "fail", "pass")),
		write("inproc", results+`{"Action":"pass","Test":"TestSeal/a"}`+"\n"),
	}
	if err := run(page, false, false, args); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := head + `
| scenario | ptrace | kvm | inproc |
|---|---|---|---|
| Alone | yes | yes | yes |
| Progs/a | yes | yes | yes |
| Progs/b | no | yes | no |
| Progs/c | - | - | - |
| Seal/a |  |  | yes |
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Fatal(d)
	}
	// What failed before may fail, each front-end by itself.
	for _, arg := range args {
		if err := run(page, true, false, []string{arg}); err != nil {
			t.Errorf("%s: %v", arg, err)
		}
	}
	for _, c := range []struct{ arg, says string }{
		{write("kvm", results), "1 scenarios fail"},
		{write("inproc", strings.ReplaceAll(results, `"pass","Test":"TestProgs/a`, `"fail","Test":"TestProgs/a`)), "1 scenarios fail"},
		{write("inproc", broken), "1 scenarios fail"},
		{"inproc", "is not FRONTEND=RESULTS"},
		{"inproc=" + filepath.Join(dir, "none"), "none"},
	} {
		if err := run(page, true, false, []string{c.arg}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.arg, err, c.says)
		}
	}
	// Two that were broken off are two.
	args = []string{write("kvm", broken), write("inproc", broken)}
	if err := run(page, true, false, args); err == nil || !strings.HasPrefix(err.Error(), "2 scenarios fail") {
		t.Errorf("%v", err)
	}
	if run(page, true, false, nil) == nil {
		t.Error("no results are enough")
	}
}
