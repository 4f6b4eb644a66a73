//go:build linux && amd64

package kvmsandbox_test

import (
	"bufio"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/kvmsandbox"
)

//go:embed testdata/processor.c
var processorSource string

// A program keeps what it has in the processor across calls, faults, signals and
// forks, and exceptions arrive as the signals that Linux makes of them.
func TestProcessor(t *testing.T) {
	machines(t)
	testProcessor(t, kvmsandbox.New())
}

// The same where the kernel's own frames bring what Linux makes of them.
func TestNativeProcessor(t *testing.T) { testProcessor(t, kvmsandbox.NewNative()) }

func testProcessor(t *testing.T, fe frontend.FrontEnd) {
	program := compile(t, processorSource, "-O1", "-Wall", "-Wextra", "-Werror", "-mfsgsbase")
	for _, name := range []string{"vectors", "bases", "exceptions", "stepping"} {
		t.Run(name, func(t *testing.T) {
			if out, err := exec.Command(program, name).CombinedOutput(); err != nil {
				t.Errorf("natively: %v\n%s", err, out)
			}
			if o := runOn(t, fe, &frontendtest.Script{}, 1, program, name); o.Status != (frontend.Status{}) {
				t.Errorf("%+v", o)
			}
		})
	}
}

// touching reports, touches much memory, and reports again.
const touching = `
	#define _GNU_SOURCE
	#include <sys/mman.h>
	#include <sys/syscall.h>
	#include <unistd.h>
	int main(void) {
		unsigned long size = 256ul << 20;
		syscall(SYS_lseek, -77, 0, 1);
		char *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (unsigned long i = 0; i < size; i += 4096) p[i] = 1;
		syscall(SYS_lseek, -77, 1, 1);
	}`

// What is in a variant's process is the program, and the variant host in its slot, of
// which little is in memory.
func TestAddressSpace(t *testing.T) {
	machines(t)
	testAddressSpace(t, kvmsandbox.New())
}

func TestNativeAddressSpace(t *testing.T) { testAddressSpace(t, kvmsandbox.NewNative()) }

func testAddressSpace(t *testing.T, fe frontend.FrontEnd) {
	program := compile(t, touching)
	const most = 8 << 20
	loader := interpreter(t, program)
	m := &frontendtest.Script{}
	m.Report = func(id frontend.Task, _ int, value uint64) []frontend.Action {
		maps, resident := smaps(t, id.Host)
		if resident > most {
			t.Errorf("report %d: %d bytes of the variant host are in memory", value, resident)
		}
		for _, line := range maps {
			name := ""
			if f := strings.Fields(line); len(f) > 5 {
				name = f[5]
			}
			switch {
			case name == program, name == "[heap]", name == "[stack]", path.Base(name) == "libc.so.6", path.Base(name) == path.Base(loader):
			case name == "[vsyscall]": // every process has it
			case name == "" && strings.Contains(line, " rw-p "): // the program's own memory
			default:
				t.Errorf("report %d: %s", value, line)
			}
		}
		return nil
	}
	if o := runOn(t, fe, m, 1, program); o.Status != (frontend.Status{}) || len(m.Reports[1]) != 2 {
		t.Errorf("%+v, reports %v", o, m.Reports)
	}
}

// smaps returns the lines of a process's memory map that are not about the variant
// host's slot, and how much memory of the slot is resident.
func smaps(t *testing.T, pid int) (lines []string, resident uint64) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Error(err)
		return nil, 0
	}
	defer f.Close()
	inSlot := false
	for s := bufio.NewScanner(f); s.Scan(); {
		var start, end, kB uint64
		if n, _ := fmt.Sscanf(s.Text(), "%x-%x ", &start, &end); n == 2 {
			if inSlot = start >= vhost.SlotStart && end <= vhost.SlotEnd; !inSlot {
				lines = append(lines, s.Text())
			}
		} else if n, _ := fmt.Sscanf(s.Text(), "Rss: %d kB", &kB); n == 1 && inSlot {
			resident += kB << 10
		}
	}
	if len(lines) == 0 {
		t.Error("no memory map")
	}
	return lines, resident
}
