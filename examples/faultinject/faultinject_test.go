//go:build linux && amd64

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/fronts"
	"github.com/multivar/multivar/libmultivar"
)

// tests counts what the machine lacks.
var tests fronts.Tests

func TestMain(m *testing.M) { os.Exit(tests.Main(m)) }

// noise returns n bytes that are no pattern.
func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

// outcome is what a run shows.
type outcome struct {
	out, err string
	status   int
}

// natively runs a command as it is.
func natively(t *testing.T, input string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// asVariants runs a command under hooks.
func asVariants(t *testing.T, fe frontend.FrontEnd, variants int, h libmultivar.Hooks, input string, args ...string) outcome {
	t.Helper()
	files := fronts.NewFiles(t, input)
	status, err := run(t.Context(), fe, variants, h, files.List(), args...)
	if err != nil {
		t.Fatalf("%d variants: %v", variants, err)
	}
	out, errs := files.Output(t)
	return outcome{out, errs, status}
}

// inject returns an injector.
func inject(t *testing.T, f faults) *injector {
	t.Helper()
	f.spare = strings.Split(defaultSpare, ":")
	in, err := newInjector(f)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// Programs that are right with short reads and interrupted calls do what they do without,
// in any number of variants.
func TestProgramsCope(t *testing.T) {
	dir := t.TempDir()
	data := noise(60_000)
	if err := os.WriteFile(filepath.Join(dir, "data"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	const copies = `import os, sys, threading
def work(i):
    with open(sys.argv[1], "rb") as f, open("%s.%d" % (sys.argv[2], i), "wb") as g:
        while chunk := f.read(10000): g.write(chunk)
ts = [threading.Thread(target=work, args=(i,)) for i in range(3)]
for t in ts: t.start()
for t in ts: t.join()
with open(sys.argv[2], "wb") as out:
    for i in range(3):
        with open("%s.%d" % (sys.argv[2], i), "rb") as f: out.write(f.read())
`
	for _, tc := range []struct {
		name string
		tool string
		// args make the file at "to" of the one at "from", want is what it holds.
		args func(from, to string) []string
		want []byte
		// alike is true when what happens does not depend on when processes run, firm when the
		// program bears interrupted calls.
		alike, firm bool
	}{
		{"cp", "cp", func(from, to string) []string {
			return []string{"sh", "-c", `for i in 1 2 3 4 5 6 7 8; do cp "$0" "$1" || exit; done`, from, to}
		}, data, true, true},
		{"dd", "dd", func(from, to string) []string {
			return []string{"dd", "if=" + from, "of=" + to, "bs=5000", "iflag=fullblock", "status=noxfer"}
		}, data, true, true},
		{"cat", "cat", func(from, to string) []string {
			return []string{"sh", "-c", `cat "$0" | cat | cat | cat | cat | cat | cat >"$1"`, from, to}
		}, data, false, true},
		{"tar", "tar", func(from, to string) []string {
			return []string{"sh", "-c", `mkdir "$1.d" && tar -B -C "$1.d" -xf "$0.tar" && mv "$1.d/data" "$1"`, from, to}
		}, data, false, false},
		{"python threads", "python3", func(from, to string) []string {
			return []string{"python3", "-c", copies, from, to}
		}, bytes.Repeat(data, 3), false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tests.Tool(t, tc.tool)
			from := filepath.Join(dir, "data")
			if tc.tool == "tar" {
				natively(t, "", "tar", "-C", dir, "-cf", from+".tar", "data")
			}
			native := natively(t, "", tc.args(from, filepath.Join(t.TempDir(), "to"))...)
			if native.status != 0 {
				t.Fatalf("natively %+v", native)
			}
			var first *tally
			tests.Each(t, func(t *testing.T, fe frontend.FrontEnd) {
				for _, variants := range []int{1, 2, 3} {
					to := filepath.Join(t.TempDir(), "to")
					f := faults{shortRead: 0.4, enospcAfter: -1, seed: 7}
					if tc.firm {
						f.eintr = 0.2
					}
					in := inject(t, f)
					got := asVariants(t, fe, variants, in.hooks(), "", tc.args(from, to)...)
					if got != native {
						t.Errorf("%d variants: %+v, natively %+v", variants, got, native)
					}
					if p, err := os.ReadFile(to); err != nil || !bytes.Equal(p, tc.want) {
						t.Errorf("%d variants: %d bytes of another content, %v", variants, len(p), err)
					}
					if in.done.short == 0 || tc.firm && in.done.interrupted == 0 {
						t.Errorf("%d variants: %s", variants, in.done)
					}
					if first == nil {
						first = &in.done
					}
					if tc.alike && in.done != *first {
						t.Errorf("%d variants: %s; before there were %s", variants, in.done, *first)
					}
				}
			})
		})
	}
}

// every returns hooks that fail every step-th call of a thread with a name from its
// first-th on, as the option inject of strace(1) does.
func every(name string, errno syscall.Errno, first, step int) libmultivar.Hooks {
	made := map[uint32]int{}
	return libmultivar.Hooks{Calls: []string{name}, OnCall: func(c *libmultivar.Call) libmultivar.Verdict {
		made[c.Thread]++
		if n := made[c.Thread] - first; n >= 0 && n%step == 0 {
			return libmultivar.Fail(int(errno))
		}
		return libmultivar.GoOn()
	}}
}

// What variants show of faults is what the program shows natively of the same faults, which
// strace puts there.
func TestSameAsNatively(t *testing.T) {
	strace := tests.Tool(t, "strace")
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	if err := os.WriteFile(from, noise(9000), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "to")
	for _, tc := range []struct {
		name, call  string
		errno       syscall.Errno
		errnoName   string
		first, step int
		args        []string
		// shows is what has to be seen of it.
		shows string
	}{
		// The dynamic loader's reads come first.
		{"a program that tells of it", "read", syscall.EINTR, "EINTR", 40, 3,
			[]string{"perl", "-e", `for (1..90) { my $n = sysread(STDIN, my $b, 7); print defined $n ? "$n $b\n" : "$!\n" }`}, "Interrupted system call"},
		{"dd goes on", "read", syscall.EINTR, "EINTR", 4, 2, []string{"dd", "if=" + from, "of=" + to, "bs=1000", "status=noxfer"}, "9+0 records in"},
		{"dd and a full disk", "write", syscall.ENOSPC, "ENOSPC", 3, 1000, []string{"dd", "if=" + from, "of=" + to, "bs=1000", "status=noxfer"}, "No space left on device"},
		{"cp and a full disk", "copy_file_range", syscall.ENOSPC, "ENOSPC", 1, 1, []string{"cp", from, to}, "No space left on device"},
		{"an interrupted write", "write", syscall.EINTR, "EINTR", 1, 2, []string{"python3", "-c", `import os
for i in range(20): os.write(1, b"%d\n" % i)`}, "19\n"},
		{"no more processes", "vfork", syscall.EAGAIN, "EAGAIN", 3, 1000, []string{"sh", "-c", "cat /dev/null; cat /dev/null; cat /dev/null; echo on"}, "fork"},
		{"no more threads", "clone3", syscall.EAGAIN, "EAGAIN", 2, 1000, []string{"python3", "-c", `import threading
ts = [threading.Thread(target=lambda: None) for i in range(3)]
for t in ts:
    try: t.start()
    except RuntimeError as e: print(e)
    else: t.join()`}, "start new thread"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tests.Tool(t, tc.args[0])
			input := strings.Repeat("0123456789", 100)
			inject := fmt.Sprintf("inject=%s:error=%s:when=%d+%d", tc.call, tc.errnoName, tc.first, tc.step)
			native := natively(t, input, append([]string{strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace=" + tc.call, "-e", inject}, tc.args...)...)
			if !strings.Contains(native.out+native.err, tc.shows) {
				t.Fatalf("natively %+v, which does not show %q", native, tc.shows)
			}
			tests.Each(t, func(t *testing.T, fe frontend.FrontEnd) {
				for _, variants := range []int{2, 3} {
					got := asVariants(t, fe, variants, every(tc.call, tc.errno, tc.first, tc.step), input, tc.args...)
					if got != native {
						t.Errorf("%d variants: %+v, natively %+v", variants, got, native)
					}
				}
			})
		})
	}
}

// A disk is full when as many bytes are on it as fit: the last write is cut short, the next
// one fails, in all variants.
func TestFullDisk(t *testing.T) {
	tests.Tool(t, "dd")
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	data := noise(9000)
	if err := os.WriteFile(from, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{`dd if="$0" of="$1" bs=2000 status=none`, `cp "$0" "$1"`, `cat "$0" >"$1"`,
		`python3 -c 'import os,sys
f = os.open(sys.argv[2], os.O_WRONLY|os.O_CREAT)
p = open(sys.argv[1], "rb").read()
n = os.writev(f, [p[:0], p[:3000], p[3000:]])
n += os.writev(f, [p[n:8000], p[8000:]])
os.write(f, p[n:])' "$0" "$1"`} {
		tests.Each(t, func(t *testing.T, fe frontend.FrontEnd) {
			for _, variants := range []int{2, 3} {
				to := filepath.Join(t.TempDir(), "to")
				in := inject(t, faults{enospcAfter: 5000})
				got := asVariants(t, fe, variants, in.hooks(), "", "sh", "-c", script, from, to)
				if got.status == 0 || !strings.Contains(got.err, "No space left on device") {
					t.Errorf("%s: %+v", script, got)
				}
				if p, err := os.ReadFile(to); err != nil || !bytes.Equal(p, data[:5000]) {
					t.Errorf("%s: %d bytes on the disk, %v; want the first 5000", script, len(p), err)
				}
				if in.left != 0 || in.done.full == 0 {
					t.Errorf("%s: %d bytes left, %s", script, in.left, in.done)
				}
			}
		})
	}
}

func TestProbabilities(t *testing.T) {
	for _, f := range []faults{{eintr: -0.1}, {eintr: 1}, {shortRead: 1.1}} {
		if _, err := newInjector(f); err == nil {
			t.Errorf("%+v is accepted", f)
		}
	}
}
