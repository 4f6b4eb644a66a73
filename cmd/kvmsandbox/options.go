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
	"github.com/multivar/multivar/internal/manual"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/rule"
)

// usage is the text of --help.
func usage() string {
	command := manual.Kvmsandbox()
	return command.Usage()
}

// options is what the command line and the environment ask for.
type options struct {
	variants int
	frontEnd string
	policy   policy.Policy
	// rules is nil when there are none.
	rules *rule.Set
	// ahead is how many calls the leader may be ahead of a follower, 0 for as many as usual.
	ahead int
	// programs holds the variants that run a program of their own.
	programs    map[int]string
	report, log string
	// stats asks for the table of calls at the end: on standard error, or in a file.
	stats optionalFile
	// trace is the file of the trace, metrics the address where metrics are served.
	trace, metrics string
	// notices are told before the program starts.
	notices    []string
	reportHTML string
	// dumpCores asks for core dumps of variants that diverge, hold to leave them for a
	// debugger.
	dumpCores, hold bool
	// perVariant asks for a log file per variant.
	perVariant bool
	pids       libmultivar.PidMode
	layout     libmultivar.LayoutMode
	threads    libmultivar.ThreadMode
	// sleepless: variants that wait for each other do not sleep.
	sleepless bool
	// fast says whether frequent calls are dealt with beside the programs.
	fast fastMode
	// verifyFast has each of these compared with what the monitor would have done.
	verifyFast  bool
	hangTimeout time.Duration
	verbose     bool
	// cpus are the processors to run on, nil for all, and followerCPUs those of followers
	// where they have their own; free leaves it to the kernel on which of them who runs.
	// lowLatency has them wake up at once.
	cpus, followerCPUs *unix.CPUSet
	free               bool
	lowLatency         bool
	// detach asks for the prompt as soon as the program's first process has ended.
	detach        bool
	help, version bool
	// program is empty when none was given.
	program string
	args    []string
}

const defaultVariants = 2

// fastMode is what --fast says.
type fastMode uint8

const (
	// fastAuto leaves it to the front-end.
	fastAuto fastMode = iota
	fastOn
	fastOff
)

// on says whether frequent calls are dealt with beside the programs, by a front-end that does
// so unless the user says otherwise, or does not.
func (m fastMode) on(byDefault bool) bool { return m == fastOn || m == fastAuto && byDefault }

// callsAreSeen reports whether somebody wants to know of each call, or threads run in parallel: none is
// dealt with beside the variants then.
func (o *options) callsAreSeen() bool {
	return o.log != "" || o.trace != "" || o.metrics != "" || o.perVariant || o.threads == libmultivar.ThreadsParallel
}

// textOptions are values of flags that stand for something else.
type textOptions struct{ policy, rules, pids, layout, threads, fast string }

// flagSet returns the flags, which set o and text.
func (o *options) flagSet(text *textOptions) *flag.FlagSet {
	fs := flag.NewFlagSet("kvmsandbox", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&o.variants, "n", 0, "")
	fs.StringVar(&o.frontEnd, "frontend", "auto", "")
	fs.StringVar(&text.policy, "policy", policy.Default, "")
	fs.StringVar(&text.rules, "rules", "", "")
	fs.Func("variant", "", o.addProgram)
	fs.IntVar(&o.ahead, "ahead", 0, "")
	fs.StringVar(&o.report, "report", "", "")
	fs.StringVar(&o.reportHTML, "report-html", "", "")
	fs.Func("on-divergence", "", o.setOnDivergence)
	fs.StringVar(&o.log, "log", "", "")
	fs.Var(&o.stats, "stats", "")
	fs.StringVar(&o.trace, "trace", "", "")
	fs.StringVar(&o.metrics, "metrics", "", "")
	fs.StringVar(&text.pids, "pids", "leader", "")
	fs.StringVar(&text.layout, "layout", "code", "")
	fs.StringVar(&text.threads, "threads", "serial", "")
	fs.StringVar(&text.fast, "fast", "auto", "")
	fs.BoolVar(&o.verifyFast, "verify-fast", false, "")
	fs.DurationVar(&o.hangTimeout, "hang-timeout", libmultivar.DefaultHangTimeout, "")
	fs.Func("cpus", "", o.setCPUs)
	fs.BoolVar(&o.lowLatency, "low-latency", false, "")
	fs.BoolVar(&o.detach, "detach", false, "")
	fs.BoolVar(&o.verbose, "v", false, "")
	fs.BoolVar(&o.version, "version", false, "")
	fs.BoolVar(&o.help, "help", false, "")
	fs.BoolVar(&o.help, "h", false, "")
	return fs
}

// parseOptions reads the arguments after the command's name, up to the first that
// is no flag. Errors are one line for the user.
func parseOptions(args, env []string) (options, error) {
	o := options{programs: map[int]string{}}
	var text textOptions
	fs := o.flagSet(&text)
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
	if err := o.setSwitches(&text, given, env); err != nil {
		return o, err
	}
	for _, name := range []string{"report", "report-html", "log", "trace", "rules"} {
		if given[name] && fs.Lookup(name).Value.String() == "" {
			return o, fmt.Errorf("--%s needs the name of a file", name)
		}
	}
	if given["metrics"] {
		address, err := metricsAddress(o.metrics)
		if err != nil {
			return o, err
		}
		o.metrics = address
	}
	if o.hold && o.detach {
		return o, errors.New("--on-divergence stop waits for whoever looks at the variants, and --detach does not: give one of them")
	}
	if o.hangTimeout <= 0 {
		return o, fmt.Errorf("--hang-timeout %v: must be longer than 0", o.hangTimeout)
	}
	var err error
	if o.policy, err = loadPolicy(text.policy); err != nil {
		return o, fmt.Errorf("--policy: %w", err)
	}
	if given["rules"] {
		if o.rules, err = loadRules(text.rules, o.variants); err != nil {
			return o, fmt.Errorf("--rules: %w", err)
		}
	}
	if o.pids, err = parsePids(text.pids); err != nil {
		return o, err
	}
	switch text.layout {
	case "code":
		o.layout = libmultivar.LayoutCode
	case "disjoint":
		o.layout = libmultivar.LayoutDisjoint
	default:
		return o, fmt.Errorf("--layout: unknown layout %q; there are code, disjoint", text.layout)
	}
	switch text.threads {
	case "serial":
		o.threads = libmultivar.ThreadsSerial
	case "parallel":
		o.threads = libmultivar.ThreadsParallel
	default:
		return o, fmt.Errorf("--threads: there is no mode %q; there are serial, parallel", text.threads)
	}
	switch text.fast {
	case "auto":
	case "on":
		o.fast = fastOn
	case "off":
		o.fast = fastOff
	default:
		return o, fmt.Errorf("--fast: there is no mode %q; there are auto, on, off", text.fast)
	}
	if o.verifyFast {
		if err := o.checkVerify(given); err != nil {
			return o, err
		}
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

// checkVerify refuses to verify where it is known that no call is dealt with beside the variants.
func (o *options) checkVerify(given map[string]bool) error {
	without := ""
	for _, name := range []string{"log", "trace", "metrics"} {
		if given[name] {
			without = "--" + name
		}
	}
	switch {
	case o.fast == fastOff:
		without = "--fast off"
	case o.threads == libmultivar.ThreadsParallel:
		without = "--threads parallel"
	}
	if without != "" {
		return fmt.Errorf("--verify-fast is about calls that are dealt with beside the variants; with %s there are none", without)
	}
	o.fast = fastOn
	return nil
}

// optionalFile is the value of a flag that may be given without one. It implements
// flag.Value.
type optionalFile struct {
	wanted bool
	// name is empty when none was given.
	name string
}

func (f *optionalFile) String() string { return f.name }

// IsBoolFlag makes the flag one that stands alone, so that what follows is no value.
func (f *optionalFile) IsBoolFlag() bool { return true }

// Set takes what the flag package passes: "true" for a flag without a value.
func (f *optionalFile) Set(value string) error {
	*f = optionalFile{wanted: true, name: value}
	switch value {
	case "true":
		f.name = ""
	case "":
		return errors.New("the name of the file is empty")
	}
	return nil
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

// setCPUs takes the value of --cpus.
func (o *options) setCPUs(value string) error {
	o.free, o.cpus, o.followerCPUs = value == "free", nil, nil
	if o.free {
		return nil
	}
	all, followers, apart := strings.Cut(value, "/")
	set, err := unix.ParseCPUs(all)
	if err != nil {
		return fmt.Errorf("%w, nor free", err)
	}
	o.cpus = &set
	if !apart {
		return nil
	}
	own, err := unix.ParseCPUs(followers)
	if err != nil {
		return err
	}
	o.followerCPUs = &own
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
