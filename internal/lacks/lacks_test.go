package lacks_test

import (
	"strings"
	"testing"

	"github.com/multivar/multivar/internal/lacks"
)

// end runs End for a test of its own and returns how it ended.
func end(c *lacks.Counter, required string) string {
	how := "on"
	f := &fake{how: &how}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		c.End(f, "a thing", required)
	}()
	<-done
	return how
}

// fake is a test that notes its end.
type fake struct {
	testing.TB
	how *string
}

func (f *fake) Helper()               {}
func (f *fake) Name() string          { return "TestOfNothing" }
func (f *fake) Fatalf(string, ...any) { *f.how = "failed"; panic("end") }
func (f *fake) Skipf(string, ...any)  { *f.how = "skipped"; panic("end") }

// A test that lacks something is skipped, or fails where it has to run, and counts.
func TestEnd(t *testing.T) {
	var c lacks.Counter
	var none strings.Builder
	if c.Tell(&none); none.Len() != 0 {
		t.Errorf("nothing is missing: %q", &none)
	}
	t.Setenv("MV_TEST_LACKS", "1")
	for required, want := range map[string]string{"": "skipped", "MV_TEST_LACKS": "failed", "MV_TEST_OTHER": "skipped"} {
		if got := end(&c, required); got != want {
			t.Errorf("required %q: %s, want %s", required, got, want)
		}
	}
	var told strings.Builder
	if c.Tell(&told); !strings.HasPrefix(told.String(), "MISSING: 3 tests") {
		t.Errorf("told %q", &told)
	}
}
