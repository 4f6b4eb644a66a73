package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/multivar/multivar/kvmsandbox"
)

func TestWriteExits(t *testing.T) {
	if _, err := kvmsandbox.MeasureExits(1); errors.Is(err, kvmsandbox.ErrUnavailable) {
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
