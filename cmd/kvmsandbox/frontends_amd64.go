package main

import (
	"context"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/inprocfe"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/kvmsandbox/probe"
)

// frontEnds returns all methods.
func frontEnds() methods {
	return methods{
		{
			name: "kvm",
			new: func(s setup) frontend.FrontEnd {
				return kvmsandbox.New(kvmsandbox.WithLogger(s.log), kvmsandbox.WithSleep(!s.sleepless))
			},
			test: testKVM,
		},
		{
			name: "inproc",
			new: func(s setup) frontend.FrontEnd {
				return inprocfe.New(inprocfe.WithLogger(s.log), inprocfe.WithSleep(!s.sleepless))
			},
			test: testInproc,
		},
		newPtrace(),
	}
}

func testKVM(ctx context.Context) (verdict, error) {
	r, err := probe.KVM(ctx)
	// Where ring 0 is emulated the agents are outside of the machine, and of less use.
	return verdict{kind: string(r.Kind), features: r.Features, preferred: r.Preferred(), fast: r.Kind == probe.Hardware}, err
}

func testInproc(ctx context.Context) (verdict, error) {
	features, err := inprocfe.Probe(ctx)
	return verdict{features: features, preferred: features.Usable(), fast: true}, err
}
