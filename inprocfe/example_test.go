//go:build linux && amd64

package inprocfe_test

import (
	"context"
	"fmt"
	"os"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/inprocfe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/ptracefe"
)

// Example runs /bin/echo as three variants that print once, without a tracer where the host
// can do that.
func Example() {
	var fe frontend.FrontEnd = inprocfe.New()
	features, err := inprocfe.Probe(context.Background())
	if f, missing := features.Obstacle(); err != nil || missing {
		fmt.Fprintf(os.Stderr, "MISSING: %s: %s; the example runs under ptrace\n", f.Name, f.Found)
		fe = ptracefe.New()
	}
	outcome, err := libmultivar.Run(context.Background(), fe, frontend.Spec{
		Programs: []string{"/bin/echo"}, Args: []string{"echo", "hello"},
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Variants: 3,
	}, libmultivar.Config{})
	fmt.Println("status", outcome.Status.Code, err)
	// Output:
	// hello
	// status 0 <nil>
}
