//go:build linux

package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parent is a variable that makes this test program one that runs a machine, and
// is killed: the fake emulator to use.
const parent = "MACHINE_TEST_PARENT"

func TestMain(m *testing.M) {
	if emulator := os.Getenv(parent); emulator != "" {
		cfg := fake(filepath.Dir(emulator), emulator)
		_, err := Run(context.Background(), cfg)
		fmt.Println("not killed:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// fake is a machine that is only a script in place of the emulator.
func fake(dir, emulator string) Config {
	return Config{Kind: SVM(), Kernel: dir, Init: emulator, Emulator: emulator, Commands: []Command{{Args: []string{"a"}}, {Args: []string{"b"}}}}
}

// emulator writes such a script, and a kernel.
func emulator(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "emulator")
	for name, text := range map[string]string{path: "#!/bin/sh\n" + script, filepath.Join(dir, "vmlinuz"): ""} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestRun(t *testing.T) {
	const first, second = `machine {"Result":{"Status":3,"Stdout":"aGk="}}`, `machine {"Result":{"Status":-1,"Signal":11,"TimedOut":true}}`
	for _, c := range []struct {
		name, script string
		results      int
		says         string
	}{
		{"all", `echo 'machine {"Booted":true}'; echo '` + first + `'; printf '%s\r\n' '` + second + `'`, 2, ""},
		{"noise", `echo firmware; echo '` + first + `'; echo 'machin'; echo '` + second + `'; exit 1`, 2, ""},
		{"ends early", `echo '` + first + `'; echo 'Kernel panic' >&2`, 1, "after 1 of 2 commands: it was switched off; its last words:\nKernel panic"},
		{"dies", `echo gone >&2; kill -9 $$`, 0, "signal: killed; its last words:\ngone"},
		{"fails", `echo 'machine {"Failure":"load kvm: no"}'`, 0, "machine: load kvm: no"},
		{"nonsense", `echo 'machine {'; echo '` + first + `'`, 0, "message of the machine"},
		{"hangs", `echo '` + first + `'; exec sleep 1000`, 1, "1 of 2 commands: enough"},
		{"tells nothing more", `echo '` + first + `'; while echo noise; do sleep 0.1; done`, 1, "1 of 2 commands: it told nothing for 2s"},
		{"takes long", `sleep 1.5; echo '` + first + `'; sleep 1.5; echo '` + second + `'`, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := emulator(t, c.script)
			cfg := fake(filepath.Dir(path), path)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			told, booted := 0, false
			if c.name == "tells nothing more" || c.name == "takes long" {
				cfg.Patience = 2 * time.Second
			}
			cfg.Booted = func(time.Duration) { booted = true }
			cfg.Done = func(i int, r Result) {
				if i != told || i == 0 && (r.Status != 3 || string(r.Stdout) != "hi") || i == 1 && (r.Signal != syscall.SIGSEGV || !r.TimedOut) {
					t.Errorf("result %d is %+v", i, r)
				}
				told++
				if c.name == "hangs" {
					cancel(errors.New("enough"))
				}
			}
			results, err := Run(ctx, cfg)
			if len(results) != c.results || told != c.results {
				t.Errorf("%d results, %d were told of; want %d", len(results), told, c.results)
			}
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one with %q", err, c.says)
			}
			if booted != (c.name == "all") {
				t.Errorf("booted: %t", booted)
			}
		})
	}
}

func TestRunLacks(t *testing.T) {
	path := emulator(t, "")
	dir := filepath.Dir(path)
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		change  func(*Config)
		missing bool
		says    string
	}{
		{"emulator", func(c *Config) { c.Emulator = "no-such-emulator" }, true, "no-such-emulator"},
		{"kernel", func(c *Config) { c.Kernel = dir + "/none" }, true, "vmlinuz"},
		{"init", func(c *Config) { c.Init = dir + "/none" }, false, "none"},
		{"file", func(c *Config) { c.Files = map[string]string{"/x": dir} }, false, "machine's files"},
		{"dynamic program", func(c *Config) { c.Files = map[string]string{"/x": data, "/y": "/bin/ls"} }, false, "/bin/ls needs shared libraries"},
	} {
		cfg := fake(dir, path)
		c.change(&cfg)
		_, err := Run(t.Context(), cfg)
		if err == nil || errors.Is(err, ErrMissing) != c.missing || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.says)
		}
	}
}

// The emulator dies with the process that started it.
func TestParentDies(t *testing.T) {
	path := emulator(t, `echo $$ >"$(dirname "$0")/pid.tmp"; mv "$(dirname "$0")/pid.tmp" "$(dirname "$0")/pid"; exec sleep 1000`)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parent+"="+path)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pid := 0
	wait(t, "the emulator", func() bool {
		p, err := os.ReadFile(filepath.Join(filepath.Dir(path), "pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(p)))
		return err == nil
	})
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("emulator %d: %v; %s", pid, err, out.String())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(t, "the emulator's end", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z "))
	})
}

func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

// The archive is read back: alignment, directories before what is in them, trailer.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/prog", []byte("12345"), 0o755); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	a := newArchive(&b)
	a.directory("tmp", 0o1777)
	a.bytes("/etc/x/y", 0o644, []byte("abc"))
	a.link("bin/sh", "busybox")
	a.file("bin/prog", dir+"/prog")
	a.directory("/tmp", 0o755)
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	got := ""
	for r := bytes.NewReader(b.Bytes()); ; {
		name, mode, content := entry(t, r)
		if name == "TRAILER!!!" {
			if r.Len() != 0 {
				t.Errorf("%d bytes behind the trailer", r.Len())
			}
			break
		}
		got += fmt.Sprintf("%s %o %s\n", name, mode, content)
	}
	const want = "tmp 41777 \netc 40755 \netc/x 40755 \netc/x/y 100644 abc\nbin 40755 \nbin/sh 120777 busybox\nbin/prog 100755 12345\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	a = newArchive(io.Discard)
	a.file("x", dir+"/none")
	if err := a.close(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// entry reads an entry of an archive.
func entry(t *testing.T, r *bytes.Reader) (name string, mode uint64, content []byte) {
	t.Helper()
	take := func(n int64) []byte {
		p := make([]byte, n)
		if _, err := io.ReadFull(r, p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	align := func() { take(-(r.Size() - int64(r.Len())) & 3) }
	head := take(110)
	if string(head[:6]) != "070701" {
		t.Fatalf("header %q", head)
	}
	field := func(i int) int64 {
		v, err := strconv.ParseUint(string(head[6+8*i:14+8*i]), 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		return int64(v)
	}
	name = strings.TrimSuffix(string(take(field(11))), "\x00")
	align()
	content = take(field(6))
	align()
	return name, uint64(field(1)), content
}

func TestTail(t *testing.T) {
	var next bytes.Buffer
	l := &tail{next: &next}
	for i := range 3000 {
		fmt.Fprintf(l, "%d\n", i)
	}
	if text := l.text(); len(text) > 4000 || !strings.HasSuffix(text, "\n2998\n2999") || next.Len() < 10000 {
		t.Errorf("%d bytes, %d handed on: ...%s", len(text), next.Len(), text[max(len(text)-20, 0):])
	}
}

// Nothing of what a machine's processes may do is done elsewhere.
func TestNotInside(t *testing.T) {
	if Inside() {
		t.Fatal("Inside")
	}
	if err := killAll(); err != syscall.EPERM {
		t.Fatalf("killAll: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Init went on")
		}
	}()
	Init()
}

// Commands are run on this host as far as they need no machine.
func TestCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sub")
	r := (&Command{Args: []string{"/bin/sh", "-c", "pwd; cat; echo $V >&2; exit 7"}, Stdin: []byte("in\n"), Env: []string{"V=v"}, Dir: dir}).run()
	if string(r.Stdout) != dir+"\nin\n" || string(r.Stderr) != "v\n" || r.Status != 7 || r.Signal != 0 || r.TimedOut || r.Err != "" {
		t.Errorf("%+v", r)
	}
	r = (&Command{Args: []string{"/bin/sh", "-c", "kill -11 $$"}, Dir: dir}).run()
	if r.Status != -1 || r.Signal != syscall.SIGSEGV {
		t.Errorf("%+v", r)
	}
	if r = (&Command{Args: []string{"/none"}, Dir: dir}).run(); r.Err == "" || r.Status != -1 {
		t.Errorf("%+v", r)
	}
	if r = (&Command{Dir: dir}).run(); r.Err == "" {
		t.Errorf("%+v", r)
	}
	var l limited
	if n, err := l.Write(make([]byte, maxOutput+5)); n != maxOutput+5 || err != nil || l.Len() != maxOutput {
		t.Errorf("%d, %v; %d kept", n, err, l.Len())
	}
}
