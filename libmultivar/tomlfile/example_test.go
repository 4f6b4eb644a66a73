package tomlfile_test

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/tomlfile"
)

// A key that the program does not know is an error, which names its line.
func ExampleDecode() {
	var v struct {
		Name string `toml:"name"`
	}
	_, err := tomlfile.Decode([]byte("name = \"x\"\nnames = 2\n"), &v)
	fmt.Println(err)
	f, err := tomlfile.Decode([]byte("\nname = \"x\"\n"), &v)
	fmt.Println(v.Name, f.Line("name"), err)
	// Output:
	// line 2: unknown key "names"
	// x 2 <nil>
}
