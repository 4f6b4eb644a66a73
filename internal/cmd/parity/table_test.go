package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const results = `{"Action":"run","Test":"TestProgs/a/dynamic/N=2"}
some program's output
{"Action":"pass","Test":"TestProgs/a/dynamic/N=2"}
{"Action":"fail","Test":"TestProgs/b/dynamic/N=2"}
{"Action":"pass","Test":"TestProgs/b/static/N=2"}
{"Action":"skip","Test":"TestProgs/c"}
{"Action":"pass","Test":"TestAlone"}
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
| Progs/a | yes | yes |
| Progs/b | no | yes |
| Progs/c | - | - |
`
	if d := cmp.Diff(want, tab.markdown()); d != "" {
		t.Error(d)
	}
}

func TestLost(t *testing.T) {
	before := "| scenario | ptrace | kvm |\n|---|---|---|\n| Progs/a | yes | yes |\n| Progs/b | yes | no |\n| Progs/z | yes | yes |\n"
	tab := newTable()
	if err := tab.add("ptrace", strings.NewReader(results)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"Progs/b on ptrace"}, tab.lost(before)); d != "" {
		t.Error(d)
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
