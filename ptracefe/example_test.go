//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"context"
	"fmt"
	"os"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/ptracefe"
)

// Example runs /bin/echo as three variants that print once.
func Example() {
	spec := frontend.Spec{
		Programs: []string{"/bin/echo"},
		Args:     []string{"echo", "hello"},
		Files:    []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Variants: 3,
	}
	var engine *libmultivar.Engine
	outcome, err := ptracefe.New().Run(context.Background(), spec,
		func(h frontend.Host, c frontend.Capabilities) (m frontend.Monitor, err error) {
			engine, err = libmultivar.New(libmultivar.Config{Variants: spec.Variants}, h, c)
			return engine, err
		})
	if err != nil || engine.Divergence() != nil {
		fmt.Println(err, engine.Divergence())
	}
	fmt.Println("status", outcome.Status.Code)
	// Output:
	// hello
	// status 0
}
