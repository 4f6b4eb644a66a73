package frontendtest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// Threads are tasks of the process that has them, and end when one of them executes
// a program, which takes the process over.
func testExecOfThread(t *testing.T, s *suite) {
	if !s.fe.Capabilities().Threads {
		t.Log("the front-end does not support threads")
		return
	}
	m := &Script{}
	var first frontend.Task
	children := map[frontend.Task]bool{}
	m.Start = func(id frontend.Task) []frontend.Action { first = id; return nil }
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name == "clone3" {
			// The C library makes a clone then.
			return Answer(id, -int64(syscall.ENOSYS))
		}
		return nil
	}
	m.Fork = func(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action {
		if k != frontend.Clone || parent != first || child.Variant != parent.Variant {
			t.Errorf("%v made %v, kind %d", parent, child, k)
		}
		children[child] = true
		return append(Resume(child), Resume(parent)...)
	}
	execs := 0
	m.Exec = func(id, old frontend.Task, _ *frontend.Image) []frontend.Action {
		if execs++; execs == 2 {
			if id != first || !children[old] {
				t.Errorf("%v was %v before its exec, the first task was %v", id, old, first)
			}
			if len(m.Alive) != 1 {
				t.Errorf("%v are there after an exec of %v", m.Alive, id)
			}
		}
		return Resume(id)
	}
	s.run(t, m, 1, "takeover", s.path("probe"), "probe").exited(t, done)
	m.want(t, 30, 1, 1, 1)
	m.want(t, 2, 1)
	if execs != 2 || len(children) != 3 || len(m.Alive) != 0 {
		t.Errorf("%d programs, threads %v, alive %v", execs, children, m.Alive)
	}
}

func testExec(t *testing.T, s *suite) {
	m := &Script{}
	var images []*frontend.Image
	m.Exec = func(id, old frontend.Task, img *frontend.Image) []frontend.Action {
		if id != old {
			t.Errorf("%v was %v before its exec", id, old)
		}
		images = append(images, img)
		return Resume(id)
	}
	s.run(t, m, 1, "exec", s.path("probe"), "probe", "last one").exited(t, done)
	if len(images) != 2 {
		t.Fatalf("%d execs", len(images))
	}
	img := images[1]
	want := []string{s.path("probe"), "probe", "last one"}
	if got := strings.Join(texts(img.Args), "|"); got != strings.Join(want, "|") {
		t.Errorf("arguments %q, want %q", got, want)
	}
	if got := strings.Join(texts(img.Env), "|"); !strings.Contains(got, "FRONTENDTEST=yes") {
		t.Errorf("environment %q", got)
	}
	if img.Comm == "" || len(img.Aux) == 0 || img.IP == 0 || string(img.ExecPath) != s.path("probe") {
		t.Errorf("image %+v", img)
	}
	if len(m.Reports[1]) != 1 {
		t.Errorf("the new program did not run: %v", m.Reports)
	}
}

func texts(in [][]byte) []string {
	var out []string
	for _, b := range in {
		out = append(out, string(b))
	}
	return out
}

func testExecFails(t *testing.T, s *suite) {
	m := &Script{}
	var got []int64
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name == "execve" {
			return RunAs(id, c, true)
		}
		return nil
	}
	m.Exit = func(_ frontend.Task, ret int64) []frontend.Action {
		got = append(got, ret)
		return nil
	}
	s.run(t, m, 1, "exec", "/no/such/program").exited(t, done)
	m.want(t, 1, int64(syscall.ENOENT))
	if len(got) != 1 || got[0] != -int64(syscall.ENOENT) {
		t.Errorf("results %v", got)
	}
}

// A follower executes the leader's program although its own file system has none
// of that name.
func testExecOfFile(t *testing.T, s *suite) {
	m := &Script{}
	var leader, follower *frontend.Task
	var asked frontend.Call
	var file frontend.File
	execs := map[int]int{}
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "execve" {
			return nil
		}
		if id.Variant == frontend.Leader {
			return RunAs(id, c, true)
		}
		follower, asked = &id, c
		if leader == nil {
			return Stay()
		}
		return One(frontend.Action{Op: frontend.OpExec, Task: id, File: file, Args: c.Args})
	}
	m.Exec = func(id, _ frontend.Task, img *frontend.Image) []frontend.Action {
		execs[id.Variant]++
		place, _ := plan(t, id.Variant, img)
		actions := One(frontend.Action{Op: frontend.OpPlace, Task: id, Place: place})
		if execs[id.Variant] != 2 {
			return actions
		}
		if id.Variant != frontend.Leader {
			if err := m.Host.CloseFile(file); err != nil {
				t.Error(err)
			}
			if got := strings.Join(texts(img.Args)[1:], " "); got != "probe" {
				t.Errorf("the follower's arguments are %q", got)
			}
			return actions
		}
		leader = &id
		var err error
		if file, err = m.Host.DupImage(id); err != nil {
			t.Error(err)
		}
		if follower != nil {
			actions = append(actions, frontend.Action{Op: frontend.OpExec, Task: *follower, File: file, Args: asked.Args})
		}
		return actions
	}
	s.run(t, m, 2, "exec", s.path("probe"), "probe").exited(t, done)
	if execs[0] != 2 || execs[1] != 2 || len(m.Reports[1]) != 2 {
		t.Errorf("execs %v, reports %v", execs, m.Reports)
	}
}

// A front-end that says beforehand which programs it cannot execute does not speak
// for the kernel.
func testExecRefusal(t *testing.T, s *suite) {
	if !s.fe.Capabilities().Executables {
		t.Log("the front-end refuses no programs")
		return
	}
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	// A program for machines with 32-bit addresses.
	foreign := make([]byte, 64)
	copy(foreign, "\x7fELF\x01\x01\x01")
	foreign[16], foreign[18] = 2, 3
	other := file("other", string(foreign), 0o700)
	for _, tc := range []struct {
		path string
		want syscall.Errno
	}{
		{s.path("probe"), 0},
		{other, syscall.ENOEXEC},
		{file("script", "#!"+other+"\n", 0o700), syscall.ENOEXEC},
		{file("good script", "#!"+s.path("probe")+" probe\n", 0o700), 0},
		// What the kernel refuses.
		{filepath.Join(dir, "none"), 0},
		{file("data", string(foreign), 0o600), 0},
		{file("text", "no program\n", 0o700), 0},
		{dir, 0},
	} {
		m := &Script{}
		asked := false
		m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
			if name != "execve" {
				return nil
			}
			asked = true
			host, ok := m.Host.(frontend.Executables)
			if !ok {
				t.Fatal("the host is none of frontend.Executables")
			}
			const currentDir = -100
			errno, reason := host.ExecRefusal(id, currentDir, tc.path, 0)
			if errno != int(tc.want) || (reason == "") != (errno == 0) {
				t.Errorf("%s: errno %d (%q), want %d", tc.path, errno, reason, tc.want)
			}
			return Answer(id, -int64(syscall.EPERM))
		}
		s.run(t, m, 1, "exec", tc.path).exited(t, done)
		if !asked {
			t.Fatal("the program executed nothing")
		}
		m.want(t, 1, int64(syscall.EPERM))
	}
}
