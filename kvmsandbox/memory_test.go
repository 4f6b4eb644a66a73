//go:build linux && amd64

package kvmsandbox_test

import (
	"bytes"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/kvmsandbox"
)

//go:embed testdata/memory.c
var memorySource string

// What a program does to its memory is seen by the guest at once, in every variant:
// each program ends with 0, or with the number of the line that found otherwise.
func TestMemory(t *testing.T) {
	machines(t)
	testMemory(t, kvmsandbox.New, append(memoryTests(), "slot"))
}

// The same without a guest. What is in the slot its own instructions reach.
func TestNativeMemory(t *testing.T) { testMemory(t, kvmsandbox.NewNative, memoryTests()) }

// memoryTests are those of testdata/memory.c that leave the variant host's memory alone.
func memoryTests() []string {
	return []string{
		"exec-bit", "elsewhere", "down", "fork", "fixed", "discard", "remap", "shrink", "heap", "segment",
		"stack", "guard", "truncated", "huge", "around-slot", "lock-all", "limits", "vforks", "ahead",
	}
}

func testMemory(t *testing.T, newFrontEnd func(...kvmsandbox.Option) *kvmsandbox.FrontEnd, names []string) {
	program := compile(t, memorySource, "-static", "-O1", "-Wall", "-Wextra", "-Werror")
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			file, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			var log bytes.Buffer
			fe := newFrontEnd(kvmsandbox.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			o := runOn(t, fe, &frontendtest.Script{}, 1, program, name, file.Name())
			if o.Status != (frontend.Status{}) {
				t.Errorf("%+v", o)
			}
			// Without the tables' help the process itself would have refused.
			if strings.Contains(log.String(), "granted more") {
				t.Errorf("%s", &log)
			}
		})
	}
}

// The engine learns where it must not map anything.
func TestReserved(t *testing.T) {
	c := kvmsandbox.New().Capabilities()
	if c.ReservedStart >= c.ReservedEnd || c.ReservedStart != 0x5200_0000_0000 {
		t.Errorf("reserved: %s", fmt.Sprintf("%#x-%#x", c.ReservedStart, c.ReservedEnd))
	}
}
