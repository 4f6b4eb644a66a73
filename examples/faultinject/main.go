//go:build linux && amd64

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/ptracefe"
)

func main() {
	var f faults
	flag.Float64Var(&f.shortRead, "short-read", 0, "probability of a read that returns less than was asked for")
	flag.Float64Var(&f.eintr, "eintr", 0, "probability of a read or write that is interrupted")
	flag.Int64Var(&f.enospcAfter, "enospc-after", -1, "number of bytes that files take; negative for no limit")
	flag.Uint64Var(&f.seed, "seed", 1, "what the choices depend on")
	spare := flag.String("spare", defaultSpare, "directories with files to which nothing happens")
	variants := flag.Int("n", 2, "number of variants")
	kvm := flag.Bool("kvm", false, "run the variants in virtual machines instead of tracing them")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: faultinject [flags] PROG [ARG...]; -help lists the flags")
		os.Exit(2)
	}
	f.spare = strings.Split(*spare, ":")
	var fe frontend.FrontEnd = ptracefe.New()
	if *kvm {
		fe = kvmsandbox.New()
	}
	in, err := newInjector(f)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faultinject:", err)
		os.Exit(2)
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	status, err := run(context.Background(), fe, *variants, in.hooks(), files, flag.Args()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faultinject:", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "faultinject:", in.done)
	os.Exit(status)
}

// run runs a program with hooks and returns its exit status as a shell gives it.
func run(ctx context.Context, fe frontend.FrontEnd, variants int, h libmultivar.Hooks, files []*os.File, args ...string) (int, error) {
	program, err := exec.LookPath(args[0])
	if err != nil {
		return 0, err
	}
	cfg := libmultivar.Config{Hooks: h}
	if _, err := rand.Read(cfg.Seed[:]); err != nil {
		return 0, err
	}
	spec := frontend.Spec{Programs: []string{program}, Args: args, Env: os.Environ(), Files: files, Variants: variants}
	outcome, err := libmultivar.Run(ctx, fe, spec, cfg)
	switch {
	case err != nil:
		return 0, err
	case !outcome.Ended:
		return 0, errors.New("the session ended before the program")
	case outcome.Status.Signal != 0:
		return 128 + outcome.Status.Signal, nil
	}
	return outcome.Status.Code, nil
}
