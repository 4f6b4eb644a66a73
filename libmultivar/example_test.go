package libmultivar_test

import (
	"context"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// An engine is handed to a front-end, here one whose variants are scripts.
func Example() {
	const getpid, exitGroup = 39, 231
	p, err := policy.ByName(policy.Exec)
	if err != nil {
		fmt.Println(err)
		return
	}
	fe := fakefe.New(fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/p", Steps: []fakefe.Step{fakefe.Call(getpid), fakefe.Call(exitGroup, fakefe.Num(3))}}},
		Kernel:   fakefe.NewWorld(),
		Choose:   fakefe.Random(1),
	})
	var engine *libmultivar.Engine
	outcome, err := fe.Run(context.Background(), frontend.Spec{Programs: []string{"/bin/p"}, Variants: 3},
		func(h frontend.Host, c frontend.Capabilities) (m frontend.Monitor, err error) {
			engine, err = libmultivar.New(libmultivar.Config{Variants: 3, Policy: p}, h, c)
			return engine, err
		})
	fmt.Println(err, engine.Divergence() == nil, outcome.Status.Code)
	// Output: <nil> true 3
}

// A hook refuses a call, in all variants.
func ExampleHooks() {
	const unlink = 87
	fe := fakefe.New(fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/p", Steps: []fakefe.Step{
			fakefe.Call(unlink, fakefe.String("precious")).As("ret"),
			fakefe.Call(231, func(f *fakefe.Frame) uint64 { return -f.Var("ret") }), // exit_group
		}}},
	})
	hooks := libmultivar.Hooks{
		Calls: []string{"unlink"},
		OnCall: func(c *libmultivar.Call) libmultivar.Verdict {
			name, err := c.Path("pathname")
			fmt.Println(c.Name, name, err)
			return libmultivar.Fail(13) // EACCES
		},
		OnResult: func(c *libmultivar.Call, r libmultivar.Result) { fmt.Println(c.Name, r.Errno()) },
	}
	outcome, err := libmultivar.Run(context.Background(), fe, frontend.Spec{Programs: []string{"/bin/p"}, Variants: 3},
		libmultivar.Config{Hooks: hooks})
	fmt.Println(outcome.Status.Code, err)
	// Output:
	// unlink /fake/precious <nil>
	// unlink 13
	// 13 <nil>
}
