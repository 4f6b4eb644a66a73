//go:build linux && amd64

// Package docs_test compiles and runs what the documents show. TestSnippets sees to it that
// they show nothing else.
package docs_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/kvmsandbox/probe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/ptracefe"
)

// A program runs as two variants, to which a file is out of bounds.
func Example() {
	spec := frontend.Spec{
		Programs: []string{"/bin/cat"}, Args: []string{"cat", "/etc/passwd"},
		Files: []*os.File{os.Stdin, os.Stdout, os.Stdout}, Variants: 2,
	}
	refuse := func(c *libmultivar.Call) libmultivar.Verdict {
		if name, err := c.Path("pathname"); err != nil || name == "/etc/passwd" {
			return libmultivar.Fail(int(syscall.EACCES))
		}
		return libmultivar.GoOn()
	}
	cfg := libmultivar.Config{Hooks: libmultivar.Hooks{Calls: []string{"openat"}, OnCall: refuse}}
	if _, err := rand.Read(cfg.Seed[:]); err != nil {
		log.Fatal(err)
	}
	outcome, err := libmultivar.Run(context.Background(), ptracefe.New(), spec, cfg)
	fmt.Println(outcome.Status.Code, err)
	// Output:
	// cat: /etc/passwd: Permission denied
	// 1 <nil>
}

// How a session can end.
func Example_ends() {
	fmt.Println(explain(libmultivar.Run(context.Background(), ptracefe.New(), frontend.Spec{
		Programs: []string{"/bin/false"}, Args: []string{"false"}, Variants: 3,
	}, libmultivar.Config{})))
	fmt.Println(explain(libmultivar.Run(context.Background(), ptracefe.New(), frontend.Spec{
		Programs: []string{"/bin/true", "/bin/false"}, Args: []string{"true"}, Variants: 2,
	}, libmultivar.Config{})))
	fmt.Println(explain(libmultivar.Run(context.Background(), ptracefe.New(), frontend.Spec{
		Programs: []string{"/no/such/program"}, Args: []string{"x"}, Variants: 2,
	}, libmultivar.Config{})))
	// Output:
	// status 1
	// variant 1 wanted something else
	// cannot be started: no such file or directory
}

// explain says in words what Run has returned.
func explain(outcome frontend.Outcome, err error) string {
	var d *report.Divergence
	var start *frontend.StartError
	switch {
	case errors.As(err, &d):
		return fmt.Sprintf("variant %d wanted something else", d.Variant)
	case errors.As(err, &start):
		return fmt.Sprintf("cannot be started: %v", start.Err)
	case errors.Is(err, libmultivar.ErrStopped):
		return "a hook has ended it"
	case err != nil:
		return fmt.Sprintf("failed, and all variants are gone: %v", err)
	case outcome.Status.Signal != 0:
		return fmt.Sprintf("killed by signal %d", outcome.Status.Signal)
	}
	return fmt.Sprintf("status %d", outcome.Status.Code)
}

// The front-end that is best for the host.
func Example_choice() {
	fe := best(context.Background())
	outcome, err := libmultivar.Run(context.Background(), fe, frontend.Spec{
		Programs: []string{"/bin/true"}, Args: []string{"true"}, Variants: 2,
	}, libmultivar.Config{})
	fmt.Println(outcome.Status.Code, err)
	// Output: 0 <nil>
}

// best returns the front-end that kvmsandbox takes by itself, too.
func best(ctx context.Context) frontend.FrontEnd {
	r, err := probe.KVM(ctx)
	if err == nil && r.Preferred() {
		return kvmsandbox.New()
	}
	return ptracefe.New()
}

// A hook that leaves calls alone and looks at their results.
func Example_results() {
	read := int64(0)
	hooks := libmultivar.Hooks{
		Calls: []string{"read", "pread64", "readv"},
		OnResult: func(_ *libmultivar.Call, r libmultivar.Result) {
			read += max(r.Ret, 0)
		},
	}
	outcome, err := libmultivar.Run(context.Background(), ptracefe.New(), frontend.Spec{
		Programs: []string{"/bin/true"}, Args: []string{"true"}, Variants: 2,
	}, libmultivar.Config{Hooks: hooks})
	fmt.Println(outcome.Status.Code, err, read > 0)
	// Output: 0 <nil> true
}

// A policy, and a program with a time of its own.
func Example_policy() {
	p, err := policy.ByName(policy.Leak)
	if err != nil {
		log.Fatal(err)
	}
	cycles := uint64(0)
	cfg := libmultivar.Config{Policy: p, Hooks: libmultivar.Hooks{
		OnRdtsc: func(_ frontend.Task, ts frontend.TimeStamp) frontend.TimeStamp {
			cycles += 1000
			ts.Cycles = cycles
			return ts
		},
	}}
	outcome, err := libmultivar.Run(context.Background(), ptracefe.New(), frontend.Spec{
		Programs: []string{"/bin/true"}, Args: []string{"true"}, Variants: 2,
	}, cfg)
	// The dynamic loader reads the counter.
	fmt.Println(outcome.Status.Code, err, cycles > 0)
	// Output: 0 <nil> true
}

// reader is a monitor without the engine: it notes which programs are executed.
type reader struct {
	frontend.Passive
	programs []string
}

// OnExec implements frontend.Monitor.
func (m *reader) OnExec(t, old frontend.Task, img *frontend.Image) []frontend.Action {
	m.programs = append(m.programs, string(img.Comm))
	return m.Passive.OnExec(t, old, img)
}

// A monitor of one's own.
func Example_monitor() {
	m := &reader{}
	spec := frontend.Spec{Programs: []string{"/bin/sh"}, Args: []string{"sh", "-c", "/bin/true; /bin/false; exit 3"}, Variants: 1}
	outcome, err := ptracefe.New().Run(context.Background(), spec,
		func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error) { return m, nil })
	fmt.Println(m.programs, outcome.Status.Code, err)
	// Output: [sh true false] 3 <nil>
}
