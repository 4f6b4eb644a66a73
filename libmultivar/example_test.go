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
