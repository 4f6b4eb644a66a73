//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"bytes"
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/ptracefe"
)

type script = frontendtest.Script

var one, resume, runAs, answer = frontendtest.One, frontendtest.Resume, frontendtest.RunAs, frontendtest.Answer

// watchdog bounds a run that hangs; no run depends on its length.
const watchdog = 1 * time.Minute

// result is what a run left behind.
type result struct {
	frontend.Outcome
	stdout string
	err    error
}

// run runs a program under the script.
func run(t *testing.T, m *script, variants int, args ...string) result {
	t.Helper()
	r := runWith(t, m, frontend.Spec{Programs: args[:1], Args: args, Variants: variants})
	if r.err != nil {
		t.Fatalf("Run: %v", r.err)
	}
	for _, err := range m.Failures {
		t.Errorf("OnFailure: %v", err)
	}
	return r
}

// runWith runs spec, with pipes as its descriptors 0 to 2 and its files behind them.
func runWith(t *testing.T, m *script, spec frontend.Spec) result {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var reader sync.WaitGroup
	reader.Go(func() {
		_, _ = out.ReadFrom(r)
		r.Close()
	})
	spec.Files = append([]*os.File{null, w, w}, spec.Files...)
	if spec.Env == nil {
		spec.Env = []string{"PATH=/usr/bin:/bin", "LANG=C"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), watchdog)
	defer cancel()
	before := frontendtest.OpenFiles(t)
	var res result
	res.Outcome, res.err = ptracefe.New().Run(ctx, spec, m.NewMonitor)
	if after := frontendtest.OpenFiles(t); after != before {
		t.Errorf("%d descriptors are open after the run, %d were before", after, before)
	}
	w.Close()
	reader.Wait()
	res.stdout = out.String()
	return res
}

func TestPassThrough(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		args       []string
		code       int
	}{
		{"dynamic", "hello\n", []string{"/bin/echo", "hello"}, 0},
		{"status", "", []string{"/bin/sh", "-c", "exit 7"}, 7},
		{"pipeline", "3\n", []string{"/bin/sh", "-c", "printf 'a\\nb\\nc\\n' | cat | wc -l"}, 0},
		{"background", "done\n", []string{"/bin/sh", "-c", "(sleep 0.05; exit 3) & wait $!; test $? = 3 && echo done"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := run(t, &script{}, 1, tc.args...)
			if r.stdout != tc.want || !r.Ended || r.Status != (frontend.Status{Code: tc.code}) {
				t.Errorf("got %q, %+v; want %q, status %d", r.stdout, r.Outcome, tc.want, tc.code)
			}
		})
	}
}
