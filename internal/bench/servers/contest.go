package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Contender is a way to run a server.
type Contender struct {
	Name string
	// Prefix stands in front of the server's command.
	Prefix []string
}

// Contest is what is compared and how.
type Contest struct {
	// Contenders are compared with the first one.
	Contenders []Contender
	// Rounds is how many slices each has for each server, Slice their length.
	Rounds int
	Slice  time.Duration
	// Clients is how many there are at once.
	Clients int
	// Tools has each server's own tool make the requests; servers without one are left out. Otherwise the
	// package's clients do, which take fewer processors.
	Tools bool
	// Progress, when set, is told what happens next.
	Progress func(string)
}

// Sample is what one slice of a contender has come to, and the slice of the first contender
// before it: answers in a second. Spent is the processor time that the contender, with all
// that belongs to it, has used for an answer: it tells the cost where others compete for
// the processors, too.
type Sample struct {
	First, Own float64
	Spent      time.Duration
}

// Result are the samples of one server, by contender, one of each round. The first
// contender's hold the same number twice, and are as many as those of all others.
type Result struct {
	Server  string
	Samples [][]Sample
}

// Run lets all contenders run one server after the other.
func (c *Contest) Run(ctx context.Context, servers []Server) ([]Result, error) {
	if len(c.Contenders) < 2 || c.Rounds < 1 || c.Slice <= 0 || c.Clients < 1 {
		return nil, errors.New("a contest needs two contenders, rounds, slices and clients")
	}
	var all []Result
	for _, s := range servers {
		if c.Tools && s.Tool == nil {
			continue
		}
		r, err := c.serve(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// serve lets all contenders run a server at once, and measures them in turns.
func (c *Contest) serve(ctx context.Context, s Server) (Result, error) {
	loads, pids := make([]clients, len(c.Contenders)), make([]int, len(c.Contenders))
	var stops []func()
	defer func() {
		for _, stop := range slices.Backward(stops) {
			stop()
		}
	}()
	for i, contender := range c.Contenders {
		r, err := start(ctx, contender, s)
		if err != nil {
			return Result{}, fmt.Errorf("%s: %w", contender.Name, err)
		}
		stops = append(stops, r.stop)
		pids[i] = r.cmd.Process.Pid
		if loads[i], err = r.connect(ctx, s, c); err != nil {
			return Result{}, fmt.Errorf("%s: %w%s", contender.Name, err, r.said())
		}
		stops = append(stops, loads[i].close)
	}
	result := Result{Server: s.Name, Samples: make([][]Sample, len(loads))}
	slice := func(i int) (Sample, error) {
		if err := ctx.Err(); err != nil {
			return Sample{}, context.Cause(ctx)
		}
		before := treeTime(pids[i])
		answers, took, err := loads[i].run(c.Slice)
		if err != nil {
			return Sample{}, fmt.Errorf("%s: %w", c.Contenders[i].Name, err)
		}
		n := float64(answers)
		return Sample{Own: n / took.Seconds(), Spent: time.Duration(float64(treeTime(pids[i])-before) / n)}, nil
	}
	for round := range c.Rounds {
		if c.Progress != nil {
			c.Progress(fmt.Sprintf("%s, round %d of %d", s.Name, round+1, c.Rounds))
		}
		for k := range len(loads) - 1 {
			// Another one goes first in each round.
			i := 1 + (k+round)%(len(loads)-1)
			first, err := slice(0)
			if err != nil {
				return Result{}, err
			}
			own, err := slice(i)
			if err != nil {
				return Result{}, err
			}
			first.First, own.First = first.Own, first.Own
			result.Samples[i] = append(result.Samples[i], own)
			result.Samples[0] = append(result.Samples[0], first)
		}
	}
	return result, nil
}

// running is a server that a contender runs.
type running struct {
	cmd    *exec.Cmd
	dir    string
	port   int
	output strings.Builder
	ended  chan struct{}
}

// start starts a server in a directory of its own.
func start(ctx context.Context, c Contender, s Server) (*running, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	r := &running{dir: dir, ended: make(chan struct{})}
	fail := func(err error) (*running, error) {
		os.RemoveAll(dir)
		return nil, err
	}
	if r.port, err = freePort(); err != nil {
		return fail(err)
	}
	command, err := s.Prepare(dir, r.port)
	if err != nil {
		return fail(err)
	}
	argv := append(append([]string{}, c.Prefix...), command...)
	r.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = dir, &r.output, &r.output
	// A group of its own, which is told to end as a whole: tracers let go of what they trace.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	r.cmd.Cancel = func() error { return syscall.Kill(-r.cmd.Process.Pid, syscall.SIGTERM) }
	if err := r.cmd.Start(); err != nil {
		return fail(err)
	}
	go func() {
		// How it ends says nothing: it is told to.
		_ = r.cmd.Wait()
		close(r.ended)
	}()
	return r, nil
}

// readyWithin is how long a server may take until it listens.
const readyWithin = time.Minute

// clients make requests to one server.
type clients interface {
	run(d time.Duration) (answers int, took time.Duration, err error)
	close()
}

// connect waits until the server listens and returns the clients.
func (r *running) connect(ctx context.Context, s Server, c *Contest) (clients, error) {
	for begin := time.Now(); ; {
		l, err := connect(s, r.port, c.Clients)
		if err == nil && c.Tools {
			l.close()
			return &toolLoad{tool: s.Tool, port: r.port, clients: c.Clients}, nil
		}
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(begin) > readyWithin {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-r.ended:
			return nil, errors.New("the server has ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// grace is how long a server may take for its end.
const grace = 10 * time.Second

// stop ends the server and waits for that.
func (r *running) stop() {
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(grace):
		_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
		<-r.ended
	}
	os.RemoveAll(r.dir)
}

// said returns what a server that has ended has printed.
func (r *running) said() string {
	select {
	case <-r.ended:
		return "; it said: " + strings.TrimSpace(r.output.String())
	default:
		return ""
	}
}

// freePort returns a port that nobody has now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("%v is no TCP address", l.Addr())
	}
	return address.Port, nil
}
