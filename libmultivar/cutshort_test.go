package libmultivar

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// What a call has handed out counts, in the unit in which it says so.
func TestCutShort(t *testing.T) {
	const vector, header, list, gone = 0x10000, 0x20000, 0x30000, 0x7000000
	b := newBench(t)
	b.host.put(0, vector, words(0x1000, 10, 0x2000, 20))
	message := func(sent uint64) []byte { return words(0, 0, vector, 2, 0, 0, 0, sent) }
	b.host.put(0, header, message(0))
	b.host.put(0, list, append(message(30), message(12)...))
	for _, tt := range []struct {
		call string
		args [6]uint64
		ret  int64
		want bool
	}{
		{"write", [6]uint64{1, 0x1000, 30}, 30, false},
		{"write", [6]uint64{1, 0x1000, 30}, 29, true},
		{"write", [6]uint64{1, 0x1000, 30}, -eINTR, false},
		{"sendto", [6]uint64{1, 0x1000, 30}, 29, true},
		{"sendfile", [6]uint64{1, 2, vector, 30}, 30, false},
		{"sendfile", [6]uint64{1, 2, vector, 30}, 29, true},
		{"sendfile", [6]uint64{1, 2, 0, 30}, 29, true},
		{"splice", [6]uint64{1, 0, 2, 0, 30}, 29, true},
		{"splice", [6]uint64{1, vector, 2, vector, 30}, 30, false},
		{"copy_file_range", [6]uint64{1, vector, 2, vector, 30}, 29, true},
		{"writev", [6]uint64{1, vector, 2}, 30, false},
		{"writev", [6]uint64{1, vector, 2}, 10, true},
		{"sendmsg", [6]uint64{1, header}, 30, false},
		{"sendmsg", [6]uint64{1, header}, 29, true},
		{"sendmsg", [6]uint64{1, gone}, 30, true},
		{"sendmmsg", [6]uint64{1, list, 1}, 1, false},
		{"sendmmsg", [6]uint64{1, list, 2}, 1, true},
		{"sendmmsg", [6]uint64{1, list, 2}, 2, true},
		{"sendmmsg", [6]uint64{1, gone, 1}, 1, true},
	} {
		row, ok := sysabi.ByName(tt.call)
		if !ok {
			t.Fatal(tt.call)
		}
		ev := &record{thread: b.th, call: row.Resolve(tt.args), raw: frontend.Call{Nr: int64(row.Nr[sysabi.AMD64]), Args: tt.args}}
		if got := b.e.cutShort(ev, tt.ret); got != tt.want {
			t.Errorf("%s%v = %d: %v", tt.call, tt.args, tt.ret, got)
		}
	}
}
