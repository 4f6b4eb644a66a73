package libmultivar

import (
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/policy"
)

// relative adds a process with one thread, which shares memory with that of the bench.
func (b *bench) relative(host int) *process {
	p := b.e.newProcess(b.th.proc, host, b.th.sides[frontend.Leader].domain)
	for v := range p.main.sides {
		b.e.attach(p.main, frontend.Task{Variant: v, Host: host + v})
		p.main.sides[v].stop = running
	}
	return p
}

// putOff has a thread kill a process of its own domain while another one has its turn there.
func (b *bench) putOff(t *testing.T, th *thread, target *process) *domainSide {
	t.Helper()
	d := &th.sides[frontend.Leader].domain.sides[frontend.Leader]
	d.runners = append(d.runners, b.relative(400).main)
	c := frontend.Call{Nr: callNr("kill"), Args: [6]uint64{uint64(target.pid), sigKILL}}
	for v := range th.sides {
		b.e.OnSyscall(th.sides[v].task, c)
	}
	if len(d.strikes) != 1 {
		t.Fatalf("%d calls put off, want 1", len(d.strikes))
	}
	return d
}

// A kill that is put off is made once, however many followers come to it meanwhile.
func TestPutOffOnce(t *testing.T) {
	b := newBench(t)
	var err error
	if b.e.cfg.Policy, err = policy.ByName("performance"); err != nil {
		t.Fatal(err)
	}
	target := b.relative(200)
	d := b.putOff(t, b.th, target)
	b.e.OnExit(target.main.sides[frontend.Leader].task, frontend.Status{Signal: 9})
	b.e.advance(d.strikes[0])
	if len(d.strikes) != 0 {
		t.Error("a call that was made is still put off")
	}
}

// A call that is put off until others rest holds up nobody when its thread ends before.
func TestPutOffForEver(t *testing.T) {
	b := newBench(t)
	target, caller := b.relative(200), b.relative(300)
	d := b.putOff(t, caller.main, target)
	b.e.OnExit(caller.main.sides[frontend.Leader].task, frontend.Status{Signal: 9})
	if len(d.strikes) != 0 {
		t.Error("the call of a thread that has ended is still put off")
	}
	if b.e.Err() != nil || b.e.Divergence() != nil {
		t.Error(b.e.Err(), b.e.Divergence())
	}
}

// What was only taken for dead is forgotten when its end does not come, whether somebody
// stands because of it already or comes to that later.
func TestOutlived(t *testing.T) {
	for _, stands := range []bool{false, true} {
		b := newBench(t)
		p := b.relative(200)
		b.th.victim = &victim{process: p, owner: p.main, until: time.Second}
		lead := &b.th.sides[frontend.Leader]
		a := frontend.Action{Op: frontend.OpResume, Task: lead.task}
		if stands {
			b.e.goOn(b.th, a)
			if lead.stop != ready || len(p.avengers) != 1 {
				t.Fatal("it does not wait")
			}
		}
		b.e.OnTimer(time.Second / 2)
		if b.th.victim == nil {
			t.Error("forgotten too early")
		}
		b.e.OnTimer(2 * time.Second)
		if !stands {
			b.e.goOn(b.th, a)
		}
		if b.th.victim != nil || len(p.avengers) != 0 || lead.stop != running {
			t.Errorf("stands %v: it waits for %v", stands, b.th.victim)
		}
	}
}

// Who waits for a thread's mutex waits for the thread when that makes its own end, and
// otherwise for all of its process.
func TestVictimIsGone(t *testing.T) {
	own := &record{deadly: true}
	for name, c := range map[string]struct {
		owner  bool
		deadly *record
		want   bool
	}{
		"its own end":            {true, own, true},
		"with its process":       {true, &record{deadly: true, wholeProcess: true}, false},
		"killed":                 {true, nil, false},
		"nobody's mutex, killed": {false, own, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			p := b.relative(200)
			th := b.e.newThread(p, 201, p.main.sides[frontend.Leader].domain)
			for v := range th.sides {
				b.e.attach(th, frontend.Task{Variant: v, Host: 400 + v})
			}
			k := &victim{process: p}
			if c.owner {
				k.owner = th
			}
			th.sides[frontend.Leader].deadly = c.deadly
			if k.gone(b.th) {
				t.Error("gone before its end")
			}
			b.e.leave(th, frontend.Leader)
			if got := k.gone(b.th); got != c.want {
				t.Errorf("gone: %v, want %v", got, c.want)
			}
			b.e.leave(p.main, frontend.Leader)
			if !k.gone(b.th) {
				t.Error("not gone with its process")
			}
		})
	}
}
