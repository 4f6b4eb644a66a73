package libmultivar

import (
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Each variant copies within its own process; about another one the kernel is asked only
// whether it is there.
func TestProcessVM(t *testing.T) {
	const stranger = 77
	kill, _ := sysabi.ByName("kill")
	for _, call := range []string{"process_vm_readv", "process_vm_writev"} {
		row, _ := sysabi.ByName(call)
		nr := int64(row.Nr[sysabi.AMD64])
		for _, tc := range []struct {
			name    string
			pid     func(b *bench) uint64
			kernel  int64
			nr      int64
			ret     int64
			follows follow
			notice  bool
		}{
			{"own", func(b *bench) uint64 { return uint64(b.th.proc.pid) }, 5, nr, 5, followRun, false},
			{"another", func(*bench) uint64 { return stranger }, 0, int64(kill.Nr[sysabi.AMD64]), -ePERM, followAnswer, true},
			{"nobody", func(*bench) uint64 { return stranger }, -eSearch, int64(kill.Nr[sysabi.AMD64]), -eSearch, followAnswer, false},
			{"no id", func(*bench) uint64 { return 0 }, -eSearch, nr, -eSearch, followAnswer, false},
		} {
			t.Run(call+" "+tc.name, func(t *testing.T) {
				b := newBench(t)
				var notices []string
				b.e.cfg.Notice = func(text string) { notices = append(notices, text) }
				ev := &record{thread: b.th, name: call}
				ev.raw = frontend.Call{Nr: nr, Args: [6]uint64{tc.pid(b), testAddr, 1, testAddr, 1, 0}}
				ev.call = row.Resolve(ev.raw.Args)
				b.e.prepare(b.th, ev)
				ret := tc.kernel
				if ev.after != nil {
					ret = ev.after(ret)
				}
				if ev.follow != tc.follows || ret != tc.ret || ev.answered {
					t.Errorf("followers %d, result %d", ev.follow, ret)
				}
				got, args := ev.raw.Nr, ev.raw.Args
				if ev.run != nil {
					got, args = ev.run(frontend.Leader, &ev.raw)
				}
				if got != tc.nr || tc.nr != nr && args != [6]uint64{stranger} {
					t.Errorf("the leader makes call %d with %v", got, args)
				}
				if tc.follows == followRun {
					_, args = ev.run(1, &ev.raw)
					if want := uint64(b.th.sides[1].task.Host); args[0] != want || args[1] != testAddr {
						t.Errorf("the follower asks for %v, its process is %d", args, want)
					}
				}
				if tc.notice != (len(notices) == 1 && strings.HasPrefix(notices[0], call+" is refused with EPERM: ")) {
					t.Errorf("notices %q", notices)
				}
			})
		}
	}
}
