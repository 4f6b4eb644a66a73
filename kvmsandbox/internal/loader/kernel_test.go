//go:build linux && amd64

package loader

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestKernelHeaders(t *testing.T)      { runKernelCases(t, headerCases()) }
func TestKernelSegments(t *testing.T)     { runKernelCases(t, segmentCases()) }
func TestKernelInterpreters(t *testing.T) { runKernelCases(t, interpreterCases()) }
func TestKernelScripts(t *testing.T)      { runKernelCases(t, scriptCases()) }

func runKernelCases(t *testing.T, cases []kernelCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			all := map[string]string{"program": c.program}
			for name, content := range c.others {
				all[name] = content
			}
			if c.newer && olderKernel(t) {
				t.Skip("kernels before 6.18 may do something else")
			}
			beside(t, all)
			got, _ := compareExec(t, "./program", []string{"program", "one"}, []string{"A=1"})
			if got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// olderKernel says whether the kernel is one before 6.18.
func olderKernel(t *testing.T) bool {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(b), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major < 6 || major == 6 && minor < 18
}

// Programs of the machine are planned as the kernel executes them.
func TestKernelPrograms(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, path := range []string{self, "/bin/true", "/bin/ls", "/bin/sh", "/sbin/ldconfig", "/bin/busybox", "/usr/bin/ldd", "/usr/bin/gcc", "/usr/bin/python3"} {
		t.Run(path, func(t *testing.T) {
			if _, err := os.Stat(path); err != nil {
				t.Skipf("this machine lacks it: %v", err)
			}
			got, _ := compareExec(t, path, []string{"name", "-v", ""}, []string{"PATH=/bin", "", "A"})
			if got != executed {
				t.Errorf("%v", got)
			}
			compared++
		})
	}
	if compared < 3 {
		t.Errorf("only %d programs", compared)
	}
}

// An argv that is empty gets a string, and every limit on strings is the
// kernel's to the byte.
func TestKernelArguments(t *testing.T) {
	beside(t, map[string]string{"program": string(pie().bytes()), "script": "#!./program x\n"})
	of := func(n int) string { return strings.Repeat("a", n) }
	// fill returns strings of so many bytes with their NULs and pointers.
	fill := func(bytes int) (list []string) {
		for bytes > 0 {
			n := min(bytes, 100_008)
			list = append(list, of(n-wordSize-1))
			bytes -= n
		}
		return list
	}
	const stack = 1 << 20
	// What is there besides: path and argument, and what a script makes of them.
	rest := len("./program") + 1 + wordSize + 1
	script := 2*len("./script\x00") + len("./program\x00x\x00") + wordSize
	for _, c := range []struct {
		name, path string
		stack      uint64
		args, env  []string
		want       outcome
	}{
		{"no arguments", "./program", stack, nil, nil, executed},
		{"no arguments for a script", "./script", stack, nil, nil, executed},
		{"longest string", "./program", stack, []string{of(maxString - 1)}, nil, executed},
		{"too long a string", "./program", stack, []string{of(maxString)}, nil, says(syscall.E2BIG)},
		{"longest variable", "./program", stack, nil, []string{of(maxString - 1)}, executed},
		{"too long a variable", "./program", stack, nil, []string{of(maxString)}, says(syscall.E2BIG)},
		{"all that is allowed", "./program", stack, nil, fill(stack/4 - rest), executed},
		{"a byte too much", "./program", stack, nil, fill(stack/4 - rest + 1), says(syscall.E2BIG)},
		{"arguments, all that is allowed", "./program", stack, fill(stack/4 - rest + wordSize + 1), nil, executed},
		{"arguments, a byte too much", "./program", stack, fill(stack/4 - rest + wordSize + 2), nil, says(syscall.E2BIG)},
		{"too many pointers", "./program", stack, nil, make([]string, stack/4/wordSize), says(syscall.E2BIG)},
		{"at least 128 KiB", "./program", 256 << 10, nil, fill(128<<10 - rest), executed},
		{"not a byte more", "./program", 256 << 10, nil, fill(128<<10 - rest + 1), says(syscall.E2BIG)},
		{"script, all that is allowed", "./script", stack, []string{"a"}, fill(stack/4 - script), executed},
		{"script, a byte too much", "./script", stack, []string{"a"}, fill(stack/4 - script + 1), says(syscall.E2BIG)},
		{"small stack", "./program", 64 << 10, []string{of(40 << 10)}, nil, executed},
		{"too small a stack", "./program", 64 << 10, []string{of(64 << 10)}, nil, says(syscall.E2BIG)},
		{"too small a stack by a byte", "./program", 64 << 10, []string{of(64<<10 - len("./program") - 1 - wordSize)}, nil, says(syscall.E2BIG)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var old syscall.Rlimit
			if err := syscall.Getrlimit(syscall.RLIMIT_STACK, &old); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Setrlimit(syscall.RLIMIT_STACK, &syscall.Rlimit{Cur: c.stack, Max: old.Max}); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := syscall.Setrlimit(syscall.RLIMIT_STACK, &old); err != nil {
					t.Error(err)
				}
			}()
			if got, _ := compareExec(t, c.path, c.args, c.env); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
