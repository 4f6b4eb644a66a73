//go:build linux && amd64

package ptracefe_test

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/ptracefe"
)

// BenchmarkCall is the cost of one system call that the monitor answers, lets
// run, and lets run and looks at the result of.
func BenchmarkCall(b *testing.B) {
	for name, decide := range map[string]func(frontend.Task, frontend.Call) []frontend.Action{
		"answered":    func(t frontend.Task, _ frontend.Call) []frontend.Action { return answer(t, 1) },
		"run":         func(t frontend.Task, c frontend.Call) []frontend.Action { return runAs(t, c, false) },
		"run to exit": func(t frontend.Task, c frontend.Call) []frontend.Action { return runAs(t, c, true) },
	} {
		b.Run(name, func(b *testing.B) {
			m := &script{calls: map[int64]int{}}
			m.syscall = func(t frontend.Task, c frontend.Call) []frontend.Action {
				if c.Nr == sysGetppid {
					return decide(t, c)
				}
				return nil
			}
			program := filepath.Join(probes, "probe-static")
			_, err := ptracefe.New().Run(b.Context(), frontend.Spec{
				Programs: []string{program}, Args: []string{program, "loop", strconv.Itoa(b.N)}, Variants: 1,
			}, func(h frontend.Host, _ frontend.Capabilities) (frontend.Monitor, error) { m.host = h; return m, nil })
			if err != nil || m.calls[sysGetppid] < b.N {
				b.Fatalf("%d of %d calls, %v", m.calls[sysGetppid], b.N, err)
			}
		})
	}
}
