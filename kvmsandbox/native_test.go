//go:build linux && amd64

package kvmsandbox_test

import (
	"testing"

	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/kvmsandbox"
)

func TestNativeConformance(t *testing.T) {
	frontendtest.Run(t, kvmsandbox.NewNative(), frontendtest.Options{Missing: missing})
}
