package libmultivar_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// traced makes the tests print what engines are told and answer. Together with
// -rapid.seed it shows how a session went.
var traced = flag.Bool("traced", false, "print reports and actions of scripted sessions")

// nr returns a call's number.
func nr(name string) int64 {
	r, ok := sysabi.ByName(name)
	if !ok {
		panic("no call " + name)
	}
	return int64(r.Nr[sysabi.AMD64])
}

// journalEntry is a call that reached the world outside.
type journalEntry struct {
	process string
	nr      int64
	data    []byte
}

// tableKernel is a world that answers every call by its row in the table: it
// fills the outputs with bytes, and gives results, that depend on the process
// and on how many calls it has made, not on the order in which processes run.
type tableKernel struct {
	seed    uint64
	journal []journalEntry
	made    map[string]int
	// sleeping counts how often a call that sleeps was asked for.
	sleeping map[string]int
	// patience is how often a call that may sleep must be asked for at most.
	patience int
	// onCall, when set, is told of each call when it is executed.
	onCall func(c *fakefe.KernelCall)
}

func newTableKernel(seed uint64) *tableKernel {
	return &tableKernel{seed: seed, made: make(map[string]int), sleeping: make(map[string]int), patience: 2}
}

func (k *tableKernel) Call(c *fakefe.KernelCall) (int64, bool) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d %d", c.Process, k.made[c.Process], k.seed)
	rng := rand.New(rand.NewPCG(h.Sum64(), k.seed))
	row, ok := sysabi.Lookup(sysabi.AMD64, int(c.Nr))
	if !ok {
		return -38, true
	}
	call := row.Resolve(c.Args)
	if call.Blocks && k.sleeping[c.Process] < rng.IntN(k.patience+1) {
		k.sleeping[c.Process]++
		return 0, false
	}
	k.sleeping[c.Process] = 0
	k.made[c.Process]++
	e := journalEntry{process: c.Process, nr: c.Nr}
	if c.Nr == nr("write") {
		e.data = c.Read(c.Args[1], int(c.Args[2]))
	}
	k.journal = append(k.journal, e)
	if k.onCall != nil {
		k.onCall(c)
	}
	if rng.IntN(8) == 0 {
		return -int64(rng.IntN(10) + 5), true
	}
	ret := int64(0)
	if call.Ret == sysabi.RetFD {
		return int64(3 + rng.IntN(20)), true
	}
	for i := range call.Args {
		a := &call.Args[i]
		if a.Len.Kind == sysabi.LenRet {
			ret = rng.Int64N(int64(c.Args[a.Len.Arg]) + 1)
		}
	}
	if call.Wait&sysabi.WaitOutput != 0 {
		ret = int64(rng.IntN(100))
	}
	fill := func(addr uint64, n int) {
		if addr == 0 || n == 0 {
			return
		}
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		if c.Write(addr, p) < n {
			ret = -14
		}
	}
	for i := range call.Args {
		a := &call.Args[i]
		if a.Dir&sysabi.Out == 0 {
			continue
		}
		switch {
		case a.Kind == sysabi.Iovec:
			left := rng.IntN(50)
			for j := range c.Args[a.Len.Arg] {
				raw := c.Read(c.Args[i]+j*16, 16)
				n := min(left, int(binary.LittleEndian.Uint64(raw[8:])))
				fill(binary.LittleEndian.Uint64(raw), n)
				left -= n
				ret += int64(n)
			}
		case a.Len.Kind == sysabi.LenConst:
			fill(c.Args[i], int(a.Len.N))
		case a.Len.Kind == sysabi.LenArg:
			fill(c.Args[i], int(c.Args[a.Len.Arg]))
		case a.Len.Kind == sysabi.LenRet:
			fill(c.Args[i], int(ret)*int(max(a.Len.N, 1)))
		case a.Struct != nil:
			fill(c.Args[i], int(a.Struct.Size))
		}
	}
	return ret, true
}

// session is what a scripted session left behind.
type session struct {
	engine  *libmultivar.Engine
	record  *fakefe.Record
	kernel  *tableKernel
	outcome frontend.Outcome
	err     error
}

// scripted runs programs as variants.
func scripted(t testing.TB, cfg libmultivar.Config, fake fakefe.Config, kernel *tableKernel) session {
	t.Helper()
	return scriptedWith(t, cfg, fake, kernel, func(h frontend.Host, c frontend.Capabilities) (frontend.Host, frontend.Capabilities) {
		return h, c
	}, nil)
}

// scriptedWith is scripted on a host that host makes of the fake one. each, if it is not
// nil, sees all answers of the monitor.
func scriptedWith(
	t testing.TB, cfg libmultivar.Config, fake fakefe.Config, kernel *tableKernel,
	host func(frontend.Host, frontend.Capabilities) (frontend.Host, frontend.Capabilities),
	each func([]frontend.Action) []frontend.Action,
) session {
	t.Helper()
	if fake.Kernel == nil {
		fake.Kernel = kernel
	}
	if fake.Content == nil {
		fake.Content = func(fd int) []byte { return bytes.Repeat([]byte{byte(fd), 1, 2}, 3000) }
	}
	fe := fakefe.New(fake)
	s := session{kernel: kernel}
	s.outcome, s.err = fe.Run(t.Context(), frontend.Spec{
		Programs: []string{fake.Programs[0].Path}, Args: []string{"prog", "arg"}, Env: []string{"A=1"}, Variants: cfg.Variants,
	}, func(h frontend.Host, c frontend.Capabilities) (frontend.Monitor, error) {
		h, c = host(h, c)
		e, err := libmultivar.New(cfg, h, c)
		s.engine = e
		switch {
		case err != nil:
			return nil, err
		case *traced:
			return tracer{e, func(line string) { t.Log(line) }, each}, nil
		case each != nil:
			return tracer{e, nil, each}, nil
		}
		return e, nil
	})
	s.record = fe.Record()
	return s
}

// failT is what checks need of a test.
type failT interface {
	Helper()
	Fatalf(format string, args ...any)
}

// ok fails unless the session ran without a failure of its own.
func (s *session) ok(t failT) {
	t.Helper()
	if s.err != nil {
		var dead *fakefe.DeadlockError
		if errors.As(s.err, &dead) {
			t.Fatalf("deadlock:\n%s", strings.Join(dead.Waiting, "\n"))
		}
		t.Fatalf("Run: %v", s.err)
	}
	if err := s.engine.Err(); err != nil {
		t.Fatalf("engine: %v", err)
	}
}

// agreed fails unless the session ended without a divergence and all variants
// saw the same.
func (s *session) agreed(t failT) {
	t.Helper()
	s.ok(t)
	if d := s.engine.Divergence(); d != nil {
		t.Fatalf("divergence: %v\nleader %q, other %q\n%v", d, d.Leader.Text, d.Other.Text, d.Events)
	}
	if !s.outcome.Ended {
		t.Fatalf("the session has no outcome")
	}
	if s.record.OpenFiles != 0 {
		t.Fatalf("%d files are still open", s.record.OpenFiles)
	}
	s.followed(t)
}

// followed fails unless the followers saw what the leader saw. Where a signal
// ended a process of the leader, its twins are killed unless they were about to
// exit; the last result may then be known to one side only.
func (s *session) followed(t failT) {
	t.Helper()
	leader := s.view(frontend.Leader)
	for v := 1; v < len(s.record.Seen); v++ {
		own := s.view(v)
		for p, lead := range s.record.Status[frontend.Leader] {
			if st := s.record.Status[v][p]; st != lead && lead.Signal == 0 {
				t.Fatalf("process %s ended with %+v in variant %d, with %+v in the leader", p, st, v, lead)
			}
		}
		paths := maps.Clone(leader)
		maps.Copy(paths, own)
		for p := range paths {
			a, b := leader[p], own[p]
			proc, _, _ := strings.Cut(p, "/")
			if n := min(len(a), len(b)); s.record.Status[frontend.Leader][proc].Signal != 0 && len(a) <= n+1 && len(b) <= n+1 {
				a, b = a[:n], b[:n]
			}
			if d := firstDifference(a, b); d != "" {
				t.Fatalf("variant %d, process %s saw something else: %s", v, p, d)
			}
		}
	}
}

// view returns what the tasks of variant v saw, with addresses of the program's
// slot as distances from its start.
func (s *session) view(v int) map[string][]fakefe.Seen {
	out := make(map[string][]fakefe.Seen)
	for path, seen := range s.record.Seen[v] {
		list := slices.Clone(seen)
		for i := range list {
			base := list[i].Base
			list[i].Base = 0
			if x := uint64(list[i].Value); x >= 0x2000_0000_0000 && x < 0x5000_0000_0000 {
				list[i].Value = int64(x - base)
			}
			list[i].Memory = slices.Clone(list[i].Memory)
			for j, m := range list[i].Memory {
				list[i].Memory[j] = unbased(m, base)
			}
		}
		out[path] = list
	}
	return out
}

// unbased replaces addresses of the program by their distance from its start.
func unbased(p []byte, base uint64) []byte {
	p = slices.Clone(p)
	for at := 0; at+8 <= len(p); at += 8 {
		if x := binary.LittleEndian.Uint64(p[at:]); x-base < 64<<10 {
			binary.LittleEndian.PutUint64(p[at:], x-base)
		}
	}
	return p
}

func firstDifference(a, b []fakefe.Seen) string {
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return fmt.Sprintf("at %d nothing and %+v", i, b[i])
		case i >= len(b):
			return fmt.Sprintf("at %d %+v and nothing", i, a[i])
		case !reflect.DeepEqual(a[i], b[i]):
			return fmt.Sprintf("at %d %+v and %+v", i, a[i], b[i])
		}
	}
	return ""
}

func mustPolicy(t testing.TB, name string) policy.Policy {
	t.Helper()
	p, err := policy.ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
