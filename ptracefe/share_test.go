//go:build linux && amd64

package ptracefe_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/ptracefe"
)

// sharingCalls is how many calls in a row surely have the session share a processor.
const sharingCalls = 20_000

// where runs a program that makes many calls and returns, of each call, on how many
// processors the program and the session's thread might run then.
func where(t *testing.T, opts ...ptracefe.Option) (program, session []int) {
	t.Helper()
	m := &script{Call: func(task frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name != "getppid" {
			return nil
		}
		for of, tid := range map[*[]int]int{&program: task.Host, &session: 0} {
			cpus, err := unix.Affinity(tid)
			if err != nil {
				t.Error(err)
			}
			*of = append(*of, cpus.Count())
		}
		return answer(task, 1)
	}}
	path := probe(t, "static")
	_, err := ptracefe.New(opts...).Run(t.Context(), frontend.Spec{
		Programs: []string{path}, Args: []string{path, "loop", strconv.Itoa(sharingCalls)}, Variants: 1,
	}, m.NewMonitor)
	if err != nil || len(program) != sharingCalls {
		t.Fatalf("%d calls, %v", len(program), err)
	}
	return program, session
}

// count returns how many of ns are n.
func count(ns []int, n int) (found int) {
	for _, m := range ns {
		if m == n {
			found++
		}
	}
	return found
}

// TestSharesProcessor has a program make calls without a pause: it and the session come to
// share a processor, and begin and end where they may run everywhere.
func TestSharesProcessor(t *testing.T) {
	all, err := unix.Affinity(0)
	if err != nil {
		t.Fatal(err)
	}
	if all.Count() < 2 {
		absent.End(t, "a second processor", "MV_REQUIRE_ALL")
	}
	for name, opts := range map[string][]ptracefe.Option{
		"loud": nil, "quiet": {ptracefe.WithoutTimeStamps()},
	} {
		t.Run(name, func(t *testing.T) {
			program, session := where(t, opts...)
			if program[0] != all.Count() || session[0] != all.Count() {
				t.Errorf("the first call is made on %d processors, the session on %d, of %d", program[0], session[0], all.Count())
			}
			if shared := count(program, 1); shared == 0 || shared != count(session, 1) {
				t.Errorf("of %d calls %d were made on one processor, %d with the session", len(program), shared, count(session, 1))
			}
		})
	}
	program, session := where(t, ptracefe.WithPlacement(false))
	if n := count(program, 1) + count(session, 1); n > 0 {
		t.Errorf("%d times something was placed although nothing shall be", n)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if now, err := unix.Affinity(0); err != nil || now != all {
		t.Errorf("the caller may run on %d processors, %v", now.Count(), err)
	}
}
