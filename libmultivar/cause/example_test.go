package cause_test

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/cause"
	"github.com/multivar/multivar/libmultivar/report"
)

// What one variant asks for and the leader does not is told from what differs by chance.
func ExampleFind() {
	d := &report.Divergence{
		Kind: report.KindCall, Variant: 1, Variants: 2, Call: "read", VariantCall: "execve",
		ArgumentIndex: -1, Offset: -1,
		Leader: report.Value{Text: "read(0, 0x200000001000, 1)"}, Other: report.Value{Text: `execve("/bin/sh", ["sh"], [])`},
	}
	fmt.Println(cause.Find(d, nil, cause.Clock{}).Name)
	// Output: attack
}
