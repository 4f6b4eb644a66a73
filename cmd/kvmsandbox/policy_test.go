package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
	"github.com/multivar/multivar/libmultivar/tomlfile"
)

// policyCommand runs the sub-command.
func policyCommand(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	c := &command{stdout: &out, stderr: &errs}
	st := c.run(t.Context(), append([]string{"policy"}, args...), nil)
	return out.String(), errs.String(), st.code
}

func TestPolicyList(t *testing.T) {
	out, _, code := policyCommand(t, "list")
	if code != 0 {
		t.Errorf("status %d", code)
	}
	for _, name := range policy.Names() {
		if !strings.Contains("\n"+out, "\n"+name+" ") || policy.Summary(name) == "" {
			t.Errorf("list does not tell of %s:\n%s", name, out)
		}
	}
}

func TestPolicyShow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.toml")
	if err := os.WriteFile(file, []byte("inherits = \"nonsocket_rw\"\nwaits.read = \"never\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		policy.NonSocketRW: {`read = "socket"`, `mmap = "always"`, `getpid = "never"`},
		policy.Exec:        {`read = "never"`, `mmap = "executable"`, `execve = "always"`},
		file:               {`read = "never"`, `write = "socket"`},
	} {
		out, errs, code := policyCommand(t, "show", name)
		if code != 0 || errs != "" {
			t.Errorf("%s: status %d, %s", name, code, errs)
		}
		for _, line := range want {
			if !strings.Contains(out, "\n"+line+"\n") {
				t.Errorf("%s: no line %s in\n%s", name, line, out)
			}
		}
		for _, r := range sysabi.Rows() {
			if !strings.Contains(out, "\n"+r.Name+" = ") {
				t.Errorf("%s: nothing of %s", name, r.Name)
			}
		}
	}
}

func TestPolicyErrors(t *testing.T) {
	dir := t.TempDir()
	bad, large := filepath.Join(dir, "bad.toml"), filepath.Join(dir, "large.toml")
	for name, data := range map[string]string{
		bad: "inherits = \"exec\"\n[waits]\nreed = \"never\"\n", large: strings.Repeat("#", tomlfile.MaxSize+1),
	} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "policy --help"},
		{[]string{"show"}, "policy --help"},
		{[]string{"show", "a", "b"}, "policy --help"},
		{[]string{"shew", "exec"}, "policy --help"},
		{[]string{"list", "exec"}, "policy --help"},
		{[]string{"show", "execs"}, `unknown policy "execs"`},
		{[]string{"show", filepath.Join(dir, "absent.toml")}, "absent.toml: no such file"},
		{[]string{"show", dir + "/"}, "directory"},
		{[]string{"show", bad}, bad + `: line 3: unknown call "reed"`},
		{[]string{"show", large}, "at most"},
	} {
		out, errs, code := policyCommand(t, tc.args...)
		if code != statusFailed || out != "" || !strings.Contains(errs, tc.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: status %d, %q, want one line with %q", tc.args, code, errs, tc.want)
		}
	}
	if out, _, code := policyCommand(t, "--help"); code != 0 || out != policyUsage() {
		t.Errorf("--help: status %d, %q", code, out)
	}
}

// docsBlocks returns the TOML blocks of docs/policies.md.
func docsBlocks(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, part := range strings.Split(string(text), "```toml\n")[1:] {
		block, _, ok := strings.Cut(part, "```")
		if !ok {
			t.Fatal("docs/policies.md has a block without an end")
		}
		blocks = append(blocks, block)
	}
	return blocks
}

func TestPolicyOfTheDocs(t *testing.T) {
	n := 0
	for _, block := range docsBlocks(t) {
		if !strings.HasPrefix(block, "# A policy") {
			continue
		}
		n++
		p, err := policy.Parse("docs", []byte(block))
		if err != nil {
			t.Errorf("%v in\n%s", err, block)
			continue
		}
		row, _ := sysabi.ByName("write")
		if d := p.Decision(row); d != policy.Sockets {
			t.Errorf("write waits %v", d)
		}
	}
	if n == 0 {
		t.Error("docs/policies.md shows no policy")
	}
	text, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range policy.Names() {
		if !strings.Contains(string(text), "| `"+name+"` ") {
			t.Errorf("docs/policies.md does not explain %s", name)
		}
	}
}
