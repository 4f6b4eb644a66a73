//go:build linux && amd64

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/libmultivar"
)

// callsSource makes as many plain calls as its argument says.
const callsSource = `#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0;
	while (n-- > 0)
		syscall(SYS_getppid);
	return 0;
}
`

// Two runs of these many calls differ by calls only, the rest of the program cancels
// out.
const (
	fewCalls  = 1000
	manyCalls = 11000
)

// writeExits counts how often virtual processors are left for a plain call.
func writeExits(ctx context.Context, out io.Writer, dir string) error {
	src, bin := filepath.Join(dir, "calls.c"), filepath.Join(dir, "calls")
	if err := os.WriteFile(src, []byte(callsSource), 0o644); err != nil {
		return err
	}
	if msg, err := exec.CommandContext(ctx, "gcc", "-O1", "-o", bin, src).CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w: %s", err, msg)
	}
	for _, n := range []int{1, 2} {
		few, err := countExits(ctx, bin, n, fewCalls)
		if err != nil {
			return err
		}
		many, err := countExits(ctx, bin, n, manyCalls)
		if err != nil {
			return err
		}
		exits, host := many.Since(few).PerCall()
		kernel := "the kernel does not count its own"
		if host > 0 {
			kernel = fmt.Sprintf("%.3f with those that the kernel deals with by itself", host)
		}
		if _, err := fmt.Fprintf(out, "\nExits per call (getppid, kind %s, N=%d): %.3f to user space, %s.\n", many.Kind, n, exits, kernel); err != nil {
			return err
		}
	}
	return nil
}

// countExits runs the program as n variants and returns what was counted.
func countExits(ctx context.Context, bin string, n, calls int) (kvmsandbox.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	var counted kvmsandbox.Stats
	fe := kvmsandbox.New(kvmsandbox.WithStats(func(s kvmsandbox.Stats) { counted = s }))
	spec := frontend.Spec{
		Programs: []string{bin}, Args: []string{bin, strconv.Itoa(calls)}, Variants: n,
		Files: []*os.File{nil, nil, os.Stderr},
	}
	outcome, err := fe.Run(ctx, spec, func(h frontend.Host, caps frontend.Capabilities) (frontend.Monitor, error) {
		return libmultivar.New(libmultivar.Config{Variants: n}, h, caps)
	})
	if err == nil && (!outcome.Ended || outcome.Status != frontend.Status{}) {
		err = fmt.Errorf("%s ended with %+v", bin, outcome.Status)
	}
	return counted, err
}
