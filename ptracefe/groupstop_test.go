//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
)

// A process stops for its parent to see while a thread of it stands where the monitor leaves it,
// and what is decided for that one meanwhile comes when the process goes on. The thread sees
// nothing of that.
func TestGroupStopOfThreads(t *testing.T) {
	for _, mode := range []string{"entry", "exit", "signal"} {
		t.Run(mode, func(t *testing.T) {
			m := &script{}
			// later lets the thread go on that stands, nil while none does.
			var later []frontend.Action
			stopped := false
			m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
				switch name {
				case "getppid":
					run := runAs(id, c, true)
					if mode == "entry" {
						later = run
						return frontendtest.Stay()
					}
					return run
				case "getpgid":
					if later != nil {
						return answer(id, 1)
					}
					return answer(id, 0)
				case "setsid":
					stopped = true
					return append(answer(id, 0), later...)
				case "getsid":
					stopped = false
					return answer(id, 0)
				}
				return nil
			}
			m.Exit = func(id frontend.Task, _ int64) []frontend.Action {
				if stopped {
					t.Error("a call is made while its process is stopped")
				}
				if mode == "exit" {
					later = answer(id, 55)
					return frontendtest.Stay()
				}
				return answer(id, 55)
			}
			m.Signal = func(id frontend.Task, s *frontend.Signal) []frontend.Action {
				if s.Number != sigusr1 {
					return nil
				}
				later = one(frontend.Action{Op: frontend.OpSignal, Task: id, Signal: s})
				return frontendtest.Stay()
			}
			if r := run(t, m, 1, probe(t, "static"), "threadstop", mode); r.Status != (frontend.Status{}) {
				t.Errorf("ended with %+v", r.Status)
			}
		})
	}
}
