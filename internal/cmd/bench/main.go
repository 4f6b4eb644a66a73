//go:build linux && amd64

// Command bench measures what system calls, whole programs and servers cost under
// kvmsandbox.
//
//	go run ./internal/cmd/bench [flags]
//
// It compiles a small program with gcc, runs it natively, under strace and under
// kvmsandbox with one to three variants, and prints a table in Markdown: the median
// of several runs and its ratio to the native cost. The contenders take turns, so
// that what else happens on the machine hits all alike.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/multivar/multivar/inprocfe"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox"
)

//go:embed program/bench.c
var source string

// runLimit ends a run that hangs; no run takes nearly as long.
const runLimit = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// contender is a way to run the program: what stands in front of its arguments.
type contender struct {
	name   string
	prefix []string
	// variants is their number, 0 without kvmsandbox.
	variants int
}

// variants is the contender of a front-end with n variants.
func variants(sandbox, frontEnd string, n int, flags ...string) contender {
	return contender{
		name:     strings.Join(append([]string{frontEnd}, append(flags, fmt.Sprintf("N=%d", n))...), " "),
		prefix:   append([]string{sandbox, "--frontend", frontEnd, "-n", strconv.Itoa(n)}, flags...),
		variants: n,
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	binary := fs.String("kvmsandbox", "bin/kvmsandbox", "the kvmsandbox to measure")
	runs := fs.Int("runs", 5, "runs of each contender")
	budget := fs.Duration("budget", 150*time.Millisecond, "time of one loop")
	lowLatency := fs.Bool("low-latency", false, "hold "+unix.LatencyFile+" at 0 for all contenders")
	part := fs.String("part", "", "measure only `calls`, programs or servers")
	var contest serverContest
	fs.IntVar(&contest.rounds, "rounds", 7, "slices of each contender for each server")
	fs.IntVar(&contest.clients, "clients", 50, "clients of a server at once")
	fs.DurationVar(&contest.slice, "slice", time.Second, "length of a slice")
	fs.StringVar(&contest.only, "server", "", "measure only this server")
	fs.StringVar(&contest.among, "contenders", "", "measure, beside native and strace, only those of servers with one of these `names`, separated by commas")
	fs.BoolVar(&contest.place, "place", true, "give the clients of servers a processor of their own, and the servers the others")
	fs.BoolVar(&contest.tools, "tools", false, "have redis-benchmark and wrk make the requests to servers, as users would, in place of clients that take fewer processors")
	fs.StringVar(&contest.runsc, "runsc", "", "gVisor's runsc, to compare servers with")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *runs < 1 || *budget <= 0 || fs.NArg() > 0 || !slices.Contains([]string{"", "calls", "programs", "servers"}, *part) {
		return errors.New("needs at least one run, a budget, and no arguments; -h lists the flags")
	}
	sandbox, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	if contest.runsc != "" {
		if contest.runsc, err = filepath.Abs(contest.runsc); err != nil {
			return err
		}
	}
	if _, err := os.Stat(sandbox); err != nil {
		return fmt.Errorf("%w; build it with make build or name it with -kvmsandbox", err)
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		return fmt.Errorf("%w; make deps installs it", err)
	}
	if *lowLatency {
		latency, err := unix.HoldLatency()
		if err != nil {
			return fmt.Errorf("%w; run as root or without -low-latency", err)
		}
		defer latency.Close()
	}

	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	contenders := []contender{
		{name: "native"},
		{name: "strace -f", prefix: []string{strace, "-f", "-o", "/dev/null"}},
		variants(sandbox, "ptrace", 1), variants(sandbox, "ptrace", 2), variants(sandbox, "ptrace", 3),
	}
	inproc, err := inprocfe.Probe(ctx)
	if err == nil && inproc.Usable() {
		contenders = append(contenders, variants(sandbox, "inproc", 1, "--fast", "off"), variants(sandbox, "inproc", 2, "--fast", "off"),
			variants(sandbox, "inproc", 1), variants(sandbox, "inproc", 2))
	} else {
		fmt.Fprintf(progress, "bench: without inproc: kvmsandbox doctor says why (%v)\n", err)
	}
	exit, err := bareExits(*runs)
	if err == nil {
		contenders = append(contenders, variants(sandbox, "kvm", 1), variants(sandbox, "kvm", 2))
	} else {
		fmt.Fprintf(progress, "bench: without virtual machines: %v\n", err)
	}
	held := unix.LatencyFile + " was not held"
	if *lowLatency {
		held = unix.LatencyFile + " was held at 0"
	}
	if *part == "" || *part == "calls" {
		if err := measureCalls(ctx, out, progress, contenders, dir, *runs, *budget, held); err != nil {
			return err
		}
		if exit > 0 {
			if _, err := fmt.Fprintf(out, "\nLeaving a virtual machine for a system call and entering it again, with nothing in between: %s.\n",
				exit.Round(100*time.Nanosecond)); err != nil {
				return err
			}
			if err := writeExits(ctx, out, dir); err != nil {
				return err
			}
		}
	}
	if *part == "" || *part == "programs" {
		if err := wholePrograms(ctx, out, progress, contenders, dir, *runs); err != nil {
			return err
		}
	}
	if *part == "" || *part == "servers" {
		return compareServers(ctx, out, progress, contest, sandbox, strace, hostHas{inproc: inproc.Usable(), kvm: exit > 0}, held)
	}
	return nil
}

// measureCalls measures what calls cost and writes the table.
func measureCalls(ctx context.Context, out, progress io.Writer, contenders []contender, dir string, runs int, budget time.Duration, held string) error {
	program, err := compile(ctx, dir)
	if err != nil {
		return err
	}
	var t table
	for round := range runs {
		for i := range contenders {
			// Another one goes first in each round.
			c := contenders[(i+round)%len(contenders)]
			fmt.Fprintf(progress, "\rrun %d of %d: %-10s", round+1, runs, c.name)
			results, err := measure(ctx, c, program, dir, budget)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			t.add(c.name, results)
		}
	}
	fmt.Fprintf(progress, "\r%40s\r", "")

	if _, err := fmt.Fprintf(out, "Cost of a call, median of %d interleaved runs, and its ratio to the native cost. "+
		"%s, %d processors, Linux %s; %s. read and write are pread and pwrite of a temporary file at offset 0.\n\n",
		runs, processor(), runtime.NumCPU(), kernel(), held); err != nil {
		return err
	}
	names := make([]string, len(contenders))
	for i, c := range contenders {
		names[i] = c.name
	}
	return t.write(out, names)
}

// exitsPerRun is how many exits one measurement of them makes.
const exitsPerRun = 2000

// bareExits returns the median cost of an exit from a virtual machine.
func bareExits(runs int) (time.Duration, error) {
	var all []time.Duration
	for range runs {
		d, err := kvmsandbox.MeasureExits(exitsPerRun)
		if err != nil {
			return 0, err
		}
		all = append(all, d)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// compile builds the program and returns its path.
func compile(ctx context.Context, dir string) (string, error) {
	src, bin := filepath.Join(dir, "bench.c"), filepath.Join(dir, "bench")
	if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
		return "", err
	}
	if msg, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-o", bin, src).CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcc: %w: %s", err, msg)
	}
	return bin, nil
}

// measure runs the program once and returns what it printed.
func measure(ctx context.Context, c contender, program, dir string, budget time.Duration) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	argv := append(append([]string{}, c.prefix...), program, fmt.Sprint(budget.Seconds()*1e3))
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	// strace ends its program when it gets a signal that it can catch.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return parse(string(out))
}

// processor and kernel say on what was measured, as far as /proc tells.

func processor() string {
	p, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(p)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	p, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "(unknown)"
	}
	return strings.TrimSpace(string(p))
}
