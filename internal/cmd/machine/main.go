//go:build linux

// Command machine runs a command in an emulated machine, and ends with its status.
//
//	go run ./internal/cmd/machine [flags] COMMAND [ARG...]
//
// COMMAND is a static program of this host, or one that the machine has: what -file
// puts there and busybox, as in
//
//	CGO_ENABLED=0 go build -o kvmsandbox ./cmd/kvmsandbox
//	go run ./internal/cmd/machine -file kvmsandbox sh -c 'kvmsandbox doctor; kvmsandbox busybox ls /'
//
// make deps-svm and make deps-arm64 install what a machine needs. In the machine this
// program is the first process; one of another instruction set than the host's needs it built
// for that:
//
//	CGO_ENABLED=0 GOARCH=arm64 go build -o init ./internal/cmd/machine
//	go run ./internal/cmd/machine -kind arm64 -init init busybox uname -a
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/multivar/multivar/internal/machine"
)

// statusFailed is the status when there is none of the command.
const statusFailed = 125

func main() {
	if machine.Inside() {
		machine.Init()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "machine: %v\n", err)
	}
	os.Exit(status)
}

func run(ctx context.Context, args []string) (int, error) {
	cfg := machine.Config{Files: map[string]string{}}
	fs := flag.NewFlagSet("machine", flag.ContinueOnError)
	kind := fs.String("kind", "svm", "the machine: svm or arm64")
	fs.StringVar(&cfg.Kernel, "kernel", "", "directory of kernel and modules (.tools/KIND)")
	fs.StringVar(&cfg.Init, "init", "", "this command, built for the machine (itself)")
	fs.IntVar(&cfg.Processors, "smp", 0, "processors of the machine (2)")
	fs.IntVar(&cfg.Memory, "m", 0, "memory of the machine in MiB (1024)")
	limit := fs.Duration("limit", 5*time.Minute, "time after which the machine is stopped")
	verbose := fs.Bool("v", false, "show the machine's console and times on standard error")
	fs.Func("file", "put a file into /bin, or with HERE=THERE at a place of its own; may be repeated", func(v string) error {
		here, there, ok := strings.Cut(v, "=")
		if !ok {
			there = "/bin/" + filepath.Base(here)
		}
		cfg.Files[there] = here
		return nil
	})
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0, nil
	} else if err != nil || fs.NArg() == 0 {
		return statusFailed, errors.New("no command to run; -h lists the flags")
	}
	for _, k := range []machine.Kind{machine.SVM(), machine.ARM64()} {
		if k.Name() == *kind {
			cfg.Kind = k
		}
	}
	if cfg.Kind.Name() == "" {
		return statusFailed, fmt.Errorf("unknown kind %q", *kind)
	}
	if cfg.Kernel == "" {
		cfg.Kernel = filepath.Join(".tools", *kind)
	}
	if cfg.Init == "" {
		self, err := os.Executable()
		if err != nil {
			return statusFailed, err
		}
		cfg.Init = self
	}
	command := fs.Args()
	if info, err := os.Stat(command[0]); err == nil && info.Mode().IsRegular() {
		there := "/bin/" + filepath.Base(command[0])
		cfg.Files[there] = command[0]
		command[0] = there
	}
	cfg.Commands = []machine.Command{{Args: command, Limit: *limit}}
	if *verbose {
		cfg.Console = os.Stderr
		cfg.Booted = func(d time.Duration) { fmt.Fprintf(os.Stderr, "machine: booted in %v\n", d.Round(time.Millisecond)) }
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("the limit of %v is over", *limit))
	defer cancel()
	results, err := machine.Run(ctx, cfg)
	if err != nil {
		return statusFailed, err
	}
	r := results[0]
	_, _ = os.Stdout.Write(r.Stdout)
	_, _ = os.Stderr.Write(r.Stderr)
	if *verbose {
		fmt.Fprintf(os.Stderr, "machine: the command took %v\n", r.Took.Round(time.Millisecond))
	}
	switch {
	case r.Err != "":
		return statusFailed, errors.New(r.Err)
	case r.Signal != 0:
		return 128 + int(r.Signal), fmt.Errorf("the command died: %v", r.Signal)
	}
	return r.Status, nil
}
