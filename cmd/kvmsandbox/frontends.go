package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/ptracefe"
)

// method is a way to run variants, which users choose by its name.
type method struct {
	name string
	// new returns the front-end. It is nil when this program is built without it.
	new func(setup) frontend.FrontEnd
	// test finds out what the front-end has on this host. It is nil when there is
	// nothing to test yet.
	test func(context.Context) (verdict, error)
	// holds: it can leave variants that diverge. fast: frequent calls are dealt with beside the variants
	// unless the user says otherwise, whatever the host offers.
	holds, fast bool
	// only is the instruction set that the front-end is for, when this program is built
	// for another.
	only string
}

// setup is what a front-end is made with.
type setup struct {
	log *slog.Logger
	// free leaves to the kernel where the monitor and variants run.
	free bool
	// sleepless: who waits for another variant, and not for the monitor, does not sleep.
	sleepless bool
	// holds: variants that diverge are to be left to a debugger.
	holds bool
}

// verdict is what a host offers to a front-end.
type verdict struct {
	// kind tells apart hosts that have the same by different means; it may be empty.
	kind     string
	features frontend.Features
	// preferred is true when --frontend auto shall take the front-end; fast when frequent calls are
	// dealt with beside the variants unless the user says otherwise.
	preferred, fast bool
}

// methods are the front-ends in the order in which auto considers them. The last
// one is built in; auto falls back to it.
type methods []method

// newPtrace is the method that each architecture has.
func newPtrace() method {
	return method{
		name:  "ptrace",
		holds: true,
		fast:  true,
		new: func(s setup) frontend.FrontEnd {
			return ptracefe.New(ptracefe.WithLogger(s.log), ptracefe.WithPlacement(!s.free), ptracefe.WithoutTimeStamps())
		},
		test: testPtrace,
	}
}

func testPtrace(ctx context.Context) (verdict, error) {
	features, err := ptracefe.Probe(ctx)
	return verdict{features: features, preferred: features.Usable()}, err
}

// autoName is the front-end that is the best one for the host.
const autoName = "auto"

// open returns the front-end that users call by this name, and whether it is to deal with
// frequent calls beside the variants.
func (ms methods) open(ctx context.Context, name string, with setup) (fe frontend.FrontEnd, fast bool, err error) {
	if name == autoName {
		m, v := ms.auto(func(m method) verdict {
			if with.holds && !m.holds {
				return verdict{}
			}
			v, err := m.test(ctx)
			if err != nil {
				with.log.Warn("front-end cannot be tested", "name", m.name, "error", err)
			}
			return v
		})
		with.log.Info("front-end chosen", "name", m.name)
		return m.new(with), v.fast || m.fast, nil
	}
	for _, m := range ms {
		switch {
		case m.name != name:
			continue
		case m.only != "":
			return nil, false, fmt.Errorf("--frontend %s is for %s only; there are %s", name, m.only, ms.names())
		case m.new == nil:
			return nil, false, fmt.Errorf("--frontend %s: not built into this kvmsandbox; there are %s", name, ms.names())
		}
		v, err := ms.check(ctx, m)
		if err != nil {
			return nil, false, err
		}
		return m.new(with), v.fast || m.fast, nil
	}
	return nil, false, fmt.Errorf("--frontend: unknown front-end %q; there are %s", name, ms.names())
}

// auto returns the front-end that auto takes, and what the host offers to it: the first one that is
// built in and that test prefers, else the last one, which is not tested.
func (ms methods) auto(test func(method) verdict) (method, verdict) {
	built := ms.built()
	last := len(built) - 1
	for _, m := range built[:last] {
		if v := test(m); v.preferred {
			return m, v
		}
	}
	return built[last], verdict{}
}

// check says in one line what a front-end that was asked for lacks, or else what the host offers to it.
// The one that auto falls back to says so itself when it is used.
func (ms methods) check(ctx context.Context, m method) (verdict, error) {
	if built := ms.built(); m.name == built[len(built)-1].name {
		return verdict{}, nil
	}
	v, err := m.test(ctx)
	if err != nil {
		return v, fmt.Errorf("--frontend %s: %w", m.name, err)
	}
	if f, missing := v.features.Obstacle(); missing {
		return v, fmt.Errorf("--frontend %s: %s: %s; %s", m.name, f.Name, f.Found, f.Fix)
	}
	return v, nil
}

// built returns the front-ends that can be chosen.
func (ms methods) built() methods {
	var built methods
	for _, m := range ms {
		if m.new != nil {
			built = append(built, m)
		}
	}
	return built
}

// names lists what --frontend takes.
func (ms methods) names() string {
	names := []string{autoName}
	for _, m := range ms.built() {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}
