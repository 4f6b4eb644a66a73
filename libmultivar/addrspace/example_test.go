package addrspace_test

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/addrspace"
)

// The same place in two variants has one canonical address.
func Example() {
	l, err := addrspace.NewLayout(2, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	a := l.Base(0) + 0x1234
	b := l.Base(1) + 0x1234
	fmt.Println(a == b, l.Canonical(0, a) == l.Canonical(1, b), l.Canonical(0, a))
	// An address of one variant means nothing in the other.
	fmt.Println(l.Canonical(1, a).Relative())
	// Output:
	// false true +0x1234
	// false
}
