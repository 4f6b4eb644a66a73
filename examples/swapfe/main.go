//go:build linux && amd64

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/inprocfe"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/ptracefe"
)

func main() {
	name := flag.String("frontend", "ptrace", "how the program's calls are caught: ptrace, inproc, kvm, fake")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: swapfe [-frontend ptrace|inproc|kvm|fake] PROG [ARG...]")
		os.Exit(2)
	}
	m, status, err := start(*name, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "swapfe:", err)
		os.Exit(1)
	}
	for _, name := range m.opened {
		fmt.Fprintln(os.Stderr, "opened", name)
	}
	for _, name := range m.refused {
		fmt.Fprintln(os.Stderr, "refused", name)
	}
	os.Exit(status)
}

// start runs a program on the front-end with a name.
func start(name string, args []string) (*monitor, int, error) {
	var fe frontend.FrontEnd
	program := args[0]
	switch name {
	case "ptrace":
		fe = ptracefe.New()
	case "inproc":
		fe = inprocfe.New()
	case "kvm":
		fe = kvmsandbox.New()
	case "fake":
		fe = fakefe.New(fakefe.Config{Programs: []*fakefe.Program{script()}, Kernel: newDisk()})
	default:
		return nil, 0, fmt.Errorf("there is no front-end %q", name)
	}
	if name != "fake" {
		var err error
		if program, err = exec.LookPath(program); err != nil {
			return nil, 0, err
		}
	}
	return run(context.Background(), fe, frontend.Spec{
		Programs: []string{program}, Args: args, Env: os.Environ(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Variants: 1,
	})
}

// run runs spec under a monitor and returns that, and the exit status as a shell gives it.
func run(ctx context.Context, fe frontend.FrontEnd, spec frontend.Spec) (*monitor, int, error) {
	m := &monitor{}
	outcome, err := fe.Run(ctx, spec, m.newMonitor)
	switch {
	case m.err != nil:
		return m, 0, m.err
	case err != nil:
		return m, 0, err
	case !outcome.Ended:
		return m, 0, errors.New("the session ended before the program")
	case outcome.Status.Signal != 0:
		return m, 128 + outcome.Status.Signal, nil
	}
	return m, outcome.Status.Code, nil
}
