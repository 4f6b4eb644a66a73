package calllog_test

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/calllog"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

func Example() {
	fmt.Printf("%s\n", calllog.AppendResult(nil, sysabi.RetInt, -2))
	fmt.Printf("%s\n", calllog.AppendSignal(nil, 4711, 11, 1))
	fmt.Printf("%s\n", calllog.AppendQuoted(nil, []byte("a\x1b[31mb"), false))
	// Output:
	// -1 ENOENT
	// 4711 --- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR} ---
	// "a\33[31mb"
}
