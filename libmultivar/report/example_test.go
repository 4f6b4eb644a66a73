package report_test

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/report"
)

// A divergence is an error whose message is one line.
func Example() {
	var err error = &report.Divergence{
		Kind: report.KindArgument, Variant: 1, Variants: 2,
		Call: "openat", Argument: "pathname", ArgumentIndex: 1, Offset: -1,
		Leader: report.Value{Text: `"/etc/motd"`}, Other: report.Value{Text: `"/etc/shadow"`},
	}
	fmt.Println(err)
	// Output: divergence: variant 1 calls openat with another pathname
}
