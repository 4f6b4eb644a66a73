package rule_test

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/rule"
)

// Rules are read as a whole before anything starts; one that could let through more than it
// says is an error.
func ExampleParse() {
	set, err := rule.Parse([]byte(`
[[mask]]
name = "build stamp"
call = "write"
argument = "buf"
bytes = [0, 12]
`))
	fmt.Println(set.Names(), err)
	_, err = rule.Parse([]byte("[[extra]]\nname = \"shell\"\nin = 1\ncalls = [\"execve\"]\n"))
	fmt.Println(err != nil)
	// Output:
	// [build stamp] <nil>
	// true
}
