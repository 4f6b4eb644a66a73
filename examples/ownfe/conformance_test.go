//go:build linux && amd64

package ownfe_test

import (
	"syscall"
	"testing"

	"github.com/multivar/multivar/examples/ownfe"
	"github.com/multivar/multivar/frontend/frontendtest"
)

// probe and wait do what the programs with these names do in the suite: they tell what they
// see by calls that the suite's monitor answers.
func probe(p *ownfe.Process) {
	ret := p.Syscall(syscall.SYS_GETPPID, 11, 22, 33, 44, 55, 66)
	tell(p, 1, uint64(ret))
	tell(p, 2, 1)
	p.Exit(42)
}

func wait(p *ownfe.Process) { p.Syscall(syscall.SYS_PAUSE) }

// tell reports a value.
func tell(p *ownfe.Process, what int, value uint64) {
	p.Syscall(syscall.SYS_LSEEK, frontendtest.ReportFD, value, uint64(what))
}

func TestConformance(t *testing.T) {
	fe := ownfe.New(map[string]ownfe.Program{"/probe": probe, "/wait": wait}, nil)
	frontendtest.Run(t, fe, frontendtest.Options{
		// The tests of other programs are left out: this front-end has none.
		Programs: map[string]string{"probe": "/probe", "wait": "/wait"},
	})
}
