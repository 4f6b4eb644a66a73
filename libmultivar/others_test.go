package libmultivar_test

import (
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// The user of an engine is told that the first process has ended while others live, once,
// when it has in all variants; and not told when none does.
func TestOthers(t *testing.T) {
	waits := fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0)))
	for _, c := range []struct {
		name  string
		steps []fakefe.Step
		want  int
	}{
		{"alone", []fakefe.Step{fakefe.Call(nr("getpid")), fakefe.Exit(0)}, 0},
		{"waits for its child", []fakefe.Step{
			fakefe.Fork(fakefe.Call(nr("getpid")), fakefe.Exit(0)),
			fakefe.Call(nr("wait4"), fakefe.Num(^uint64(0)), num(0), num(0), num(0)),
			fakefe.Exit(0),
		}, 0},
		{"daemon", []fakefe.Step{
			fakefe.Fork(waits, fakefe.Call(nr("getpid")), fakefe.Exit(0)),
			fakefe.Exit(3),
		}, 1},
		{"two daemons", []fakefe.Step{
			fakefe.Fork(fakefe.Fork(waits, fakefe.Exit(0)), fakefe.Exit(1)),
			fakefe.Fork(waits, fakefe.Exit(0)),
			fakefe.Exit(3),
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(30) {
				told := 0
				s := scripted(t, libmultivar.Config{
					Variants: 1 + int(seed%3), Policy: mustPolicy(t, "exec"), OnOthers: func() { told++ },
				}, fakefe.Config{
					Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: c.steps}},
					Choose:   fakefe.Random(seed),
					// A daemon goes on when the user knows that there is one.
					Kernel: fakefe.KernelFunc(func(call *fakefe.KernelCall) (int64, bool) {
						return 0, call.Nr != nr("epoll_wait") || told > 0
					}),
				}, nil)
				s.ok(t)
				if told != c.want {
					t.Fatalf("seed %d: told %d times, want %d", seed, told, c.want)
				}
			}
		})
	}
}
