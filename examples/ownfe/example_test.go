//go:build linux && amd64

package ownfe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/multivar/multivar/examples/ownfe"
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/report"
)

// paper is a world in which everything that is written is kept.
type paper struct{ bytes.Buffer }

// Call implements ownfe.World.
func (w *paper) Call(p *ownfe.Process, nr int64, args [6]uint64) int64 {
	if nr != syscall.SYS_WRITE {
		return -int64(syscall.ENOSYS)
	}
	b := p.Load(args[1], int(min(args[2], 4096)))
	w.Write(b)
	return int64(len(b))
}

// write returns a program that writes a text and exits with the result of that.
func write(text string) ownfe.Program {
	return func(p *ownfe.Process) {
		n := p.Syscall(syscall.SYS_WRITE, 1, p.Put([]byte(text)), uint64(len(text)))
		p.Exit(int(n))
	}
}

// The engine runs three variants of a Go function, which write once, and catches one that
// wants something else.
func Example() {
	var world paper
	fe := ownfe.New(map[string]ownfe.Program{"/hello": write("hello\n"), "/jello": write("jello\n")}, &world)
	for _, programs := range [][]string{{"/hello"}, {"/hello", "", "/jello"}} {
		spec := frontend.Spec{Programs: programs, Args: []string{"hello"}, Variants: 3}
		outcome, err := libmultivar.Run(context.Background(), fe, spec, libmultivar.Config{})
		var d *report.Divergence
		if errors.As(err, &d) {
			fmt.Println("variant", d.Variant, "differs in", d.Call)
		} else {
			fmt.Println("status", outcome.Status.Code, err)
		}
	}
	fmt.Printf("%q\n", world.String())
	// Output:
	// status 6 <nil>
	// variant 2 differs in write
	// "hello\n"
}
