package sysabi_test

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A row says how a call is compared and what is replicated.
func Example() {
	row, _ := sysabi.Lookup(sysabi.AMD64, 0)
	buf := row.Args[1]
	fmt.Println(row.Name, buf.Name, buf.Dir == sysabi.Out, buf.Len.Kind == sysabi.LenRet)
	// Output: read buf true true
}
