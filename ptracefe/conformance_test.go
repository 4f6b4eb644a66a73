//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"testing"

	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/ptracefe"
)

func TestConformance(t *testing.T) {
	frontendtest.Run(t, ptracefe.New(), frontendtest.Options{})
}
