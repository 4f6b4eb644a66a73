//go:build linux && amd64

package kvmsandbox_test

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/kvmsandbox/probe"
	"github.com/multivar/multivar/libmultivar"
)

// callsSource makes as many plain calls as its argument says.
const callsSource = `#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	(void)argc;
	for (long n = atol(argv[1]); n > 0; n--)
		syscall(SYS_getppid);
	return 0;
}
`

// countCalls runs the program as variants with so many calls, compared by the engine,
// and returns what was counted.
func countCalls(t *testing.T, program string, variants, calls int) kvmsandbox.Stats {
	t.Helper()
	return count(t, libmultivar.Config{Variants: variants}, program, strconv.Itoa(calls))
}

// countAgents runs the program as variants and returns how many calls agents dealt with.
func countAgents(t *testing.T, program string, variants int, args ...string) uint64 {
	t.Helper()
	return count(t, libmultivar.Config{Variants: variants, Agents: true}, program, args...).AgentCalls
}

// count runs the program with arguments as variants and returns what was counted.
func count(t *testing.T, cfg libmultivar.Config, program string, args ...string) kvmsandbox.Stats {
	t.Helper()
	var got []kvmsandbox.Stats
	fe := kvmsandbox.New(kvmsandbox.WithStats(func(s kvmsandbox.Stats) { got = append(got, s) }))
	ctx, cancel := context.WithTimeout(t.Context(), watchdog)
	defer cancel()
	out, err := fe.Run(ctx, frontend.Spec{
		Programs: []string{program}, Args: append([]string{program}, args...), Variants: cfg.Variants,
		Files: []*os.File{nil, nil, os.Stderr},
	}, func(h frontend.Host, caps frontend.Capabilities) (frontend.Monitor, error) {
		return libmultivar.New(cfg, h, caps)
	})
	if err != nil || !out.Ended || out.Status != (frontend.Status{}) {
		t.Fatalf("%+v, %v", out, err)
	}
	if len(got) != 1 {
		t.Fatalf("told %d times", len(got))
	}
	return got[0]
}

// A plain call takes one exit to user space, on each kind and however many variants
// there are.
func TestExitsPerCall(t *testing.T) {
	machines(t)
	r, err := probe.KVM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program := compile(t, callsSource, "-static")
	const few, many = 500, 2500
	for _, n := range []int{1, 2} {
		s := countCalls(t, program, n, many).Since(countCalls(t, program, n, few))
		exits, host := s.PerCall()
		t.Logf("N=%d: %+v: %.4f exits per call, %.4f with those that the kernel deals with", n, s, exits, host)
		if s.Kind != string(r.Kind) {
			t.Errorf("N=%d: kind %s, tests say %s", n, s.Kind, r.Kind)
		}
		if want := uint64(n * (many - few)); s.Calls != want {
			t.Errorf("N=%d: %d calls, want %d", n, s.Calls, want)
		}
		// What is more are signals of the host and faults, in one run or the other.
		const noise = 50
		if d := int64(s.Exits - s.Calls); d < -noise || d > noise {
			t.Errorf("N=%d: %d exits for %d calls", n, s.Exits, s.Calls)
		}
		if s.HostExits != 0 && s.HostExits+noise < s.Exits {
			t.Errorf("N=%d: the kernel counts %d exits, user space %d", n, s.HostExits, s.Exits)
		}
	}
}

// Whatever happens to the processes, what was counted adds up, and the files that the
// counts were read from are closed.
func TestStatsOfProcesses(t *testing.T) {
	machines(t)
	program := compile(t, `#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int n = atoi(argv[1]);
	if (argc == 3 || n == 0)
		return 0;
	if (vfork() == 0) {
		execl(argv[0], argv[0], argv[1], "end", (char *)0);
		_exit(1);
	}
	wait(0);
	if (fork() == 0)
		_exit(0);
	wait(0);
	return 0;
}
`, "-static")
	one, more := countCalls(t, program, 1, 0), countCalls(t, program, 1, 1)
	if more.Calls <= one.Calls || more.Exits < more.Calls || more.Exits > more.Calls+more.Faults+100 {
		t.Errorf("%+v, with children %+v", one, more)
	}
	if one.HostExits != 0 && more.HostExits <= one.HostExits {
		t.Errorf("%+v, with children %+v", one, more)
	}
}
