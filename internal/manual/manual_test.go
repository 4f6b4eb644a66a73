package manual_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/multivar/multivar/internal/lacks"
	"github.com/multivar/multivar/internal/manual"
	"github.com/multivar/multivar/libmultivar/policy"
)

func TestUsage(t *testing.T) {
	for _, c := range []manual.Command{manual.Kvmsandbox(), manual.Doctor()} {
		usage := c.Usage()
		for line := range strings.Lines(usage) {
			if len(line) > 80 || strings.TrimRight(line, " \n")+"\n" != line {
				t.Errorf("line of %d bytes: %q", len(line), line)
			}
		}
		for i := range c.Flags {
			if !strings.Contains(usage, "\n  "+c.Flags[i].Dashed()) {
				t.Errorf("no %s in\n%s", c.Flags[i].Dashed(), usage)
			}
		}
	}
}

// Everything has all flags.
func TestGeneratedHaveTheFlags(t *testing.T) {
	command, doctor, policies := manual.Kvmsandbox(), manual.Doctor(), manual.Policy()
	page := strings.ReplaceAll(manual.Page(command, doctor, policies), `\-`, "-")
	for name, text := range map[string]string{
		"page": page, "bash": manual.Bash(command, doctor, policies), "zsh": manual.Zsh(command, doctor, policies), "fish": manual.Fish(command, doctor, policies),
	} {
		for _, c := range []manual.Command{command, doctor, policies} {
			for i := range c.Flags {
				f := &c.Flags[i]
				want := f.Dashed()
				if name == "fish" {
					want = map[bool]string{true: "-s ", false: "-l "}[len(f.Name) == 1] + f.Name
				}
				if !strings.Contains(text, want) {
					t.Errorf("%s: no %s", name, want)
				}
			}
		}
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "'") {
			t.Errorf("the page has a line that roff takes for a command: %q", line)
		}
	}
}

// The manual page has no errors, as far as groff sees.
func TestPageFormats(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		new(lacks.Counter).End(t, "groff", "")
	}
	cmd := exec.Command(groff, "-man", "-ww", "-Tascii", "-z")
	cmd.Stdin = strings.NewReader(manual.Page(manual.Kvmsandbox(), manual.Doctor()))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// Bash completes flags, their values, and the program's arguments.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		new(lacks.Counter).End(t, "bash", "")
	}
	script := manual.Bash(manual.Kvmsandbox(), manual.Doctor()) + `
try() {
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	_kvmsandbox
	printf '%s\n' "${COMPREPLY[*]}"
}
try kvmsandbox --fron
try kvmsandbox --policy ''
try kvmsandbox -n 2 --pids lea
try kvmsandbox doct
try kvmsandbox doctor --j
try kvmsandbox --report /et
try kvmsandbox -n 2 ls --fron
`
	out, err := exec.Command(bash, "--norc", "--noprofile", "-c", script).CombinedOutput()
	want := "--frontend\n" + strings.Join(policy.Names(), " ") + "\nleader\ndoctor\n--json\n/etc\n\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}
