package tsc_test

import (
	"testing"

	"github.com/multivar/multivar/internal/tsc"
)

func TestDecode(t *testing.T) {
	for code, want := range map[string]struct {
		size  uint64
		names bool
	}{
		"\x0f\x31": {2, false}, "\x0f\x31\x90": {2, false}, "\x0f\x01\xf9": {3, true}, "\x0f\x01\xf9\x90": {3, true},
		"": {}, "\x0f": {}, "\x0f\x01": {}, "\x0f\x01\xf8": {}, "\x0f\x32\x31": {}, "\x90\x0f\x31": {},
	} {
		if size, names := tsc.Decode([]byte(code)); size != want.size || names != want.names {
			t.Errorf("% x: %d bytes, %v", code, size, names)
		}
	}
}
