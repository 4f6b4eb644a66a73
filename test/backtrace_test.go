//go:build linux && amd64

package test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// calledBy reports whether the functions are among the frames of a side, in order.
func calledBy(r *fullReport, side int, want []string) bool {
	for _, f := range r.Sides[side].Frames {
		if len(want) > 0 && f.Function == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// functions lists the frames of a side.
func functions(r *fullReport, side int) []string {
	var out []string
	for _, f := range r.Sides[side].Frames {
		out = append(out, f.Function+" ("+f.Found+")")
	}
	return out
}

// TestBacktraces makes variants diverge at the bottom of chains of calls, under a policy
// by which all of them stand there.
func TestBacktraces(t *testing.T) {
	t.Parallel()
	chain := []string{"innermost", "middle", "outermost"}
	for _, c := range []struct {
		place string
		then  []string
	}{
		{"plain", []string{"main"}},
		{"signal", []string{"handler", "main"}},
		{"alternative", []string{"handler", "main"}},
		{"library", []string{"compare", "main"}},
		{"thread", []string{"second"}},
	} {
		for _, f := range []struct {
			flavour flavour
			defines []string
		}{
			{dynamic, []string{"-g"}},
			{dynamic, []string{"-O2", "-fno-plt"}},
			{dynamic, []string{"-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables"}},
			{staticPIE, []string{"-g"}},
		} {
			t.Run(c.place+"/"+string(f.flavour)+strings.Join(f.defines, ""), func(t *testing.T) {
				t.Parallel()
				noTables := slices.Contains(f.defines, "-fno-asynchronous-unwind-tables")
				r, d := reported(t, Run{
					N: 2, Args: []string{program(t, "trace", f.flavour, append(f.defines, "-pthread")...), c.place},
					Flags: []string{"--policy", "comprehensive"},
				})
				if len(d.Sides) != 2 {
					t.Fatalf("%d sides\n%s", len(d.Sides), r)
				}
				for i := range d.Sides {
					want := append(slices.Clone(chain), c.then...)
					if !calledBy(&d, i, want) {
						t.Errorf("side %d: %v, want %v; %s", i, functions(&d, i), want, d.Sides[i].Note)
					}
					for _, frame := range d.Sides[i].Frames {
						if frame.Found == "stack scan" && !noTables {
							t.Errorf("side %d: %s is a guess", i, frame.Function)
						}
						if frame.Function == "innermost" && slices.Contains(f.defines, "-g") && (!strings.HasSuffix(frame.File, "trace.c") || frame.Line < 20 || frame.Line > 25) {
							t.Errorf("side %d: innermost at %s:%d", i, frame.File, frame.Line)
						}
					}
					if fd := d.Sides[i].Descriptor; fd == nil || fd.Number != 1 || !strings.HasPrefix(fd.Path, "pipe:") {
						t.Errorf("side %d: descriptor %+v", i, fd)
					}
					current := slices.IndexFunc(d.Sides[i].Code, func(c struct {
						Text    string `json:"text"`
						Current bool   `json:"current"`
					}) bool {
						return c.Current && strings.HasPrefix(c.Text, "syscall")
					})
					if current < 0 {
						t.Errorf("side %d: no call in %+v", i, d.Sides[i].Code)
					}
				}
				if d.Cause.Name != "address" || !strings.Contains(strings.Join(d.Cause.Evidence, " "), "object") {
					t.Errorf("cause %+v", d.Cause)
				}
			})
		}
	}
}

// TestBacktraceNames: functions have the names of their source, in a program that knows
// their lines and in one that does not.
func TestBacktraceNames(t *testing.T) {
	for _, flag := range []string{"-g", "-O1"} {
		shelf := threaded(t, "shelf"+flag, tool(t, "g++"), "-std=c++17", "-Wall", "-Wextra", "-Werror", flag, "-o", "OUT", "progs/shelf.cc")
		r, d := reported(t, Run{N: 2, Args: []string{shelf}, Flags: []string{"--policy", "comprehensive"}})
		names := []string{"shop::shelf<long>::innermost(int, char const*) const", "shop::outermost(shop::shelf<long> const&)", "main"}
		for i := range d.Sides {
			if !calledBy(&d, i, names) {
				t.Errorf("%s, side %d: %v", flag, i, functions(&d, i))
			}
		}
		for _, name := range names {
			if !strings.Contains(r.Stderr, name) {
				t.Errorf("%s: no %q in\n%s", flag, name, r.Stderr)
			}
		}
		if strings.Contains(r.Stderr, "_ZN") {
			t.Errorf("%s", r.Stderr)
		}
	}
}

// TestBacktraceOfALeaderThatHasGoneOn: where it made the call is known all the same.
func TestBacktraceOfALeaderThatHasGoneOn(t *testing.T) {
	_, d := reported(t, Run{N: 2, Args: []string{program(t, "trace", dynamic, "-g"), "plain"}})
	for i := range d.Sides {
		if !calledBy(&d, i, []string{"write"}) && !calledBy(&d, i, []string{"__write"}) {
			t.Errorf("side %d: %v", i, functions(&d, i))
		}
	}
	if !calledBy(&d, 1, []string{"innermost", "main"}) {
		t.Errorf("the variant: %v", functions(&d, 1))
	}
}

// TestReportsOfHostilePrograms: a report without a backtrace is one, too, and nobody
// waits for what has taken a file's place.
func TestReportsOfHostilePrograms(t *testing.T) {
	built, err := os.ReadFile(program(t, "trace", dynamic, "-g"))
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"replaced", "wild"} {
		t.Run(place, func(t *testing.T) {
			path := filepath.Join(scratch(t), "program")
			if err := os.WriteFile(path, built, 0o755); err != nil {
				t.Fatal(err)
			}
			r, d := reported(t, Run{N: 2, Args: []string{path, place, path}, Flags: []string{"--policy", "comprehensive"}})
			if d.Call != "write" || d.Cause.Name != "address" {
				t.Errorf("%s, %+v\n%s", d.Call, d.Cause, r)
			}
			for i := range d.Sides {
				if len(d.Sides[i].Frames) == 0 || calledBy(&d, i, []string{"main"}) && place == "replaced" {
					t.Errorf("side %d: %v", i, functions(&d, i))
				}
			}
		})
	}
}

// TestReportFitsItsSchema checks a report of a program against the published schema, and
// that the page says the same.
func TestReportFitsItsSchema(t *testing.T) {
	dir := scratch(t)
	page, path := filepath.Join(dir, "report.html"), filepath.Join(dir, "report.json")
	r := run(t, Run{
		N: 3, Args: []string{program(t, "trace", dynamic, "-g"), "plain"},
		Flags: []string{"--policy", "leak", "--report", path, "--report-html", page},
	})
	readReport(t, r, path)
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.NewCompiler().Compile("../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("%v\n%s", err, p)
	}
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<!DOCTYPE html>", "innermost", "Probable cause: address", "variant 2", "[[mask]]"} {
		if !bytes.Contains(html, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
	// Without a divergence there is neither.
	if r := run(t, Run{N: 2, Args: []string{"/bin/true"}, Flags: []string{"--report", path + "2", "--report-html", page + "2"}}); r.Status != 0 {
		t.Error(r)
	}
	for _, name := range []string{path + "2", page + "2"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is left behind", name)
		}
	}
}
