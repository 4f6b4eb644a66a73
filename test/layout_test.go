//go:build linux && amd64

package test

import (
	"fmt"
	"testing"
)

// TestLayouts runs what depends on where memory lies under the layout that leaves
// no address in common, too: there each variant finds its own addresses in /proc.
func TestLayouts(t *testing.T) {
	t.Parallel()
	numbers := []int{1, 2, 3, 4}
	if testing.Short() {
		numbers = numbers[2:3]
	}
	for _, n := range numbers {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			t.Parallel()
			flags := []string{"--layout", "disjoint"}
			own := program(t, "proc_self", dynamic, "OWN")
			if r := run(t, Run{N: n, Flags: flags, Args: []string{own, t.TempDir()}}); r.Status != 0 {
				t.Errorf("proc_self: %s", r)
			}
			for _, name := range []string{
				"mem_brk", "mem_map", "mem_mremap", "mem_stack", "mem_protect", "mmap_file", "mmap_fork",
				"sig_fault", "sig_altstack", "sig_value", "ev_epoll", "reg_vfork", "thread_join",
			} {
				if r := run(t, Run{N: n, Flags: flags, Args: []string{program(t, name, dynamic), t.TempDir()}}); r.Status != 0 {
					t.Errorf("%s: %s", name, r)
				}
			}
		})
	}
}

// TestRandomAddresses shows why some memory has common addresses by default: a
// name that glibc's mkstemp makes up is the same in all variants, and differs
// where all addresses do.
func TestRandomAddresses(t *testing.T) {
	args := []string{tool(t, "gcc"), "-x", "c", "-c", "-o", "out.o", "-"}
	if r := run(t, Run{N: 3, Args: args, Stdin: "int x;\n"}); r.Status != 0 {
		t.Errorf("gcc: %s", r)
	}
	if r := run(t, Run{N: 2, Args: []string{tool(t, "openssl"), "rand", "-hex", "8"}}); r.Status != 0 || len(r.Stdout) != 17 {
		t.Errorf("openssl: %s", r)
	}
	if r := run(t, Run{N: 2, Flags: []string{"--layout", "disjoint"}, Args: []string{tool(t, "openssl"), "rand", "-hex", "8"}}); r.Status != statusDivergence {
		t.Errorf("openssl, disjoint: %s", r)
	}
}
