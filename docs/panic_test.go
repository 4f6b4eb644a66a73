//go:build linux && amd64

package docs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/inprocfe"
	"github.com/multivar/multivar/internal/fronts"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/ptracefe"
)

// tests counts what the machine lacks.
var tests fronts.Tests

// panicEnv names the front-end on which this process shall run a hook that panics.
const panicEnv = "MV_DOCS_PANIC"

func TestMain(m *testing.M) {
	switch os.Getenv(panicEnv) {
	case "ptrace":
		panics(ptracefe.New())
	case "inproc":
		panics(inprocfe.New())
	case "kvm":
		panics(kvmsandbox.New())
	default:
		// It would start itself for ever.
		fmt.Fprintln(os.Stderr, "no such front-end")
		os.Exit(1)
	case "":
	}
	os.Exit(tests.Main(m))
}

// panics runs a shell whose child sleeps, with a hook that panics at the sleep. It prints
// the ids of both variants' tasks before.
func panics(fe frontend.FrontEnd) {
	shell := []string{"sh", "-c", "sleep 600 & exec sleep 601"}
	started := map[frontend.Task]bool{}
	hooks := libmultivar.Hooks{OnCall: func(c *libmultivar.Call) libmultivar.Verdict {
		if !started[c.Task] {
			started[c.Task] = true
			fmt.Println(c.Task.Host)
		}
		if c.Name == "clock_nanosleep" && len(started) > 1 {
			panic("mine")
		}
		return libmultivar.GoOn()
	}}
	spec := frontend.Spec{Programs: []string{"/bin/sh"}, Args: shell, Variants: 2, Env: []string{"PATH=/usr/bin:/bin"}}
	_, err := libmultivar.Run(context.Background(), fe, spec, libmultivar.Config{Hooks: hooks})
	fmt.Fprintln(os.Stderr, "Run returned", err)
	os.Exit(0)
}

// A hook's panic ends the process as any other does, and no variant is left.
func TestHookPanics(t *testing.T) {
	tests.Each(t, func(t *testing.T, fe frontend.FrontEnd) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), panicEnv+"="+fe.Name())
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 || strings.Contains(errs.String(), "Run returned") || !strings.Contains(errs.String(), "panic: mine") {
			t.Fatalf("%v\n%s\n%s", err, out.String(), errs.String())
		}
		ids := strings.Fields(out.String())
		if len(ids) < 2 {
			t.Fatalf("only %q ran", ids)
		}
		for _, id := range ids {
			pid, err := strconv.Atoi(id)
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); !frontendtest.HasEnded(pid); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("process %d lives on", pid)
				}
			}
		}
	})
}
