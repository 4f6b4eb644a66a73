package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
)

// A front-end that is not heard of is told of, and given up when there is no reason for it to wait,
// or after a long time. One that is heard of now and then, or whose monitor takes its time, is not.
func TestPulse(t *testing.T) {
	var p pulse
	var told, given []string
	held := ""
	v := &vigil{
		pulse: &p, limit: 3, patience: 30,
		held:   func() string { return held },
		tell:   func(text string) { told = append(told, text) },
		giveUp: func(err error) { given = append(given, err.Error()) },
	}
	looks := func(n int) (watched bool) {
		watched = true
		for range n {
			watched = v.look()
		}
		return watched
	}
	for range 5 {
		p.begin(beatTimer, frontend.Task{})
		p.end()
		looks(3)
	}
	p.begin(beatCall, frontend.Task{Host: 17})
	looks(100)
	p.end()
	if len(told)+len(given) > 0 {
		t.Fatalf("told %q, given up %q", told, given)
	}
	held = "process 1 is stopped"
	// The first look sees that the report is over.
	if !looks(1+12) || len(told) != 4 || !strings.HasSuffix(told[3], "; "+held) || len(given) > 0 {
		t.Fatalf("told %q, given up %q", told, given)
	}
	// It begins to be without a reason.
	held = ""
	if !looks(3) || len(given) != 0 {
		t.Errorf("told %q, given up %q", told, given)
	}
	if looks(1) || len(given) != 1 || !strings.Contains(given[0], "since it told of a call of process 17") {
		t.Errorf("told %q, given up %q", told, given)
	}
	if err := errors.New(given[0]); !strings.HasPrefix(err.Error(), libmultivar.ErrStalled.Error()) {
		t.Error(err)
	}
	// A reason is none for ever.
	p.begin(beatCall, frontend.Task{Host: 17})
	p.end()
	held, given = "process 1 is stopped", nil
	if !looks(1+29) || len(given) > 0 || looks(1) || len(given) != 1 {
		t.Errorf("given up %q", given)
	}
}

// One that comes back while it is looked for a reason is not given up.
func TestPulseComesBack(t *testing.T) {
	var p pulse
	v := &vigil{
		pulse: &p, limit: 2, patience: 100,
		held: func() string {
			p.begin(beatTimer, frontend.Task{})
			p.end()
			return ""
		},
		tell:   func(string) {},
		giveUp: func(err error) { t.Error(err) },
	}
	for range 50 {
		if !v.look() {
			t.Fatal("given up")
		}
	}
}

// Who does not listen does not keep this process from its end.
func TestGiveUpUnheard(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// Nothing is read of it.
	if _, err := w.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	code := -1
	c := &command{stderr: w, quit: func(status int) { code = status }}
	c.giveUp(errors.New("it hangs"))
	if code != statusFailed {
		t.Errorf("status %d", code)
	}
	_, _ = r.Read(make([]byte, 64<<10))
}

// Who gives a run up leaves no empty file behind that would pass for a report, and what there was.
func TestGiveUpWithoutReport(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old.html")
	if err := os.WriteFile(old, []byte("another run's"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := openOutputs(options{report: filepath.Join(dir, "new.json"), reportHTML: old})
	if err != nil {
		t.Fatal(err)
	}
	defer out.abandon()
	c := &command{stderr: io.Discard, quit: func(int) {}, out: out}
	c.giveUp(errors.New("it hangs"))
	if _, err := os.Stat(filepath.Join(dir, "new.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty report is still there: %v", err)
	}
	if _, err := os.Stat(old); err != nil {
		t.Errorf("a file that was there before is gone: %v", err)
	}

	out, err = openOutputs(options{report: filepath.Join(dir, "full.json")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.report.f.Close()
	if _, err := io.WriteString(out.report.f, "{}"); err != nil {
		t.Fatal(err)
	}
	(&command{stderr: io.Discard, quit: func(int) {}, out: out}).giveUp(errors.New("it hangs"))
	if _, err := os.Stat(filepath.Join(dir, "full.json")); err != nil {
		t.Errorf("a report that was written is gone: %v", err)
	}
}

// Each kind of report has a name.
func TestBeatsHaveNames(t *testing.T) {
	names := map[string]bool{}
	for b := beatNone; b <= beatReadings; b++ {
		if b.String() == "" || names[b.String()] {
			t.Errorf("beat %d is %q", b, b)
		}
		names[b.String()] = true
	}
}

// vforks is what proc(5) says of a task that waits for a child that it has made by vfork(2), or, where
// there is no such call, by clone(2).
func vforks() string {
	if runtime.GOARCH == "arm64" {
		return "220 0x4111"
	}
	return "58 0x0"
}

// A descendant that is stopped is found, whichever thread has made it.
func TestStanding(t *testing.T) {
	for _, c := range []struct{ state, call, want string }{
		{"S", "0 0x3", ""}, {"t", "running", ""}, {"T", "", "process 31 is stopped"}, {"D", "0 0x3", "process 31 waits for a disk"},
		{"D", "running", "process 31 waits for a disk"}, {"D", vforks(), ""},
	} {
		proc := t.TempDir()
		write := func(name, text string) {
			file := filepath.Join(proc, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("10/task/10/children", "")
		write("10/task/11/children", "20 21 ")
		write("20/task/20/stat", "20 (a) D) S 10")
		write("21/task/21/stat", "21 (b) S 10")
		write("21/task/21/children", "31\n")
		write("31/task/31/stat", "31 (c) S 10")
		write("31/task/32/stat", "32 (c) "+c.state+" 10")
		write("31/task/32/syscall", c.call)
		if got := standing(proc, 10); got != c.want {
			t.Errorf("%s: %q, want %q", c.state, got, c.want)
		}
	}
}

// The same of a real one.
func TestStandingProcess(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for standing("/proc", os.Getpid()) == "" {
		time.Sleep(time.Millisecond)
	}
}
