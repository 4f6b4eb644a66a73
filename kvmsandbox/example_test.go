//go:build linux && amd64

package kvmsandbox_test

import (
	"context"
	"fmt"
	"os"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/kvmsandbox/probe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/ptracefe"
)

// Two variants of echo, in virtual machines where the host has some.
func Example() {
	var fe frontend.FrontEnd = kvmsandbox.New()
	r, err := probe.KVM(context.Background())
	if f, missing := r.Features.Obstacle(); err != nil || missing {
		fmt.Fprintf(os.Stderr, "MISSING: %s (%s): %s; the example runs without\n", probe.Path, f.Name, f.Found)
		fe = ptracefe.New()
	}
	outcome, err := libmultivar.Run(context.Background(), fe, frontend.Spec{
		Programs: []string{"/bin/echo"}, Args: []string{"echo", "hello"},
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Variants: 2,
	}, libmultivar.Config{})
	fmt.Println("status", outcome.Status.Code, err)
	// Output:
	// hello
	// status 0 <nil>
}
