//go:build linux && amd64

package signals

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// absent counts the tests that did not run, as in test/main_test.go.
var absent atomic.Int64

// programs is the directory of the programs in testdata once they are built.
var programs string

func TestMain(m *testing.M) { os.Exit(mainStatus(m)) }

func mainStatus(m *testing.M) int {
	dir, err := os.MkdirTemp("", "multivar-signals-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	status := m.Run()
	if n := absent.Load(); n > 0 {
		fmt.Fprintf(os.Stderr, "MISSING: %d tests did not run because the machine lacks what they need\n", n)
	}
	return status
}

// missing ends a test that needs what the machine lacks: loudly, counted, and as a
// failure where everything has to be there.
func missing(t *testing.T, what string) {
	t.Helper()
	absent.Add(1)
	fmt.Fprintf(os.Stderr, "MISSING: %s: %s\n", t.Name(), what)
	if os.Getenv("MV_REQUIRE_ALL") == "1" {
		t.Fatalf("MISSING: %s", what)
	}
	t.Skipf("MISSING: %s", what)
}

// builds are the compilations of the programs, each done once.
var builds sync.Map

type build struct {
	once sync.Once
	err  error
}

// native runs a program of testdata and returns what it printed and how it ended.
func native(t *testing.T, name string, args ...string) (output string, err error) {
	t.Helper()
	return nativeInput(t, "", name, args...)
}

func nativeInput(t *testing.T, input, name string, args ...string) (output string, err error) {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		missing(t, "gcc")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	path := filepath.Join(programs, name)
	entry, _ := builds.LoadOrStore(name, new(build))
	b, ok := entry.(*build)
	if !ok {
		t.Fatal("not a build")
	}
	b.once.Do(func() {
		cmd := exec.CommandContext(ctx, gcc, "-O1", "-Wall", "-o", path, filepath.Join("testdata", name+".c"), "-lrt")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+programs)
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	err = cmd.Run()
	output = out.String()
	if line, failed := strings.CutPrefix(output[strings.LastIndexByte(strings.TrimSuffix(output, "\n"), '\n')+1:], "fail "); failed {
		t.Fatal(name, args, line)
	}
	return output, err
}

// dump is what a program printed: bytes by name. The components of processor state,
// which share a name, are apart.
type dump struct {
	t          *testing.T
	values     map[string][]byte
	components map[int]Component
}

func newDump(t *testing.T, output string) *dump {
	t.Helper()
	d := &dump{t: t, values: map[string][]byte{}, components: map[int]Component{}}
	for line := range strings.Lines(output) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if name == "component" {
			i, c := int(binary.LittleEndian.Uint32(b)), Component{binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])}
			d.components[i] = c
			continue
		}
		d.values[name] = b
	}
	return d
}

func (d *dump) has(name string) bool { return d.values[name] != nil }

func (d *dump) bytes(name string) []byte {
	d.t.Helper()
	b := d.values[name]
	if b == nil {
		d.t.Fatalf("the program printed no %q", name)
	}
	return b
}

func (d *dump) uint(name string) uint64 {
	d.t.Helper()
	return binary.LittleEndian.Uint64(d.bytes(name))
}

func (d *dump) stack(name string) AltStack {
	d.t.Helper()
	a := DecodeAltStack((*[AltStackSize]byte)(d.bytes(name)))
	return a
}

// registers reads registers in the order of the programs.
func (d *dump) registers(name string) Registers {
	d.t.Helper()
	var r Registers
	b := d.bytes(name)
	for i, p := range []*uint64{
		&r.RAX, &r.RBX, &r.RCX, &r.RDX, &r.RSI, &r.RDI, &r.RSP, &r.RBP, &r.R8, &r.R9,
		&r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15, &r.RIP, &r.RFLAGS,
	} {
		*p = binary.LittleEndian.Uint64(b[8*i:])
	}
	r.CS, r.SS = UserCS, UserSS
	return r
}

// xstate describes this machine's processor.
func (d *dump) xstate() *XState {
	d.t.Helper()
	x, err := NewXState(d.uint("features"), func(i int) Component { return d.components[i] },
		binary.LittleEndian.Uint32(d.bytes("mxcsrmask")))
	if err != nil {
		d.t.Fatal(err)
	}
	return x
}
