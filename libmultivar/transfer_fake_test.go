package libmultivar_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// mover is a host that moves data in the leader's place, unless it is shy.
type mover struct {
	frontend.Host
	shy bool
	// asked is what it was asked for.
	asked []string
}

func (m *mover) with(inner frontend.Host, c frontend.Capabilities) (frontend.Host, frontend.Capabilities) {
	m.Host, c.Transfers = inner, true
	return m, c
}

func (m *mover) note(t frontend.Task, what string, args ...any) bool {
	if t.Variant != frontend.Leader {
		what += " of a follower"
	}
	m.asked = append(m.asked, fmt.Sprintf(what, args...))
	return !m.shy
}

func (m *mover) Send(t frontend.Task, fd int, data []byte) (int64, bool) {
	return int64(len(data)) - 1, m.note(t, "send %d %s", fd, data)
}

func (m *mover) Receive(t frontend.Task, fd int, p []byte) (int64, bool) {
	return int64(copy(p, "received")), m.note(t, "receive %d %d", fd, len(p))
}

func (m *mover) ReceiveAt(t frontend.Task, fd int, p []byte, off int64) (int64, bool) {
	return -5, m.note(t, "receive %d %d at %d", fd, len(p), off)
}

var _ frontend.Transfers = (*mover)(nil)

// What the host moves in the leader's place is moved once, and comes to all variants; what it
// does not move the leader does.
func TestTransfers(t *testing.T) {
	for _, shy := range []bool{false, true} {
		for _, name := range []string{policy.Performance, policy.Comprehensive} {
			m := &mover{shy: shy}
			var seen []string
			program := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
				fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(0x22), fakefe.Num(^uint64(0)), num(0)).As("buf"),
				fakefe.Call(nr("write"), num(3), fakefe.String("hello"), num(5)),
				fakefe.Call(nr("recvfrom"), num(4), fakefe.Plus(fakefe.Var("buf"), 16), num(100), num(0), num(0), num(0)),
				fakefe.Do(func(f *fakefe.Frame) { seen = append(seen, string(f.Read(f.Var("buf")+16, 9))) }),
				fakefe.Call(nr("pread64"), num(5), fakefe.Var("buf"), num(10), num(20)),
			}}
			s := scriptedWith(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, name)},
				fakefe.Config{Programs: []*fakefe.Program{program}}, newTableKernel(1), m.with, nil)
			s.agreed(t)
			if want := []string{"send 3 hello", "receive 4 100", "receive 5 10 at 20"}; !slices.Equal(m.asked, want) {
				t.Errorf("the host was asked to %q, want %q", m.asked, want)
			}
			effects := s.effects(nr("write")) + s.effects(nr("recvfrom")) + s.effects(nr("pread64"))
			if want := map[bool]int{false: 0, true: 3}[shy]; effects != want {
				t.Errorf("shy %v: the leader has made %d of the calls, want %d", shy, effects, want)
			}
			if shy {
				continue
			}
			if want := slices.Repeat([]string{"received\x00"}, 3); !slices.Equal(seen, want) {
				t.Errorf("the variants have got %q", seen)
			}
			for call, want := range map[string]int64{"write": 4, "recvfrom": 8, "pread64": -5} {
				for v := range 3 {
					if got := s.results(v, "0", call); !slices.Equal(got, []int64{want}) {
						t.Errorf("%s gave variant %d %d, want %d", call, v, got, want)
					}
				}
			}
		}
	}
}

// The host is not asked where somebody could see that it was not the leader.
func TestTransfersOfNothingElse(t *testing.T) {
	const readOnly = 1
	read := func(args ...fakefe.Arg) fakefe.Step { return fakefe.Call(nr("recvfrom"), args...) }
	mapped := fakefe.Call(nr("mmap"), num(0), num(8192), num(readOnly), num(0x22), fakefe.Num(^uint64(0)), num(0)).As("buf")
	for name, steps := range map[string][]fakefe.Step{
		"memory that cannot be written": {mapped, read(num(4), fakefe.Var("buf"), num(8), num(0), num(0), num(0))},
		"no memory":                     {read(num(4), num(64), num(8), num(0), num(0), num(0))},
		"flags":                         {read(num(4), fakefe.Buffer(8), num(8), num(0x100), num(0), num(0))},
		"an address":                    {read(num(4), fakefe.Buffer(8), num(8), num(0), fakefe.Buffer(16), fakefe.Words(num(16)))},
		"no bytes":                      {fakefe.Call(nr("write"), num(3), fakefe.String(""), num(0)), read(num(4), fakefe.Buffer(8), num(0), num(0), num(0), num(0))},
		"another call":                  {fakefe.Call(nr("pwrite64"), num(3), fakefe.String("hello"), num(5), num(0))},
	} {
		m := &mover{}
		s := scriptedWith(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, policy.Exec)},
			fakefe.Config{Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps}}}, newTableKernel(1), m.with, nil)
		s.ok(t)
		if s.engine.Divergence() != nil || len(m.asked) > 0 {
			t.Errorf("%s: the host was asked to %q (%v)", name, m.asked, s.engine.Divergence())
		}
	}
}

// A thread keeps its turn while the host moves data in its place.
func TestTransferOfThread(t *testing.T) {
	m := &mover{}
	steps := []fakefe.Step{
		fakefe.Thread(fakefe.Call(nr("write"), num(3), fakefe.String("hello"), num(5))),
		fakefe.Call(nr("futex"), fakefe.Buffer(4), num(0), num(0), num(0)),
	}
	s := scriptedWith(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, policy.Exec)},
		fakefe.Config{Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps}}}, newTableKernel(1), m.with, nil)
	s.ok(t)
	if want := []string{"send 3 hello"}; s.engine.Divergence() != nil || !slices.Equal(m.asked, want) {
		t.Errorf("the host was asked to %q, want %q (%v)", m.asked, want, s.engine.Divergence())
	}
}

// What a follower would send otherwise diverges, before the host has sent it where calls wait.
func TestTransferDiverges(t *testing.T) {
	program := func(text string) *fakefe.Program {
		return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Call(nr("write"), num(3), fakefe.String(text), num(5))}}
	}
	for name, sent := range map[string]int{policy.Exec: 1, policy.Leak: 0} {
		m := &mover{}
		s := scriptedWith(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, name)}, fakefe.Config{
			Programs: []*fakefe.Program{program("hello")}, Instead: map[int]*fakefe.Program{1: program("hullo")}, Choose: leaderFirst,
		}, newTableKernel(1), m.with, nil)
		s.ok(t)
		d := s.engine.Divergence()
		if d == nil || len(m.asked) != sent || d.EffectOut != (sent > 0) {
			t.Errorf("%s: the host has sent %q, and the session ended with %v", name, m.asked, d)
		}
	}
}
