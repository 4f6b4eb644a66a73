//go:build linux && amd64

package inprocfe

import (
	"context"
	"errors"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// Probe tests what this front-end needs of the host. It starts two variants of the calling
// process's own program, which are killed before their first instruction. What is missing is
// in the features; the error is that of ctx when it is done before the end. It takes some
// milliseconds.
func Probe(ctx context.Context) (frontend.Features, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("test of programs in their processes: %w", context.Cause(ctx))
	}
	h := hostFacts{
		release:     unix.KernelRelease(),
		dispatch:    unix.KnowsDispatch(),
		bases:       unix.HasBaseInstructions(),
		filter:      unix.CanFilter(),
		descriptors: unix.CanDuplicate(),
		timeStamps:  unix.CanTrapTSC(),
	}
	if h.dispatch == nil && h.bases == nil {
		h.start = tryToStart(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("test of programs in their processes: %w", context.Cause(ctx))
		}
	}
	return h.features(), nil
}

// tryToStart starts two variants as a session does and kills them.
func tryToStart(ctx context.Context) error {
	var m ender
	_, err := New().Run(ctx, frontend.Spec{Programs: []string{"/proc/self/exe"}, Variants: 2},
		func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error) { return &m, nil })
	return errors.Join(err, m.failure)
}

// ender is a monitor that ends a session as soon as its variants are there.
type ender struct {
	frontend.Passive
	failure error
}

// OnThreadStart implements frontend.Monitor.
func (*ender) OnThreadStart(frontend.Task) []frontend.Action {
	return []frontend.Action{{Op: frontend.OpEnd}}
}

// OnFailure implements frontend.Monitor.
func (m *ender) OnFailure(_ frontend.Task, err error) []frontend.Action {
	m.failure = err
	return []frontend.Action{{Op: frontend.OpEnd}}
}

// hostFacts is what the features are made of: what was found, nil where it works.
type hostFacts struct {
	// release is the kernel's, such as 6.1.0-25-amd64.
	release                              string
	dispatch, bases, filter, descriptors error
	// start is why variants could not be started. It means nothing when dispatch or bases
	// is missing: then nobody has tried.
	start      error
	timeStamps error
}

// features tells causes before the result.
func (h *hostFacts) features() frontend.Features {
	const update = "update to Linux 6.1 or newer"
	fs := frontend.Features{
		feature("dispatch", true, h.dispatch, "the kernel has Syscall User Dispatch ("+h.release+")",
			"no Syscall User Dispatch", update+"; in a container, allow prctl"),
		feature("fsgsbase", true, h.bases, "the processor's FSGSBASE can be used", "FSGSBASE", update+", without nofsgsbase in its command line, on a processor that has it"),
		feature("seccomp", true, h.filter, "filters can ask the monitor", "seccomp",
			update+" with CONFIG_SECCOMP_FILTER; in a container, allow seccomp"),
	}
	fs = append(fs, feature("descriptors", true, h.descriptors, "pidfd_getfd duplicates descriptors", "pidfd_getfd",
		"start the container with --cap-add SYS_PTRACE"))
	program := frontend.Feature{Name: "program", Required: true, State: frontend.FeatureUntested}
	if fs.Usable() {
		program = feature("program", true, h.start, "a program was started in its process", "a program",
			"kvmsandbox -v --frontend inproc true shows more; a container's filter may forbid what is missing")
	}
	return append(fs, program, feature("time stamps", false, h.timeStamps, "PR_SET_TSC traps reads of the counter", "PR_SET_TSC",
		"update to a kernel with PR_SET_TSC; until then programs that read the counter diverge"))
}

// feature is one that is there as it says, or is not because of err.
func feature(name string, required bool, err error, there, what, fix string) frontend.Feature {
	if err != nil {
		return frontend.Feature{
			Name: name, Required: required, State: frontend.FeatureMissing, Found: fmt.Sprintf("%s: %v", what, err), Fix: fix,
		}
	}
	return frontend.Feature{Name: name, Required: required, State: frontend.FeaturePresent, Found: there}
}
