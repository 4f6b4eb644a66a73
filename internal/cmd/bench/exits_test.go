//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/multivar/multivar/kvmsandbox"
)

func TestWriteExits(t *testing.T) {
	if _, err := kvmsandbox.MeasureExits(1); errors.Is(err, kvmsandbox.ErrUnavailable) {
		fmt.Fprintf(os.Stderr, "MISSING: %s: %v\n", t.Name(), err)
		if os.Getenv("MV_REQUIRE_KVM") == "1" {
			t.Fatalf("MISSING: %v", err)
		}
		t.Skipf("MISSING: %v", err)
	}
	var b strings.Builder
	if err := writeExits(t.Context(), &b, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"N=1): 1.0", "N=2): 1.0"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s does not say %q", b.String(), want)
		}
	}
}

func TestOpensslRate(t *testing.T) {
	rate, err := opensslRate("options: bn(64,64)\ntype           8192 bytes\nsha256         2049134.86k\n")
	if err != nil || rate != 2049134.86e3 {
		t.Errorf("%v, %v", rate, err)
	}
	for _, out := range []string{"", "sha256 none\n", "sha256 0k\n"} {
		if rate, err := opensslRate(out); err == nil {
			t.Errorf("%q: %v", out, rate)
		}
	}
}
