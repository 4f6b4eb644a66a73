package sysabi_test

import (
	"testing"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

func TestSignalCodeName(t *testing.T) {
	for _, c := range []struct {
		signal int
		code   int32
		want   string
	}{
		{11, 1, "SEGV_MAPERR"}, {11, 10, "SEGV_CPERR"}, {11, 11, "11"}, {11, 0x80, "SI_KERNEL"},
		{17, 1, "CLD_EXITED"}, {10, 0, "SI_USER"}, {10, -6, "SI_TKILL"}, {10, 1, "1"}, {-1, -77, "-77"}, {8, 1, "FPE_INTDIV"},
	} {
		if got := sysabi.SignalCodeName(c.signal, c.code); got != c.want {
			t.Errorf("signal %d, code %d: %s, want %s", c.signal, c.code, got, c.want)
		}
	}
}
