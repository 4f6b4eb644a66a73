package policy_test

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Under the default policy a mapping waits for all variants when it is
// executable.
func Example() {
	p, err := policy.ByName(policy.Default)
	if err != nil {
		fmt.Println(err)
		return
	}
	row, _ := sysabi.ByName("mmap")
	for _, prot := range []uint64{1, 1 | 4} {
		args := [6]uint64{0, 4096, prot}
		call := row.Resolve(args)
		fmt.Println(p.Waits(&call, args, policy.Unknown))
	}
	// Output:
	// false
	// true
}
