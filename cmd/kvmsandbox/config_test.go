package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/rule"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

func TestRulesOption(t *testing.T) {
	dir := t.TempDir()
	file := func(name, data string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", "[[extra]]\nname = \"a\"\nin = 2\ncalls = [\"uname\"]\n")
	bad := file("bad", "[[extra]]\nname = \"a\"\nin = 2\ncalls = [\"unlink\"]\n")
	o, err := parseOptions([]string{"-n", "3", "--rules", good, "ls"}, nil)
	if err != nil || len(o.rules.Names()) != 1 {
		t.Errorf("rules %v, error %v", o.rules.Names(), err)
	}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"-n", "2", "--rules", good, "ls"}, good + `: rule "a" names variant 2`},
		{[]string{"-n", "3", "--rules", bad, "ls"}, bad + ": line 4: unlink is not harmless"},
		{[]string{"--rules", filepath.Join(dir, "absent"), "ls"}, "no such file"},
		{[]string{"--rules", "", "ls"}, "--rules needs the name of a file"},
	} {
		if _, err := parseOptions(tc.args, nil); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want one with %q", tc.args, err, tc.want)
		}
	}
}

// With -v the end says which rules were used and how often.
func TestRuleUsesAreTold(t *testing.T) {
	h := newHarness()
	h.eng.uses = []rule.Use{{Name: "log stamp", Times: 3}, {Name: "idle"}}
	h.do("-v", "true")
	for _, want := range []string{`name="log stamp" used=3`, "name=idle used=0"} {
		if !strings.Contains(h.stderr.String(), want) {
			t.Errorf("standard error does not say %s:\n%s", want, h.stderr.String())
		}
	}
	h = newHarness()
	h.eng.uses = []rule.Use{{Name: "log stamp", Times: 3}}
	h.do("true")
	if h.stderr.Len() > 0 {
		t.Errorf("without -v: %s", h.stderr.String())
	}
}

func TestRulesOfTheDocs(t *testing.T) {
	n := 0
	for _, block := range docsBlocks(t) {
		if !strings.HasPrefix(block, "# Rules") {
			continue
		}
		n++
		if _, err := rule.Parse([]byte(block)); err != nil {
			t.Errorf("%v in\n%s", err, block)
		}
	}
	if n == 0 {
		t.Error("docs/policies.md shows no rules")
	}
	text, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, extra, _ := strings.Cut(string(text), "### Extra calls")
	for _, r := range sysabi.Rows() {
		if named := strings.Contains(extra, "`"+r.Name+"`"); named != (r.Alone != sysabi.NotAlone) {
			t.Errorf("docs/policies.md names %s as harmless: %v", r.Name, named)
		}
	}
}
