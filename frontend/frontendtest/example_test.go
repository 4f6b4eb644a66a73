package frontendtest_test

import (
	"context"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/frontend/frontendtest"
)

// A front-end's own tests script a monitor as the suite does. The suite itself is a call of
// Run from a test: frontendtest.Run(t, fe, frontendtest.Options{}).
func Example() {
	const lseek, getppid = 8, 110
	program := &fakefe.Program{Path: "/p", Steps: []fakefe.Step{
		fakefe.Call(getppid).As("ppid"),
		fakefe.Call(lseek, fakefe.Num(frontendtest.ReportFD), fakefe.Var("ppid"), fakefe.Num(1)),
	}}
	m := &frontendtest.Script{}
	m.Call = func(t frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name == "getppid" {
			return frontendtest.Answer(t, 4242)
		}
		return nil
	}
	_, err := fakefe.New(fakefe.Config{Programs: []*fakefe.Program{program}}).Run(
		context.Background(), frontend.Spec{Programs: []string{"/p"}, Variants: 1}, m.NewMonitor)
	fmt.Println("the program saw", m.Reports[1], err)
	// Output: the program saw [4242] <nil>
}
