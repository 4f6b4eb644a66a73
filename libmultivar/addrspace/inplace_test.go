package addrspace

import (
	"errors"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// Everything stays, and the program finds on its stack what exec puts there.
func TestInPlace(t *testing.T) {
	for _, movable := range []bool{true, false} {
		img := testImage(kernelA, movable)
		p, err := InPlace(img)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Moves)+len(p.Unmap) != 0 || p.IP != img.IP || p.Brk != 0 || p.Comm != "cat" {
			t.Errorf("%+v", p)
		}
		if p.SP%16 != 0 || p.SP+uint64(len(p.Stack)) != kernelA.stack || p.StackStart != p.SP {
			t.Errorf("stack of %#x bytes at %#x", len(p.Stack), p.SP)
		}
		v := readStack(t, p)
		if len(v.args) != 3 || v.args[2] != "a b" || len(v.env) != 2 || v.env[0] != "HOME=/" {
			t.Errorf("%q, %q", v.args, v.env)
		}
		values := map[uint64]uint64{}
		for _, a := range v.aux {
			values[a.Type] = a.Value
		}
		for _, typ := range []uint64{auxPhdr, auxBase, auxEntry, auxPhnum} {
			if want, _ := AuxValue(img.Aux, typ); values[typ] != want {
				t.Errorf("entry %d is %#x, want %#x", typ, values[typ], want)
			}
		}
		if _, has := values[auxSysinfoEhdr]; has {
			t.Error("the program is told of a vDSO")
		}
		if got := stringAt(p, values[auxExecFn]); got != "/bin/cat" {
			t.Errorf("path %q", got)
		}
		if got := stringAt(p, p.EnvStart); got != "HOME=/" || p.ArgEnd != p.EnvStart || stringAt(p, p.ArgStart) != "cat" {
			t.Errorf("arguments %#x-%#x, environment %#x-%#x", p.ArgStart, p.ArgEnd, p.EnvStart, p.EnvEnd)
		}
	}
}

func TestInPlaceErrors(t *testing.T) {
	nul, narrow, stackless := testImage(kernelA, true), testImage(kernelA, true), testImage(kernelA, true)
	nul.Args = [][]byte{{0}}
	for range 0x21000 / 8 {
		narrow.Env = append(narrow.Env, nil)
	}
	for i := range stackless.Mappings {
		if stackless.Mappings[i].Region == frontend.RegionStack {
			stackless.Mappings[i].Region = frontend.RegionOther
		}
	}
	for _, tc := range []struct {
		img  *frontend.Image
		want error
	}{{nil, ErrImage}, {nul, ErrImage}, {stackless, ErrImage}, {narrow, ErrStackSize}} {
		if _, err := InPlace(tc.img); !errors.Is(err, tc.want) {
			t.Errorf("%v, want %v", err, tc.want)
		}
	}
}
