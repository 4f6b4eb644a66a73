//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hostile are the programs that misuse the system. Each ends with one byte that
// a build with MUT=1 writes differently; see hostile.h.
var hostile = []string{
	"hostile_children", "hostile_code", "hostile_exec", "hostile_flags", "hostile_host",
	"hostile_instructions", "hostile_io", "hostile_limits", "hostile_lost", "hostile_memory", "hostile_numbers", "hostile_process", "hostile_random", "hostile_segments", "hostile_signals", "hostile_stack",
}

// reachesHost are the programs that touch what could be a monitor's memory, which they do
// not with a second argument.
var reachesHost = []string{"hostile_host", "hostile_instructions"}

// hostileArgs are a hostile program and its arguments. Where it has the variant host's
// memory in reach, it is another test's business what comes of touching that.
func hostileArgs(t *testing.T, name, dir string) []string {
	t.Helper()
	args := []string{program(t, name, dynamic), dir}
	if frontEnd == "inproc" && slices.Contains(reachesHost, name) {
		args = append(args, "reachable")
	}
	return args
}

// TestHostile runs hostile programs natively and as variants: they and what they
// leave are the same, the monitor survives them.
func TestHostile(t *testing.T) {
	t.Parallel()
	for i, name := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Case{Args: hostileArgs(t, name, "DIR")}.same(t, Run{}, someVariants(i)...)
		})
	}
}

// TestHostileCaught runs hostile programs with a follower whose last write differs
// in one byte: nothing that the program did before keeps that from being caught.
func TestHostileCaught(t *testing.T) {
	t.Parallel()
	for i, name := range hostile {
		if testing.Short() && i%2 == 0 {
			continue
		}
		for _, policy := range inTurn(i, "exec", "comprehensive") {
			t.Run(name+"/"+policy, func(t *testing.T) {
				t.Parallel()
				report := filepath.Join(scratch(t), "report.json")
				r := run(t, Run{
					N:    2,
					Args: hostileArgs(t, name, scratch(t)),
					Flags: []string{
						"--policy", policy, "--report", report,
						"--variant", fmt.Sprintf("1=%s", program(t, name, dynamic, "MUT=1")),
					},
				})
				if d := readReport(t, r, report); d.Variant != 1 || d.Call != "write" || d.Argument != "buf" {
					t.Errorf("report %+v\n%s", d, r)
				}
			})
		}
	}
}

// TestForgedReadings has the leader claim that a clock has told it an address. No follower believes
// it, and so they do something else. Where clocks are not read by code of the monitor's there is
// nothing to claim.
func TestForgedReadings(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{"code", "disjoint"} {
		r := run(t, Run{N: 2, Args: []string{program(t, "forged", dynamic)}, Flags: []string{"--layout", layout, "--policy", "leak"}})
		caught := r.Status == 86 && r.Stdout == "" && strings.Contains(r.Stderr, "divergence: variant 1 calls clock_gettime")
		if frontEnd != "ptrace" {
			caught = r.Status == 0 && r.Stdout == "no vDSO\n"
		}
		if !caught {
			t.Errorf("--layout %s: %s", layout, r)
		}
	}
}

// TestHangBeforeReading has a follower compute for ever where its leader has read a clock, while another
// thread wants its turn: it hangs, and does not hold up everybody.
func TestHangBeforeReading(t *testing.T) {
	t.Parallel()
	report := filepath.Join(scratch(t), "report.json")
	r := run(t, Run{N: 2, Args: []string{program(t, "late_reading", dynamic)}, Flags: []string{
		"--hang-timeout", "1s", "--report", report, "--variant", "1=" + program(t, "late_reading", dynamic, "LATE=1"),
	}})
	if d := readReport(t, r, report); d.Kind != "hang" || d.Variant != 1 {
		t.Errorf("report %+v\n%s", d, r)
	}
}

// TestLimitsSpareMonitor lets a program lower limits of its parent, which is the
// monitor: refused, and the monitor still has what it needs.
func TestLimitsSpareMonitor(t *testing.T) {
	script := `for l in nofile as nproc fsize cpu; do ` + tool(t, "prlimit") + ` --pid $PPID --$l=1 2>&1 | grep -c 'not permitted'; done; ls / | cat >/dev/null && echo fine`
	for _, n := range []int{1, 2} {
		for _, pids := range []string{"leader", "1"} {
			r := run(t, Run{N: n, Flags: []string{"--pids", pids}, Args: []string{tool(t, "sh"), "-c", script}})
			if r.Status != 0 || r.Stdout != strings.Repeat("1\n", 5)+"fine\n" {
				t.Errorf("N=%d, --pids %s: %s", n, pids, r)
			}
		}
	}
}

// TestRefusedPrograms executes, as an ordinary user, programs that variants are
// refused: one that gains privileges, one that may not be read, one of 32 bits.
// All answer at once and the caller goes on; what is no program env(1) gives to
// the shell.
func TestRefusedPrograms(t *testing.T) {
	needRoot(t, "to make files of others")
	const class32, i386 = 1, 3
	for _, p := range []struct {
		name   string
		mode   os.FileMode
		text   string
		status int
	}{
		{"privileged", 0o755 | os.ModeSetuid, "", 126},
		{"group", 0o755 | os.ModeSetgid, "", 126},
		{"unreadable", 0o711, "", 126},
		{"bits32", 0o755, elfHeader(class32, i386) + strings.Repeat("\x00", 200), 127},
		{"plain", 0o755, "", 0},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			dir := scratch(t)
			text := p.text
			if text == "" {
				b, err := os.ReadFile(tool(t, "true"))
				if err != nil {
					t.Fatal(err)
				}
				text = string(b)
			}
			withFiles(map[string]string{"program": text})(t, dir)
			path := filepath.Join(dir, "program")
			if err := os.Chmod(path, p.mode); err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{1, 2} {
				r := run(t, Run{N: n, Dir: dir, As: nobody, Args: []string{tool(t, "sh"), "-c", "env " + path + "; echo $?"}})
				if r.Status != 0 || r.Stdout != fmt.Sprintf("%d\n", p.status) {
					t.Errorf("N=%d: want %d: %s", n, p.status, r)
				}
			}
		})
	}
}
