package frontend_test

import (
	"context"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
)

// liar is a monitor that tells programs a wrong process id and otherwise lets them be.
type liar struct{ frontend.Passive }

// OnSyscall implements frontend.Monitor.
func (m liar) OnSyscall(t frontend.Task, c frontend.Call) []frontend.Action {
	const getpid = 39
	if c.Nr == getpid {
		return []frontend.Action{{Op: frontend.OpAnswer, Task: t, Ret: 7}}
	}
	return m.Passive.OnSyscall(t, c)
}

// A monitor decides what becomes of a call, on whatever front-end; here it is one whose
// programs are scripts.
func Example() {
	const getpid = 39
	script := &fakefe.Program{Path: "/p", Steps: []fakefe.Step{
		fakefe.Call(getpid).As("pid"),
		fakefe.Call(231, fakefe.Var("pid")), // exit_group
	}}
	fe := fakefe.New(fakefe.Config{Programs: []*fakefe.Program{script}})
	outcome, err := fe.Run(context.Background(), frontend.Spec{Programs: []string{"/p"}, Variants: 1},
		func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error) { return liar{}, nil })
	fmt.Println(outcome.Status.Code, err)
	// Output: 7 <nil>
}
