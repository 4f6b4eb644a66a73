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
	"path/filepath"
	"strings"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/sysabi"
	"github.com/multivar/multivar/ptracefe"
)

func main() {
	prefix := flag.String("prefix", "", "the directory that is out of bounds")
	variants := flag.Int("n", 2, "number of variants")
	kvm := flag.Bool("kvm", false, "run the variants in virtual machines instead of tracing them")
	flag.Parse()
	if *prefix == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: denyopen -prefix DIR [-n N] [-kvm] PROG [ARG...]")
		os.Exit(2)
	}
	var fe frontend.FrontEnd = ptracefe.New()
	if *kvm {
		fe = kvmsandbox.New()
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	status, err := run(context.Background(), fe, *variants, *prefix, files, flag.Args()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "denyopen:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

// run runs a program to which nothing below prefix may be known. It returns the program's
// exit status as a shell gives it.
func run(ctx context.Context, fe frontend.FrontEnd, variants int, prefix string, files []*os.File, args ...string) (int, error) {
	// The names that the kernel gives to directories have no symbolic links in them.
	prefix, err := filepath.EvalSymlinks(prefix)
	if err == nil {
		prefix, err = filepath.Abs(prefix)
	}
	if err != nil {
		return 0, err
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return 0, err
	}
	cfg := libmultivar.Config{Hooks: libmultivar.Hooks{OnCall: fence(prefix).judge}}
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

// fence is the absolute name of a directory that is out of bounds.
type fence string

// judge refuses a call that names a file behind the fence.
func (f fence) judge(c *libmultivar.Call) libmultivar.Verdict {
	for _, a := range c.Args() {
		if a.Kind != sysabi.Path {
			continue
		}
		name, err := c.Path(a.Name)
		switch {
		case errors.Is(err, frontend.ErrFault):
			// No string: the kernel refuses it, too.
		case err != nil || f.bars(name):
			return libmultivar.Fail(int(syscall.EACCES))
		}
	}
	return libmultivar.GoOn()
}

// bars reports whether the file with an absolute name is behind the fence.
func (f fence) bars(name string) bool {
	rest, ok := strings.CutPrefix(name, string(f))
	return ok && (rest == "" || rest[0] == '/' || f == "/")
}
