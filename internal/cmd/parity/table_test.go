package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const results = `{"Action":"run","Test":"TestProgs/a/dynamic/N=2"}
some program's output
{"Action":"pass","Test":"TestProgs/a/dynamic/N=2"}
{"Action":"output","Test":"TestProgs/b/dynamic/N=2","Output":"what it says\n"}
{"Action":"fail","Test":"TestProgs/b/dynamic/N=2"}
{"Action":"pass","Test":"TestProgs/b/static/N=2"}
{"Action":"output","Test":"TestProgs/c","Output":"MISSING: a tool\n"}
{"Action":"skip","Test":"TestProgs/c"}
{"Action":"pass","Test":"TestAlone"}
{"Action":"fail","Test":"TestProgs"}
{"Action":"output","Test":"TestProgs/d","Output":"pass"}
`

func TestMarkdown(t *testing.T) {
	tab := newTable()
	if err := tab.add("ptrace", strings.NewReader(results)); err != nil {
		t.Fatal(err)
	}
	if err := tab.add("kvm", strings.NewReader(strings.ReplaceAll(results, "fail", "pass"))); err != nil {
		t.Fatal(err)
	}
	want := head + `
| scenario | ptrace | kvm |
|---|---|---|
| Alone | yes | yes |
| Progs/a | yes | yes |
| Progs/b | no | yes |
| Progs/c | - | - |
`
	if d := cmp.Diff(want, tab.markdown()); d != "" {
		t.Error(d)
	}
}

// What has no new result stays: of a front-end, and of a scenario.
func TestKeep(t *testing.T) {
	tab := newTable()
	if err := tab.add("kvm", strings.NewReader(results)); err != nil {
		t.Fatal(err)
	}
	if err := tab.add("inproc", strings.NewReader(`{"Action":"pass","Test":"TestAlone"}`+"\n"+`{"Action":"pass","Test":"TestPipe/a_|_b"}`)); err != nil {
		t.Fatal(err)
	}
	tab.keep(head + "\n| scenario | ptrace | kvm |\n|---|---|---|\n| Alone | no | no |\n| Gone | yes | yes |\n| Progs/c | - |  |\n")
	want := head + `
| scenario | ptrace | kvm | inproc |
|---|---|---|---|
| Alone | no | yes | yes |
| Gone | yes | yes |  |
| Pipe/a_&#124;_b |  |  | yes |
| Progs/a |  | yes |  |
| Progs/b |  | no |  |
| Progs/c | - | - |  |
`
	if d := cmp.Diff(want, tab.markdown()); d != "" {
		t.Error(d)
	}
	if _, known := parse(want); known[failure{"Pipe/a_|_b", "inproc"}] != "yes" {
		t.Errorf("parsed %v", known)
	}
}

func TestLost(t *testing.T) {
	tab := newTable()
	if err := tab.add("ptrace", strings.NewReader(results)); err != nil {
		t.Fatal(err)
	}
	const head = "| scenario | ptrace | kvm |\n|---|---|---|\n| Progs/a | yes | yes |\n| Progs/z | yes | yes |\n"
	for before, want := range map[string][]failure{
		head + "| Progs/b | yes | no |\n": {{"Progs/b", "ptrace"}},
		head + "| Progs/b | no | no |\n":  nil,
		// What is new has to work.
		head: {{"Progs/b", "ptrace"}},
	} {
		if got := tab.lost(before); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", before, got, want)
		}
	}
	if got := tab.failures[failure{"Progs/b", "ptrace"}]; got != "what it says\n" {
		t.Errorf("what failed has printed %q", got)
	}
	if got := strings.Join(tab.missing, ""); got != "MISSING: a tool\n" {
		t.Errorf("missing: %q", got)
	}
	if got := tab.count("ptrace"); got != "2 passed, 1 failed, 1 skipped" {
		t.Error(got)
	}
}

// A run that was broken off has no results of tests that were under way.
func TestBroken(t *testing.T) {
	tab := newTable()
	broken := `{"Action":"run","Test":"TestProgs/a"}
{"Action":"output","Package":"p","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}
`
	if err := tab.add("kvm", strings.NewReader(broken)); err != nil {
		t.Fatal(err)
	}
	want := []failure{{wholeRun, "kvm"}}
	if got := tab.lost(""); !slices.Equal(got, want) || tab.failures[want[0]] != "panic: test timed out\n" {
		t.Errorf("%v, %q", got, tab.failures)
	}
}

func TestSameFrontEndTwice(t *testing.T) {
	tab := newTable()
	if err := tab.add("kvm", strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	if tab.add("kvm", strings.NewReader("")) == nil {
		t.Error("the second results were taken")
	}
}
