package libmultivar_test

import (
	"fmt"
	"testing"

	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

func TestTmp(t *testing.T) {
	for _, r := range sysabi.Rows() {
		if r.Nr[0] < 0 || r.Exec == sysabi.Unsupported {
			continue
		}
		if r.Sub == nil {
			fmt.Println(r.Name, "|", libmultivar.Beside(r, [6]uint64{}))
			continue
		}
		for cmd, c := range r.Sub.Cases {
			var a [6]uint64
			a[r.Sub.Arg] = uint64(uint32(cmd))
			if r.Sub.Upper != 0 {
				a[r.Sub.Upper] = cmd >> 32
			}
			if w := libmultivar.Beside(r, a); w == "" {
				fmt.Println(r.Name, c.Name, "|", w)
			}
		}
	}
}
