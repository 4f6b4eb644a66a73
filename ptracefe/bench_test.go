//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
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
			made := 0
			m := &script{Call: func(t frontend.Task, c frontend.Call, name string) []frontend.Action {
				if name != "getppid" {
					return nil
				}
				made++
				return decide(t, c)
			}}
			program := probe(b, "static")
			_, err := ptracefe.New().Run(b.Context(), frontend.Spec{
				Programs: []string{program}, Args: []string{program, "loop", strconv.Itoa(b.N)}, Variants: 1,
			}, m.NewMonitor)
			if err != nil || made < b.N {
				b.Fatalf("%d of %d calls, %v", made, b.N, err)
			}
		})
	}
}
