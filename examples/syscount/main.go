//go:build linux && amd64

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"text/tabwriter"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/ptracefe"
)

func main() {
	variants := flag.Int("n", 2, "number of variants")
	kvm := flag.Bool("kvm", false, "run the variants in virtual machines instead of tracing them")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: syscount [-n N] [-kvm] PROG [ARG...]")
		os.Exit(2)
	}
	var fe frontend.FrontEnd = ptracefe.New()
	if *kvm {
		fe = kvmsandbox.New()
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	table, status, err := count(context.Background(), fe, *variants, files, flag.Args()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "syscount:", err)
		os.Exit(1)
	}
	if err := table.write(os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "syscount:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

// calls is how often a call was made, and how often in vain.
type calls struct{ all, failed int }

// table holds the calls by name.
type table map[string]calls

// count runs a program and counts the calls of all its processes. It returns the program's
// exit status as a shell gives it.
func count(ctx context.Context, fe frontend.FrontEnd, variants int, files []*os.File, args ...string) (table, int, error) {
	program, err := exec.LookPath(args[0])
	if err != nil {
		return nil, 0, err
	}
	t := table{}
	cfg := libmultivar.Config{Hooks: libmultivar.Hooks{
		// Asked before the call, so that those are counted that never return, too.
		OnCall: func(c *libmultivar.Call) libmultivar.Verdict {
			n := t[c.Name]
			n.all++
			t[c.Name] = n
			return libmultivar.GoOn()
		},
		OnResult: func(c *libmultivar.Call, r libmultivar.Result) {
			if n := t[c.Name]; r.Errno() != 0 {
				n.failed++
				t[c.Name] = n
			}
		},
	}}
	if _, err := rand.Read(cfg.Seed[:]); err != nil {
		return nil, 0, err
	}
	spec := frontend.Spec{Programs: []string{program}, Args: args, Env: os.Environ(), Files: files, Variants: variants}
	outcome, err := libmultivar.Run(ctx, fe, spec, cfg)
	switch {
	case err != nil:
		return nil, 0, err
	case !outcome.Ended:
		return nil, 0, errors.New("the session ended before the program")
	case outcome.Status.Signal != 0:
		return t, 128 + outcome.Status.Signal, nil
	}
	return t, outcome.Status.Code, nil
}

// write prints the table, the most frequent calls first.
func (t table) write(w io.Writer) error {
	names := slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		return cmp.Or(cmp.Compare(t[b].all, t[a].all), cmp.Compare(a, b))
	})
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "calls\terrors\t name")
	for _, name := range names {
		fmt.Fprintf(out, "%d\t%d\t %s\n", t[name].all, t[name].failed, name)
	}
	return out.Flush()
}
