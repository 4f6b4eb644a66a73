//go:build linux && amd64

package kvmsandbox_test

import (
	_ "embed"
	"os/exec"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/kvmsandbox"
)

//go:embed testdata/processors.c
var processorsSource string

// A program that has more threads than its memory has processors is told so and goes
// on, and gets those back that it does not use any more, however their tasks ended.
func TestProcessorsOut(t *testing.T) {
	machines(t)
	const processors, threads = 6, 40
	program := compile(t, processorsSource, "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
	for _, c := range []struct {
		name    string
		limit   int
		reports []int64
	}{
		{"threads", processors, []int64{processors - 1, processors - 1}},
		{"threads", threads + 1, []int64{threads, threads}},
		{"children", 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out, err := exec.Command(program, c.name).CombinedOutput(); err != nil {
				t.Errorf("natively: %v\n%s", err, out)
			}
			m := &frontendtest.Script{}
			o := runOn(t, kvmsandbox.New(kvmsandbox.WithProcessors(c.limit)), m, 1, program, c.name)
			if o.Status != (frontend.Status{}) || !slices.Equal(m.Reports[1], c.reports) || len(m.Broken) != 0 {
				t.Errorf("%+v, %d threads, %v", o, m.Reports[1], m.Broken)
			}
		})
	}
}
