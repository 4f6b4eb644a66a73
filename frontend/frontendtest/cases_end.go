package frontendtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
)

func testKill(t *testing.T, s *suite) {
	m := &Script{}
	m.Report = func(frontend.Task, int, uint64) []frontend.Action {
		var all []frontend.Action
		for id := range m.Alive {
			all = append(all, frontend.Action{Op: frontend.OpKill, Task: id})
		}
		return all
	}
	s.run(t, m, 1, "breed").exited(t, frontend.Status{Signal: int(syscall.SIGKILL)})
	if len(m.Ended) != 4 || len(m.Alive) != 0 {
		t.Errorf("%d tasks ended, %d are there", len(m.Ended), len(m.Alive))
	}
	for id, st := range m.Ended {
		if st.Signal != int(syscall.SIGKILL) {
			t.Errorf("%v ended with %+v", id, st)
		}
	}
}

// A process that computes is killed at once.
func testKillBusy(t *testing.T, s *suite) {
	m := &Script{}
	m.Timer = func(time.Duration) []frontend.Action {
		var all []frontend.Action
		for id := range m.Alive {
			all = append(all, frontend.Action{Op: frontend.OpKill, Task: id})
		}
		return all
	}
	s.run(t, m, 2, "spin").exited(t, frontend.Status{Signal: int(syscall.SIGKILL)})
	if len(m.Ended) != 2 || len(m.Alive) != 0 {
		t.Errorf("%v ended, %v are there", m.Ended, m.Alive)
	}
}

// amidFork runs a program whose forks are let into the kernel together with a further
// action. Nothing may have its files afterwards.
func (s *suite) amidFork(t *testing.T, m *Script, further func(frontend.Task) frontend.Action) outcome {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name == "clone" || name == "fork" {
			return append(RunAs(id, c, false), further(id))
		}
		return nil
	}
	o := s.runSpec(t, m, frontend.Spec{
		Programs: []string{s.path("breed")}, Args: []string{s.path("breed"), "breed"}, Variants: 1,
		Files: []*os.File{nil, w},
	})
	if err := errors.Join(o.err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if !allClosed(t, r) {
		t.Error("a process is left")
	}
	return o
}

// allClosed says whether nobody has the other end of a pipe.
func allClosed(t *testing.T, pipe *os.File) bool {
	t.Helper()
	conn, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var errno error
	if err := conn.Read(func(fd uintptr) bool {
		n, errno = syscall.Read(int(fd), make([]byte, 1))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return n == 0 && errno == nil
}

// amidForkRounds is how often a fork is interrupted: the child may be there or not.
const amidForkRounds = 20

func testKillAmidFork(t *testing.T, s *suite) {
	for range amidForkRounds {
		m := &Script{}
		s.amidFork(t, m, func(id frontend.Task) frontend.Action {
			return frontend.Action{Op: frontend.OpKill, Task: id}
		}).exited(t, frontend.Status{Signal: int(syscall.SIGKILL)})
		if len(m.Alive) != 0 {
			t.Errorf("%v never ended", m.Alive)
		}
	}
}

func testEndAmidFork(t *testing.T, s *suite) {
	for range amidForkRounds {
		if o := s.amidFork(t, &Script{}, func(frontend.Task) frontend.Action {
			return frontend.Action{Op: frontend.OpEnd}
		}); o.Ended {
			t.Errorf("outcome %+v of a session that was ended", o.Outcome)
		}
	}
}

func testEnd(t *testing.T, s *suite) {
	m := &Script{}
	m.Report = func(frontend.Task, int, uint64) []frontend.Action { return One(frontend.Action{Op: frontend.OpEnd}) }
	if o := s.run(t, m, 2, "breed"); o.Ended {
		t.Errorf("outcome %+v of a session that was ended", o.Outcome)
	}
	s.gone(t, m)
}

// gone fails unless the tasks that a monitor knew are no processes any more.
func (s *suite) gone(t *testing.T, m *Script) {
	t.Helper()
	if s.o.Programs != nil {
		return
	}
	for id := range m.Alive {
		if !HasEnded(id.Host) {
			t.Errorf("process %d is still there", id.Host)
		}
	}
}

func testCancel(t *testing.T, s *suite) {
	for _, program := range []string{"wait", "spin", "calls"} {
		if s.path(program) == "" {
			continue
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		because := errors.New("enough")
		m := &Script{}
		m.Timer = func(time.Duration) []frontend.Action { cancel(because); return nil }
		o := s.runContext(ctx, t, m, frontend.Spec{
			Programs: []string{s.path(program)}, Args: []string{"x", program}, Variants: 2,
		})
		cancel(nil)
		if !errors.Is(o.err, because) {
			t.Errorf("%s: Run: %v", program, o.err)
		}
		s.gone(t, m)
	}
}

func testTimer(t *testing.T, s *suite) { s.timer(t, "spin", 1) }

// Reports that never cease do not keep the time from the monitor.
func testTimerCalls(t *testing.T, s *suite) { s.timer(t, "calls", 3) }

func (s *suite) timer(t *testing.T, program string, variants int) {
	t.Helper()
	m := &Script{}
	var times []time.Duration
	m.Timer = func(now time.Duration) []frontend.Action {
		times = append(times, now)
		if len(times) == 4 {
			return One(frontend.Action{Op: frontend.OpEnd})
		}
		return nil
	}
	s.run(t, m, variants, program)
	if len(times) != 4 {
		t.Fatalf("times %v", times)
	}
	for i := 1; i < len(times); i++ {
		if times[i] <= times[i-1] {
			t.Errorf("times %v", times)
		}
	}
}

func testStartErrors(t *testing.T, s *suite) {
	dir := t.TempDir()
	paths := map[string]error{filepath.Join(dir, "none"): syscall.ENOENT}
	if s.o.Programs == nil {
		text, data := filepath.Join(dir, "text"), filepath.Join(dir, "data")
		if err := os.WriteFile(text, []byte("no program\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(data, []byte("no program\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		paths[text], paths[data], paths[dir] = syscall.ENOEXEC, syscall.EACCES, syscall.EACCES
	}
	for path, want := range paths {
		for variant := range 2 {
			programs := []string{s.path("probe"), s.path("probe")}
			programs[variant] = path
			o := s.runSpec(t, &Script{}, frontend.Spec{Programs: programs, Args: []string{"x", "probe"}, Variants: 2})
			var start *frontend.StartError
			if !errors.As(o.err, &start) || !errors.Is(o.err, want) || start.Variant != variant || start.Path != path {
				t.Errorf("%s in variant %d: %v, want %v", path, variant, o.err, want)
			}
		}
	}
	for _, spec := range []frontend.Spec{
		{Programs: []string{s.path("probe")}},
		{Programs: []string{s.path("probe")}, Variants: frontend.MaxVariants + 1},
		{Variants: 1},
	} {
		if o := s.runSpec(t, &Script{}, spec); o.err == nil {
			t.Errorf("%+v runs", spec)
		}
	}
}

func testMonitorRefuses(t *testing.T, s *suite) {
	because := errors.New("no monitor")
	_, err := s.fe.Run(t.Context(), frontend.Spec{Programs: []string{s.path("probe")}, Variants: 1},
		func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error) { return nil, because })
	if !errors.Is(err, because) {
		t.Errorf("Run: %v", err)
	}
}
