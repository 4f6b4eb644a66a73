//go:build linux && amd64

package signals

import (
	"fmt"
	"strings"
	"testing"
)

// TestRestartNative interrupts calls and compares with what codes this machine's kernel
// ends them and how they go on.
func TestRestartNative(t *testing.T) {
	list, err := native(t, "restart")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(list) {
		name = strings.TrimSpace(name)
		for mode, handler := range map[string]*Action{
			"once":  {Flags: plain},
			"again": {Flags: plain | SARestart},
			"none":  nil,
		} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				testRestart(t, name, mode, handler)
			})
		}
	}
}

func testRestart(t *testing.T, name, mode string, handler *Action) {
	t.Helper()
	output, err := native(t, "restart", name, mode)
	if what, lacks := strings.CutPrefix(output, "missing "); lacks {
		missing(t, strings.TrimSpace(what))
	}
	if err != nil {
		t.Fatal(err, output)
	}
	var nr, code, rax int64
	var back uint64
	var args [6]uint64
	if _, err := fmt.Sscanf(output, "nr %d\ncode %d\nargs %d %d %d %d %d %d\nrax %d\nback %d\n", &nr, &code,
		&args[0], &args[1], &args[2], &args[3], &args[4], &args[5], &rax, &back); err != nil {
		t.Fatalf("%v in\n%s", err, output)
	}
	want := RestartCode(nr, args)
	if strings.HasSuffix(name, "_timeout") && name != "futex_timeout" {
		if _, ok := TimeoutOption(nr); !ok {
			t.Error("no option says how long this waits")
		}
		want = Interrupted
	}
	if code != want {
		t.Errorf("the kernel says %d, RestartCode %d", code, want)
	}
	if gotRAX, gotBack := AfterCall(code, nr, handler); gotRAX != rax || gotBack != back {
		t.Errorf("goes on with rax %d, %d bytes back; AfterCall says %d, %d", rax, back, gotRAX, gotBack)
	}
}
