package sysabi_test

import (
	"strconv"
	"testing"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Whatever error number has a name has a text, and nothing else has.
func TestErrnoText(t *testing.T) {
	for e := -1; e < 600; e++ {
		named := sysabi.ErrnoName(e) != strconv.Itoa(e)
		if text := sysabi.ErrnoText(e); named != (text != "") {
			t.Errorf("%d: name %s, text %q", e, sysabi.ErrnoName(e), text)
		}
	}
	if got := sysabi.ErrnoText(2); got != "No such file or directory" {
		t.Errorf("2: %q", got)
	}
}
