//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"os"
	"testing"

	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/ptracefe"
)

func TestConformance(t *testing.T) {
	// An emulated machine has no compiler, but is given the programs.
	frontendtest.Run(t, ptracefe.New(), frontendtest.Options{Executable: os.Getenv("MV_CONFORMANCE_PROGRAMS")})
}
