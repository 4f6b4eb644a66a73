package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multivar/multivar/internal/bench/servers"
	"github.com/multivar/multivar/internal/unix"
)

// serverContest is how servers are compared.
type serverContest struct {
	rounds, clients int
	slice           time.Duration
	// only is the name of the one server to measure, empty for all.
	only string
	// among are the names of the contenders to measure, empty for all.
	among string
	// place is whether the clients have a processor of their own.
	place bool
	// tools is whether redis-benchmark and wrk make the requests.
	tools bool
	// runsc is gVisor's program, empty where it is not to be compared with.
	runsc string
}

// strace is the contender's index that others are compared with besides native.
const straceIndex = 1

// hostHas says which front-ends beside ptrace there are on the host.
type hostHas struct{ inproc, kvm bool }

// places are the processors of servers, and of clients, empty where nothing is placed.
type places struct{ servers, clients string }

// serverContenders returns who runs servers. Front-ends of which there is nothing here are
// left out.
func serverContenders(sandbox, strace, runsc string, has hostHas, at places) []servers.Contender {
	prefix := func(argv ...string) []string {
		if at.servers == "" {
			return argv
		}
		return append([]string{"taskset", "-c", at.servers}, argv...)
	}
	contenders := []servers.Contender{
		{Name: "native", Prefix: prefix()},
		{Name: "strace -f -c", Prefix: prefix(strace, "-f", "-c", "-o", "/dev/null")},
	}
	if runsc != "" {
		contenders = append(contenders, servers.Contender{Name: "runsc", Prefix: prefix(runscCommand(runsc)...)})
	}
	add := func(frontEnd string, n int, flags ...string) {
		argv := append([]string{sandbox, "--frontend", frontEnd, "-n", strconv.Itoa(n)}, flags...)
		name := strings.Join(append([]string{frontEnd}, append(flags, fmt.Sprintf("N=%d", n))...), " ")
		if at.servers != "" && n > 1 && hasAgents(frontEnd, flags) {
			// Who waits for another one on its own processor waits for the scheduler.
			contenders = append(contenders, servers.Contender{Name: name, Prefix: append(argv, "--cpus", at.servers+"/"+at.clients)})
			return
		}
		contenders = append(contenders, servers.Contender{Name: name, Prefix: prefix(argv...)})
	}
	add("ptrace", 1)
	add("ptrace", 2)
	if has.inproc {
		add("inproc", 2, "--fast", "off")
		add("inproc", 1)
		add("inproc", 2)
		add("inproc", 3)
		add("inproc", 2, "--policy", "full")
	}
	if has.kvm {
		add("kvm", 2)
		add("kvm", 1, "--fast", "on")
		add("kvm", 2, "--fast", "on")
	}
	return contenders
}

// hasAgents says whether frequent calls are dealt with beside the variants.
func hasAgents(frontEnd string, flags []string) bool {
	return slices.Contains(flags, "on") || frontEnd == "inproc" && !slices.Contains(flags, "off")
}

// runscCommand is how gVisor runs a program with the files and the network of the host, caught by
// seccomp and signals (systrap) as it is where there is no KVM. Only without root's rights does it
// leave the network alone.
func runscCommand(runsc string) []string {
	return []string{runsc, "--rootless", "--platform=systrap", "--network=host", "--ignore-cgroups", "do", "--force-overlay=false"}
}

// compareServers measures servers and writes the table.
func compareServers(ctx context.Context, out, progress io.Writer, c serverContest, sandbox, strace string, has hostHas, held string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	placement, at := "clients and servers were not placed", places{}
	if c.place {
		clients, others, err := splitProcessors()
		if err != nil {
			return err
		}
		own, err := unix.Affinity(0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.SetProcessAffinity(&own) }()
		// All threads of this process are clients.
		if err := unix.SetProcessAffinity(&clients); err != nil {
			return err
		}
		at = places{servers: unix.FormatCPUs(&others), clients: unix.FormatCPUs(&clients)}
		placement = fmt.Sprintf("clients on processor %s, with the followers where calls are dealt with beside them; servers with what runs them on %s", at.clients, at.servers)
	}
	contenders := serverContenders(sandbox, strace, c.runsc, has, at)
	if among := strings.Split(c.among, ","); c.among != "" {
		contenders = append(contenders[:straceIndex+1], slices.DeleteFunc(contenders[straceIndex+1:], func(k servers.Contender) bool {
			return !slices.Contains(among, k.Name)
		})...)
	}
	var chosen []servers.Server
	for _, s := range servers.All() {
		if c.only == "" || c.only == s.Name {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("there is no server %q to measure", c.only)
	}
	contest := servers.Contest{
		Contenders: contenders, Rounds: c.rounds, Slice: c.slice, Clients: c.clients, Tools: c.tools,
		Progress: func(what string) { fmt.Fprintf(progress, "\r%-40s", what) },
	}
	results, err := contest.Run(ctx, chosen)
	fmt.Fprintf(progress, "\r%40s\r", "")
	if err != nil {
		return err
	}
	by := "the bench's own"
	if c.tools {
		by = "redis-benchmark and wrk with one thread"
	}
	_, err = fmt.Fprintf(out, "\nServers, %d clients (%s) at once over loopback, medians of %d slices of %v and their ratios to the slices "+
		"next to them, with quartiles; %s; %s.\n\n", c.clients, by, c.rounds, c.slice, placement, held)
	if err != nil {
		return err
	}
	return servers.Write(out, results, contenders, straceIndex)
}

// splitProcessors returns the last processor, for clients, and the others.
func splitProcessors() (clients, others unix.CPUSet, err error) {
	if others, err = unix.Affinity(0); err != nil {
		return clients, others, err
	}
	last := -1
	for cpu := range len(others) * 64 {
		if others.IsSet(cpu) {
			last = cpu
		}
	}
	if others.Count() < 2 {
		return clients, others, errors.New("there is one processor only: compare servers with -place=false")
	}
	others.Clear(last)
	clients.Set(last)
	return clients, others, nil
}
