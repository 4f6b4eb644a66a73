//go:build linux && amd64

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// statusFailed is the exit status when the witness itself failed.
const statusFailed = 125

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "Usage: witness PROG [ARG...]")
		os.Exit(statusFailed)
	}
	status, err := run(os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "witness:", err)
		status = statusFailed
	}
	os.Exit(status)
}

// run runs a command, writes what its processes did to out, and returns the
// command's exit status.
func run(args []string, out io.Writer) (int, error) {
	w, err := Open(os.Getpid())
	if err != nil {
		return 0, err
	}
	defer w.Close()
	// What a terminal sends is for the command.
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	processes, err := w.Processes()
	if err != nil {
		return 0, err
	}
	for _, p := range processes {
		describe(out, p)
	}
	status := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	return status, nil
}

func describe(out io.Writer, p *Process) {
	fmt.Fprintf(out, "process %d of %d:\n", p.ID, p.Parent)
	for i, calls := range p.Stages {
		stage := "begins"
		if i > 0 {
			stage = fmt.Sprintf("exec %d", i)
		}
		fmt.Fprintf(out, "  %-7s %s\n", stage, calls)
	}
}

// String lists the calls, the most frequent first.
func (c Calls) String() string {
	numbers := slices.SortedFunc(maps.Keys(c), func(a, b int64) int {
		return cmp.Or(cmp.Compare(c[b], c[a]), cmp.Compare(name(a), name(b)))
	})
	var list []string
	for _, nr := range numbers {
		list = append(list, fmt.Sprintf("%s %d", name(nr), c[nr]))
	}
	return strings.Join(list, ", ")
}

// name returns the name of a call.
func name(nr int64) string {
	if row, ok := sysabi.Lookup(sysabi.AMD64, int(nr)); ok {
		return row.Name
	}
	return fmt.Sprintf("call %d", nr)
}
