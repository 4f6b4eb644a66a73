package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

const usage = `Usage: kvmsandbox [flags] PROG [ARG...]
       kvmsandbox doctor [--json] [-n N]

Runs variants of PROG as one program and stops them when they behave differently.
doctor, as the first word, tells what this host offers and how to get what it
lacks; a program of that name is run by kvmsandbox -- doctor, or by its path.

  -n N                 number of variants, 1 to 64 (2, or MV_NUM_PROC)
  --frontend NAME      how calls are caught: kvm, ptrace, or auto: kvm where the
                       processor has VMX or SVM, else ptrace (auto)
  --policy NAME        which calls wait until all variants agree: performance,
                       exec, leak, comprehensive (exec); all calls are compared
  --variant I=PROG     run this PROG in variant I instead; may be repeated
  --report FILE        write the report of a divergence to FILE as JSON
  --report-html FILE   write it as a page for browsers
  --on-divergence HOW  kill all variants (kill), have each leave a core dump
                       core.PID.VARIANT in the working directory (core), or leave
                       them for gdb until kvmsandbox is ended (stop; ptrace only)
                       (kill)
  --log FILE           write each call of the program to FILE, one per line
  --pids HOW           process ids that the program sees: leader (its real ones),
                       or a number from which to count: 1, 1000 (leader)
  --layout NAME        which memory has other addresses in each variant: code
                       (programs and libraries), disjoint (everything; programs
                       that use addresses as random numbers diverge) (code)
  --hang-timeout TIME  processor time after which a variant that others wait for
                       counts as hung (60s)
  --detach             return as soon as the first process of PROG has ended; go on
                       watching the daemons that it has left in the background
  -v                   tell more on standard error
  --version            print the version
  --help               print this

Environment: MV_NUM_PROC is the number of variants without -n; MV_OUT_TO_FILE
writes the calls of each variant I to the file out.I; with MV_DONT_DETACH --detach
does nothing.

Exit status: that of PROG, or death by the signal that killed PROG; 86 when the
variants diverged; 125 when kvmsandbox failed; 126 when PROG cannot be run; 127
when PROG was not found.
`

// options is what the command line and the environment ask for.
type options struct {
	variants int
	frontEnd string
	policy   policy.Policy
	// programs holds the variants that run a program of their own.
	programs    map[int]string
	report, log string
	reportHTML  string
	// dumpCores asks for core dumps of variants that diverge, hold to leave them for a
	// debugger.
	dumpCores, hold bool
	// perVariant asks for a log file per variant.
	perVariant  bool
	pids        libmultivar.PidMode
	layout      libmultivar.LayoutMode
	hangTimeout time.Duration
	verbose     bool
	// detach asks for the prompt as soon as the program's first process has ended.
	detach        bool
	help, version bool
	// program is empty when none was given.
	program string
	args    []string
}

const defaultVariants = 2

// parseOptions reads the arguments after the command's name, up to the first that
// is no flag. Errors are one line for the user.
func parseOptions(args, env []string) (options, error) {
	o := options{programs: map[int]string{}}
	var policyName, pids, layout string
	fs := flag.NewFlagSet("kvmsandbox", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&o.variants, "n", 0, "")
	fs.StringVar(&o.frontEnd, "frontend", "auto", "")
	fs.StringVar(&policyName, "policy", policy.Default, "")
	fs.Func("variant", "", o.addProgram)
	fs.StringVar(&o.report, "report", "", "")
	fs.StringVar(&o.reportHTML, "report-html", "", "")
	fs.Func("on-divergence", "", o.setOnDivergence)
	fs.StringVar(&o.log, "log", "", "")
	fs.StringVar(&pids, "pids", "leader", "")
	fs.StringVar(&layout, "layout", "code", "")
	fs.DurationVar(&o.hangTimeout, "hang-timeout", libmultivar.DefaultHangTimeout, "")
	fs.BoolVar(&o.detach, "detach", false, "")
	fs.BoolVar(&o.verbose, "v", false, "")
	fs.BoolVar(&o.version, "version", false, "")
	fs.BoolVar(&o.help, "help", false, "")
	fs.BoolVar(&o.help, "h", false, "")
	if err := fs.Parse(args); err != nil {
		return o, fmt.Errorf("%w; kvmsandbox --help lists the flags", err)
	}
	if o.help || o.version {
		return o, nil
	}

	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := o.setVariants(given["n"], env); err != nil {
		return o, err
	}
	for i := range o.programs {
		if i >= o.variants {
			return o, fmt.Errorf("--variant %d=%s: the variants are 0 to %d", i, o.programs[i], o.variants-1)
		}
	}
	for _, name := range []string{"report", "report-html", "log"} {
		if given[name] && fs.Lookup(name).Value.String() == "" {
			return o, fmt.Errorf("--%s needs the name of a file", name)
		}
	}
	if o.hold && o.detach {
		return o, errors.New("--on-divergence stop waits for whoever looks at the variants, and --detach does not: give one of them")
	}
	if o.hangTimeout <= 0 {
		return o, fmt.Errorf("--hang-timeout %v: must be longer than 0", o.hangTimeout)
	}
	var err error
	if o.policy, err = policy.ByName(policyName); err != nil {
		return o, fmt.Errorf("--policy: %w", err)
	}
	if o.pids, err = parsePids(pids); err != nil {
		return o, err
	}
	switch layout {
	case "code":
		o.layout = libmultivar.LayoutCode
	case "disjoint":
		o.layout = libmultivar.LayoutDisjoint
	default:
		return o, fmt.Errorf("--layout: unknown layout %q; there are code, disjoint", layout)
	}
	_, o.perVariant = lookupEnv(env, "MV_OUT_TO_FILE")
	if _, stay := lookupEnv(env, "MV_DONT_DETACH"); stay {
		o.detach = false
	}
	if rest := fs.Args(); len(rest) > 0 {
		if rest[0] == "" {
			return o, errors.New("the name of the program is empty")
		}
		o.program, o.args = rest[0], rest[1:]
	}
	return o, nil
}

// setVariants settles the number of variants.
func (o *options) setVariants(given bool, env []string) error {
	source := "-n"
	if !given {
		o.variants = defaultVariants
		if v, ok := lookupEnv(env, "MV_NUM_PROC"); ok && v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				return fmt.Errorf("MV_NUM_PROC=%s: not a number", v)
			}
			source, o.variants = "MV_NUM_PROC", n
		}
	}
	if o.variants < 1 || o.variants > frontend.MaxVariants {
		return fmt.Errorf("%s: %d variants; it must be 1 to %d", source, o.variants, frontend.MaxVariants)
	}
	return nil
}

// setOnDivergence takes the value of --on-divergence.
func (o *options) setOnDivergence(value string) error {
	switch value {
	case "kill", "core", "stop":
		o.dumpCores, o.hold = value == "core", value == "stop"
		return nil
	}
	return errors.New("there are kill, core, stop")
}

// addProgram takes the value I=PROG of --variant.
func (o *options) addProgram(value string) error {
	number, program, ok := strings.Cut(value, "=")
	i, err := strconv.Atoi(number)
	if !ok || err != nil || i < 0 || program == "" {
		return errors.New("want I=PROG with the number of a variant")
	}
	if _, twice := o.programs[i]; twice {
		return fmt.Errorf("variant %d has a program already", i)
	}
	o.programs[i] = program
	return nil
}

// maxFirstPid bounds --pids: the kernel's ids have 22 bits (PID_MAX_LIMIT in
// include/linux/threads.h).
const maxFirstPid = 1 << 21

func parsePids(value string) (libmultivar.PidMode, error) {
	if value == "leader" {
		return libmultivar.PidsLeader, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxFirstPid {
		return 0, fmt.Errorf("--pids %s: want leader, 1 or 1000", value)
	}
	return libmultivar.PidMode(n), nil
}

// lookupEnv returns the value of the first variable with this name.
func lookupEnv(env []string, name string) (value string, ok bool) {
	for _, e := range env {
		if key, v, found := strings.Cut(e, "="); found && key == name {
			return v, true
		}
	}
	return "", false
}
