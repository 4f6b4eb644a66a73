package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

func mustByName(t *testing.T, name string) policy.Policy {
	t.Helper()
	p, err := policy.ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestByName(t *testing.T) {
	for _, name := range policy.Names() {
		if got := mustByName(t, name).Name(); got != name {
			t.Errorf("ByName(%q).Name() = %q", name, got)
		}
	}
	for _, name := range []string{"", "none", "Exec", "exec "} {
		_, err := policy.ByName(name)
		var unknown *policy.UnknownError
		if !errors.As(err, &unknown) || unknown.Name != name {
			t.Errorf("ByName(%q): %v", name, err)
			continue
		}
		for _, known := range policy.Names() {
			if !strings.Contains(err.Error(), known) {
				t.Errorf("ByName(%q): %v does not name %s", name, err, known)
			}
		}
	}
}

// The calls that must wait, beyond those that wait under every policy.
var (
	clones = []string{"clone", "clone3", "fork", "vfork"}
	execs  = []string{"execve", "execveat"}
	maps   = []string{"mmap", "mprotect", "pkey_mprotect", "remap_file_pages"}
	// outputs must be there; rows may add more calls that give data away.
	outputs = []string{
		"write", "pwrite64", "writev", "sendfile", "sendto", "sendmsg", "msgsnd", "mq_timedsend",
		"pwritev", "sendmmsg", "process_vm_writev",
	}
	ends = []string{"exit", "exit_group"}
)

func TestWaitsOverTheTable(t *testing.T) {
	for _, c := range []struct {
		policy string
		want   func(name string, execMapping bool) bool
		// more says whether rows outside want may wait too.
		more func(r *sysabi.Row) bool
	}{
		{
			policy: policy.Performance,
			want:   func(name string, _ bool) bool { return slices.Contains(clones, name) },
		},
		{
			policy: policy.Exec,
			want: func(name string, execMapping bool) bool {
				return slices.Contains(clones, name) || slices.Contains(execs, name) ||
					execMapping && slices.Contains(maps, name)
			},
		},
		{
			policy: policy.Leak,
			want: func(name string, _ bool) bool {
				return slices.Contains(clones, name) || slices.Contains(outputs, name)
			},
			more: func(r *sysabi.Row) bool { return r.Wait&sysabi.WaitOutput != 0 },
		},
		{
			policy: policy.Comprehensive,
			want:   func(string, bool) bool { return true },
		},
	} {
		t.Run(c.policy, func(t *testing.T) {
			p := mustByName(t, c.policy)
			for _, r := range sysabi.Rows() {
				for _, execMapping := range []bool{false, true} {
					var args [6]uint64
					if execMapping {
						args[2] = 1 | 4
					} else {
						// Every bit but PROT_EXEC, and PROT_EXEC in another argument.
						args[2], args[1], args[3] = ^uint64(4), 4, 4
					}
					call := r.Resolve(args)
					want := c.want(r.Name, execMapping) || r.Wait&sysabi.WaitAlways != 0
					got := p.Waits(&call, args)
					if got != want && (c.more == nil || !got || !c.more(r)) {
						t.Errorf("%s waits = %v (PROT_EXEC: %v), want %v", r.Name, got, execMapping, want)
					}
				}
			}
		})
	}
}

func TestEndsWaitAlways(t *testing.T) {
	for _, name := range ends {
		r, ok := sysabi.ByName(name)
		if !ok {
			t.Fatalf("no row for %s", name)
		}
		call := r.Resolve([6]uint64{})
		for _, policyName := range policy.Names() {
			if !mustByName(t, policyName).Waits(&call, [6]uint64{}) {
				t.Errorf("%s does not wait under %s", name, policyName)
			}
		}
	}
}

// The lists above mean nothing for calls that the table does not have.
func TestListedCallsExist(t *testing.T) {
	for _, name := range slices.Concat(clones, execs, maps, outputs, ends) {
		if _, ok := sysabi.ByName(name); !ok {
			t.Errorf("no row for %s", name)
		}
	}
}

func TestZeroValueWaitsForEverything(t *testing.T) {
	var p policy.Policy
	call := sysabi.Call{Row: &sysabi.Row{Name: "getpid"}}
	if !p.Waits(&call, [6]uint64{}) || p.Name() != policy.Comprehensive {
		t.Errorf("zero value is %s", p)
	}
	if d := cmp.Diff(mustByName(t, policy.Comprehensive), p, cmp.AllowUnexported(p)); d != "" {
		t.Error(d)
	}
}
