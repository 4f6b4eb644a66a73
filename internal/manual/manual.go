package manual

import (
	"strings"

	"github.com/multivar/multivar/libmultivar/policy"
)

// Command is the command or one of its sub-commands.
type Command struct {
	// Name is the sub-command's word, empty for the command itself.
	Name string
	// Synopses are its usages, without the command's name.
	Synopses []string
	// Text says what it does, in paragraphs.
	Text  []string
	Flags []Flag
	// Variables are those of the environment that it reads.
	Variables []Variable
	// Statuses says what its exit status means.
	Statuses string
}

// Flag is a flag of a command.
type Flag struct {
	// Name is without dashes.
	Name string
	// Value stands for the flag's value, empty when it takes none. Optional values are
	// given behind an equals sign only.
	Value    string
	Optional bool
	// Text says what it does. It begins in lower case and ends without a full stop.
	Text string
	// More is what only the manual page says: sentences.
	More string
	// Default is shown behind the text, when it is not empty.
	Default string
	// Words are the values that there are, when there are only so many.
	Words []string
	// Of says what the value names, for completion.
	Of Kind
}

// Kind says what a value names.
type Kind uint8

// What values name.
const (
	Nothing Kind = iota
	// File is a file that is written.
	File
	// Program is I=PROG.
	Program
)

// Dashed returns the flag's name as it is typed.
func (f *Flag) Dashed() string {
	if len(f.Name) == 1 {
		return "-" + f.Name
	}
	return "--" + f.Name
}

// Variable is one of the environment, or several of which the same is true.
type Variable struct {
	Name, Text string
}

// Kvmsandbox returns the command.
func Kvmsandbox() Command {
	return Command{
		Synopses: []string{"[flags] PROG [ARG...]", "doctor [--json] [-n N]", "policy list | show NAME|FILE.toml"},
		Text: []string{
			"Runs variants of PROG as one program and stops them when they behave differently. " +
				"doctor, as the first word, tells what this host offers and how to get what it lacks; " +
				"policy tells what policies there are and what they decide about each call. " +
				"A program of such a name is run by kvmsandbox -- NAME, or by its path.",
		},
		Flags:     flags(),
		Variables: variables(),
		Statuses: "that of PROG, or death by the signal that killed PROG; 86 when the variants diverged; " +
			"125 when kvmsandbox failed; 126 when PROG cannot be run; 127 when PROG was not found.",
	}
}

func flags() []Flag {
	return []Flag{
		{
			Name: "n", Value: "N", Text: "number of variants, 1 to 64", Default: "2, or MV_NUM_PROC",
			More: "With 1 there is only the leader: calls are caught and logged, and nothing is compared.",
		},
		{
			Name: "frontend", Value: "NAME", Default: "auto", Words: []string{"auto", "kvm", "inproc", "ptrace"},
			Text: "how calls are caught: kvm, inproc, ptrace, or auto: kvm where the processor has VMX or SVM, else inproc, else ptrace",
			More: "kvmsandbox doctor says what each of them lacks here. inproc runs programs in their processes, untraced: " +
				"it detects attacks but does not contain programs that are written to get around it; take ptrace or kvm for programs that nobody trusts. " +
				"With --on-divergence stop auto is ptrace.",
		},
		{
			Name: "policy", Value: "NAME", Default: "exec, or MV_SEC_POL", Words: policy.Names(),
			Text: "which calls wait until all variants agree: " + strings.Join(policy.Names(), ", ") +
				", or a FILE.toml; all calls are compared",
			More: "performance: creation of processes; exec: execution of programs and mappings that can be executed, too; " +
				"leak: what hands data out; comprehensive: every call; full to socket_rw_oc are those of A8. " +
				"Ends of processes and signals always wait. " +
				"A call that does not wait is compared when the leader's effect is there already. kvmsandbox policy show tells the rest.",
		},
		{
			Name: "rules", Value: "FILE", Of: File,
			Text: "differences that are expected, in TOML: parts of arguments, and harmless calls that one variant makes and another does not",
		},
		{Name: "variant", Value: "I=PROG", Of: Program, Text: "run this PROG in variant I instead; may be repeated"},
		{
			Name: "ahead", Value: "N", Default: "256, or MV_RINGBUFFER_SIZE",
			Text: "how many calls the leader may be ahead of the slowest follower in each thread",
			More: "Less means that less can happen between a difference and its discovery where calls do not wait; more hides " +
				"hand-overs between processors. Data bound it, too: 64 MiB in each thread. Of calls that are made beside the " +
				"variants (--fast on) it is as many again, and without this flag 4096; 1 MiB of their data bounds it.",
		},
		{Name: "report", Value: "FILE", Of: File, Text: "write the report of a divergence to FILE as JSON"},
		{Name: "report-html", Value: "FILE", Of: File, Text: "write it as a page for browsers"},
		{
			Name: "on-divergence", Value: "HOW", Words: []string{"kill", "core", "stop"},
			Text: "kill all variants (kill), have each leave a core dump core.PID.VARIANT in the working directory (core), " +
				"or leave them for gdb until kvmsandbox is ended (stop; ptrace only) (kill)",
		},
		{
			Name: "log", Value: "FILE", Of: File, Text: "write each call of the program to FILE, one per line, as strace does",
			More: "Lines are the leader's. They show what was compared: buffers by their first 32 bytes, long ones by a hash.",
		},
		{
			Name: "stats", Value: "FILE", Optional: true, Of: File,
			Text: "at the end, write how often calls were made and for how long they waited, to FILE or to standard error",
			More: "beside is how many calls were dealt with beside the variants (--fast), which wait for nobody at the engine. " +
				"leader waits is for how long the leader's calls stood at the engine before they ran, followers wait the same of " +
				"all followers together, most of it for the leader's results; a call that sleeps makes followers wait. p50 and p99 are of " +
				"the whole call in the leader, without the stop that catches it; they are at most an eighth too large, and of calls beside the variants one in sixteen is timed. " +
				"With --detach the table of what went on in the background goes to FILE only.",
		},
		{
			Name: "trace", Value: "FILE", Of: File, Text: "write what happens to FILE, for ui.perfetto.dev",
			More: "Variants are processes, threads threads, calls and waits slices. The file is complete when kvmsandbox ends by " +
				"itself, also after a divergence; of one that was killed Perfetto shows what there is.",
		},
		{
			Name: "metrics", Value: "ADDR", Text: "serve metrics for Prometheus at http://ADDR/metrics while PROG runs",
			More: "ADDR is HOST:PORT; a port alone, with or without a colon, is one of 127.0.0.1. Whoever can connect can read which calls PROG makes.",
		},
		{
			Name: "pids", Value: "HOW", Default: "leader", Words: []string{"leader", "1", "1000"},
			Text: "process ids that the program sees: leader (its real ones), or a number from which to count: 1, 1000",
		},
		{
			Name: "layout", Value: "NAME", Default: "code", Words: []string{"code", "disjoint"},
			Text: "which memory has other addresses in each variant: code (programs and libraries), " +
				"disjoint (everything; programs that use addresses as random numbers diverge)",
		},
		{
			Name: "threads", Value: "HOW", Default: "serial", Words: []string{"serial", "parallel"},
			Text: "how threads run: serial (one at a time, in the same order in each variant), " +
				"parallel (all of them; programs diverge whose threads make other calls when they meet in another order)",
		},
		{
			Name: "fast", Value: "HOW", Default: "auto", Words: []string{"auto", "on", "off"},
			Text: "whether frequent calls are made and compared beside the variants (inproc and kvm; with ptrace readings of clocks): on, or off: each is the monitor's; auto: on with inproc and ptrace, and with kvm where the processor has VMX or SVM",
			More: "Calls are always the monitor's with --log, --trace, --metrics, --threads parallel and --rules with extra calls; " +
				"those of which --rules mask something are, too.",
		},
		{
			Name: "verify-fast",
			Text: "make such calls beside the variants, have the monitor look at each of them, and end (125) where it would have done something else",
			More: "It is there to find faults in kvmsandbox, and slow: each of these calls stops every variant twice. It implies --fast on.",
		},
		{
			Name: "hang-timeout", Value: "TIME", Default: "60s",
			Text: "processor time after which a variant that others wait for counts as hung",
		},
		{
			Name: "cpus", Value: "LIST",
			Text: "processors to run on, like 0,2-3, with those of followers after a slash, like 0/1; free leaves all to the kernel",
			More: "With ptrace the monitor and the variants share one of the processors as long as calls are so frequent that waking each other " +
				"up would take most of the time; a list of one processor has them do so always, free never.",
		},
		{
			Name: "low-latency", Text: "keep the processors of the machine from deep sleep by /dev/cpu_dma_latency while PROG runs",
			More: "That makes it cheaper to wake somebody up on another processor, and takes more power. It needs the right to write that file.",
		},
		{
			Name: "detach",
			Text: "return as soon as the first process of PROG has ended; go on watching the daemons that it has left in the background",
		},
		{
			Name: "v", Text: "tell more on standard error",
			More: "Notices, which a terminal gets anyway, and what kvmsandbox does.",
		},
		{Name: "version", Text: "print the version"},
		{Name: "help", Text: "print this"},
	}
}

func variables() []Variable {
	return []Variable{
		{"MV_NUM_PROC", "is the number of variants without -n"},
		{"MV_SEC_POL", "is the policy without --policy, by MvArmor's numbers: 0 performance, 1 comprehensive, 2 exec, 3 leak"},
		{"MV_OUT_TO_FILE", "writes the calls of each variant I to the file out.I"},
		{"MV_DONT_DETACH", "has --detach do nothing"},
		{"MV_RINGBUFFER_SIZE", "is --ahead without the flag"},
		{"MV_TIMING_ENABLE", "is --stats when it is 1"},
		{"MV_RINGBUFFER_SLEEP", "is 1; with 0, variants whose calls are dealt with beside them (--fast on) never sleep when they wait for each other"},
		{"MV_SYSCALL_ORDERING", "is always 1, and another value is told to have no effect"},
		{"MV_VARN_OPEN_RO", "is always 0, and another value is told to have no effect"},
		{"MV_UMEM, MV_SLAB_MAX and MV_SLAB_PAD", "are told to have no effect"},
	}
}

// Doctor returns the sub-command doctor.
func Doctor() Command {
	return Command{
		Name:     "doctor",
		Synopses: []string{"doctor [--json] [-n N]"},
		Text: []string{
			"Tells what this host offers to each front-end and how to get what is missing. " +
				"It tests by trying; nothing is changed. A program called doctor is run by kvmsandbox -- doctor, or by its path.",
		},
		Flags: []Flag{
			{Name: "json", Text: "write the findings as JSON"},
			{Name: "n", Value: "N", Text: "number of variants to have processors for", Default: "2, or MV_NUM_PROC"},
			{Name: "help", Text: "print this"},
		},
		Statuses: "0 when the front-end that --frontend auto takes can run here, 1 when it cannot, 125 when kvmsandbox failed.",
	}
}

// Policy returns the sub-command policy.
func Policy() Command {
	return Command{
		Name:     "policy",
		Synopses: []string{"policy list", "policy show NAME|FILE.toml"},
		Text: []string{
			"list tells what policies there are. show prints what a policy decides about each system call, as a file that " +
				"--policy takes. A program called policy is run by kvmsandbox -- policy, or by its path.",
			"A call waits always, never, or, by its descriptor or protection, when it is of a socket, of a nonsocket, or makes " +
				"memory executable. All calls are compared; one that does not wait is after its effect. docs/policies.md has the rest.",
		},
		Flags:    []Flag{{Name: "help", Text: "print this"}},
		Statuses: "0, or 125 when there is no such policy.",
	}
}
