package symbols

import (
	"strings"
	"testing"
	"time"
)

func TestReadable(t *testing.T) {
	for name, want := range map[string]string{
		"main":                               "main",
		"":                                   "",
		"_Z":                                 "_Z",
		"_Zebra":                             "_Zebra",
		"_R":                                 "_R",
		"_ZN4shop5shelf9innermostEiPKc":      "shop::shelf::innermost(int, char const*)",
		"_ZN4shop5shelfC1Ev":                 "shop::shelf::shelf()",
		"_ZNSt6vectorIiSaIiEE9push_backERKi": "std::vector<int, std::allocator<int> >::push_back(int const&)",
		"_ZZ4mainENKUlvE_clEv":               "main::{lambda()#1}::operator()() const",
		// Of GCC: a part of a function that was taken out of it.
		"_ZN1a1bEv.part.0": "a::b() [clone .part.0]",
		// Rust's names, before and since they are its own.
		"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE":  "core::fmt::Formatter::pad",
		"_RNvCs15kBYyAo9fc_7mycrate7example":              "mycrate::example",
		"_RNvNtNtCs1234_7mycrate3foo3bar9innermost":       "mycrate::foo::bar::innermost",
		"_RINvNtC3std3mem8align_ofjE":                     "std::mem::align_of::<usize>",
		"go.example.com/pkg.(*T).Method":                  "go.example.com/pkg.(*T).Method",
		"github.com/multivar/multivar/frontend.Z_RNvC1a1": "github.com/multivar/multivar/frontend.Z_RNvC1a1",
	} {
		if got := readable(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// exploding is a name that stands for one of two to the n types.
func exploding(n int) string {
	var b strings.Builder
	b.WriteString("_Z1fI1aE")
	b.WriteString("v")
	for i := range n {
		ref := "S" + string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i%36]) + "_"
		b.WriteString("1xI" + ref + ref + "E")
	}
	return b.String()
}

// Names come from files that attackers may have written: whatever they are, they take
// neither long nor much memory.
func TestReadableIsBounded(t *testing.T) {
	begin := time.Now()
	for _, name := range []string{
		exploding(20), exploding(100),
		"_Z" + strings.Repeat("N", maxName-2), "_ZN" + strings.Repeat("1a", maxName/2-2) + "E",
		"_Z1f" + strings.Repeat("P", maxName-10) + "i", "_Z1f" + strings.Repeat("PF", maxName/2-10) + "v",
		"_R" + strings.Repeat("N", maxName-2), "_RNvC" + strings.Repeat("B_", maxName/2-4), "_RIC1aRB_B_B_E",
		"_Z1fI" + strings.Repeat("J", maxName-20) + "E", "_Z\xff\xfe", "_ZN99999999999999999999aE",
	} {
		if got := readable(name); len(got) > maxName {
			t.Errorf("%d bytes of %q", len(got), name)
		}
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func FuzzReadable(f *testing.F) {
	for _, name := range []string{"_ZN4shop5shelf9innermostEiPKc", "_RNvCs15kBYyAo9fc_7mycrate7example", exploding(8)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := readable(clipped(name)); len(got) > maxName {
			t.Errorf("%d bytes", len(got))
		}
	})
}
