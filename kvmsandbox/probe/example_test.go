//go:build linux && amd64

package probe_test

import (
	"context"
	"fmt"
	"os"

	"github.com/multivar/multivar/kvmsandbox/probe"
)

// What a host lacks is told together with what to do about it.
func Example() {
	r, err := probe.KVM(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	if f, missing := r.Features.Obstacle(); missing {
		fmt.Fprintf(os.Stderr, "%s: %s; %s\n", f.Name, f.Found, f.Fix)
	}
	fmt.Println(r.Features[0].Name != "", !r.Preferred() || r.Features.Complete())
	// Output: true true
}
