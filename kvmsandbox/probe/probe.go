//go:build linux && amd64

package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/multivar/multivar/frontend"
)

// Kind is a kind of KVM.
type Kind string

// The kinds.
const (
	// None: programs cannot run in ring 3 here, or the way their system calls
	// arrive is not known.
	None Kind = "none"
	// Hardware: SYSCALL enters ring 0 at LSTAR.
	Hardware Kind = "hardware"
	// PVM: SYSCALL is a page fault at LSTAR, and ring 0 is emulated, at about a
	// microsecond per instruction.
	PVM Kind = "pvm"
)

// TSCTrap says what makes a read of the time stamp counter in ring 3 fault.
type TSCTrap string

// The ways to trap it.
const (
	// TSCNever: nothing does.
	TSCNever TSCTrap = "never"
	// TSCByGuest: CR4.TSD in the virtual machine.
	TSCByGuest TSCTrap = "cr4"
	// TSCByThread: CR4.TSD together with PR_SET_TSC (prctl(2)) in the thread that
	// runs the virtual processor.
	TSCByThread TSCTrap = "cr4+prctl"
)

// Report is what a host's KVM can do. Members beside Features are meaningful as far
// as the features they come from are present.
type Report struct {
	Kind Kind
	// MemorySlots is how many ranges of memory a virtual machine can have.
	MemorySlots int
	// StateSize is the size of a virtual processor's extended state in bytes
	// (KVM_CAP_XSAVE2), and at least that of struct kvm_xsave.
	StateSize int
	TSC       TSCTrap
	// CPUID is true when ring 3 sees what KVM_SET_CPUID2 says.
	CPUID    bool
	Features frontend.Features
}

// Preferred reports whether everything is there and fast, so that one should take
// KVM without being asked.
func (r *Report) Preferred() bool { return r.Kind == Hardware && r.Features.Complete() }

// Path is the device.
const Path = "/dev/kvm"

// KVM tests this host's KVM. What is missing is in the report; the error is that of
// ctx when it is done before the end, or that the kernel does not give a virtual
// machine back. It takes some milliseconds, and where the host misbehaves some
// seconds.
func KVM(ctx context.Context) (Report, error) {
	type outcome struct {
		report Report
		err    error
	}
	done := make(chan outcome, 1)
	ctx, cancel := context.WithTimeoutCause(ctx, totalLimit, errStuck)
	defer cancel()
	go func() {
		p := &prober{ctx: ctx, path: Path, host: thisHost}
		r, err := p.run()
		// Whoever has the report has the descriptors back.
		p.close()
		done <- outcome{r, err}
	}()
	select {
	case o := <-done:
		return o.report, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.report, o.err
	case <-time.After(graceLimit):
		// Its thread is lost; waiting for it would lose the caller as well.
		return Report{Kind: None, TSC: TSCNever}, fmt.Errorf("test of %s: %w and does not react to signals", Path, errStuck)
	}
}

const (
	// totalLimit bounds all tests together, graceLimit what it takes to end them.
	totalLimit = 30 * time.Second
	graceLimit = 2 * time.Second
)

// prober makes the tests of one report.
type prober struct {
	ctx    context.Context
	path   string
	host   func() hostFacts
	device *os.File
	guest  *guest
	report Report
	// spoil, when set, changes the guest before it is used: for tests of the tests.
	spoil func(*guest)
}

// test is one test. Without a gate the tests behind it cannot be made.
type test struct {
	name     string
	required bool
	gate     bool
	// run says what it found. An error is a missing feature.
	run func(p *prober) (found string, err error)
	fix string
}

// missing is a missing feature with a fix of its own.
type missing struct {
	found string
	fix   string
}

func (m *missing) Error() string { return m.found }

// errStuck is returned for a guest that did not come back in time.
var errStuck = errors.New("the virtual machine hangs")

func (p *prober) run() (Report, error) {
	// A virtual processor belongs to one thread, which is the one to interrupt.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.report.Kind, p.report.TSC = None, TSCNever
	open := true
	for _, t := range tests {
		f := frontend.Feature{Name: t.name, Required: t.required, State: frontend.FeatureUntested}
		if open {
			found, err := t.run(p)
			if p.ctx.Err() != nil {
				return p.report, fmt.Errorf("test of %s: %w", Path, context.Cause(p.ctx))
			}
			f.State, f.Found = frontend.FeaturePresent, found
			if err != nil {
				f.State, f.Found, f.Fix = frontend.FeatureMissing, err.Error(), t.fix
				var m *missing
				if errors.As(err, &m) {
					f.Fix = m.fix
				}
			}
			if err != nil && t.gate || errors.Is(err, errStuck) {
				open = false
			}
		}
		p.report.Features = append(p.report.Features, f)
	}
	return p.report, nil
}

func (p *prober) close() {
	if p.guest != nil {
		p.guest.close()
	}
	if p.device != nil {
		p.device.Close()
	}
}
