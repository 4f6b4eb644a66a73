package fakefe_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// Two variants of a scripted program run under the engine. The second one writes
// something else, which is found before anything is written: the zero policy lets
// every call wait for all variants.
func Example() {
	const write = 1
	text := func(s string) *fakefe.Program {
		return &fakefe.Program{Path: "/bin/hello", Steps: []fakefe.Step{
			fakefe.Call(write, fakefe.Num(1), fakefe.String(s), fakefe.Num(uint64(len(s)))),
		}}
	}
	world := fakefe.NewWorld()
	fe := fakefe.New(fakefe.Config{
		Programs: []*fakefe.Program{text("hello, world")},
		Instead:  map[int]*fakefe.Program{1: text("hello, wOrld")},
		Kernel:   world,
		Choose:   fakefe.Random(1),
	})
	var engine *libmultivar.Engine
	_, err := fe.Run(context.Background(), frontend.Spec{Programs: []string{"/bin/hello"}, Variants: 2},
		func(h frontend.Host, c frontend.Capabilities) (m frontend.Monitor, err error) {
			engine, err = libmultivar.New(libmultivar.Config{Variants: 2}, h, c)
			return engine, err
		})
	fmt.Println(errors.Join(err, engine.Err()))
	fmt.Println(engine.Divergence())
	fmt.Printf("written: %q\n", world.Out[1])
	// Output:
	// <nil>
	// divergence: variant 1 calls write with other data: buf differs at byte 8
	// written: ""
}
