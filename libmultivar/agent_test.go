package libmultivar

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// While a thread opens what may be withheld from it, others of its process have no leases: what they
// ask for has to wait for the followers, lest they use the new descriptor before these have asked.
func TestNoLeaseWhileAnotherThreadOpens(t *testing.T) {
	row, ok := sysabi.ByName("openat")
	if !ok {
		t.Fatal("no openat")
	}
	e, err := New(Config{Variants: 2, LeaseAfter: -1}, newMemHost(), frontend.Capabilities{Arch: sysabi.AMD64})
	if err != nil {
		t.Fatal(err)
	}
	d := newDomain(2)
	p := e.newProcess(nil, 1000, d)
	opens := e.newThread(p, 1001, d)
	for v := range 2 {
		for _, th := range []*thread{p.main, opens} {
			e.attach(th, frontend.Task{Variant: v, Host: 1000 + 10*v + int(th.id)})
			th.sides[v].stop = running
		}
	}
	ev := &record{thread: opens, kind: event.Call, call: row.Resolve([6]uint64{})}
	opens.events = []*record{ev}
	for _, c := range []struct {
		started, done, withheld bool
		met                     int
		leases                  bool
	}{
		{false, false, false, 0, true},
		{true, false, false, 0, false},
		// A lease that another thread has got while this call waited for the followers is not taken back.
		{true, false, false, 1, true},
		{true, true, false, 0, true},
		{true, true, true, 0, false},
	} {
		ev.started, ev.done, ev.withheld, ev.met = c.started, c.done, nil, c.met
		if c.withheld {
			ev.withheld = &frontend.Action{}
		}
		if got := e.leases(p.main, 1); got != c.leases {
			t.Errorf("%+v: leases %v", c, got)
		}
	}
}
