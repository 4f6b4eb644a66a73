package libmultivar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// replicate captures the output of the leader's call and delivers it to the
// follower, whose arguments may differ.
func (b *bench) replicate(name string, ret int64, lead, follow [6]uint64) error {
	b.t.Helper()
	row, ok := sysabi.ByName(name)
	if !ok {
		b.t.Fatalf("no call %s", name)
	}
	ev := &record{thread: b.th, kind: event.Call, name: name, ret: ret}
	ev.raw = frontend.Call{Nr: int64(row.Nr[0]), Args: lead}
	ev.call = row.Resolve(lead)
	b.th.sides[0].call, b.th.sides[1].call = ev.raw, frontend.Call{Nr: ev.raw.Nr, Args: follow}
	b.e.lengths(b.th, ev)
	b.e.capture(ev, &b.th.sides[0], ret)
	return b.e.deliver(ev, 1, &b.th.sides[1])
}

func (b *bench) read(v int, addr uint64, n int) []byte {
	b.t.Helper()
	p := make([]byte, n)
	if _, err := b.host.ReadVariantMem(frontend.Task{Variant: v}, addr, p); err != nil {
		b.t.Fatal(err)
	}
	return p
}

const otherAddr = 0x50000

func TestReplicateBuffer(t *testing.T) {
	for _, tc := range []struct {
		name string
		call string
		ret  int64
		args func(at uint64) [6]uint64
		n    int // bytes that arrive
	}{
		{"read", "read", 5, func(at uint64) [6]uint64 { return [6]uint64{0, at, 9} }, 5},
		{"read of nothing", "read", 0, func(at uint64) [6]uint64 { return [6]uint64{0, at, 9} }, 0},
		{"failed read", "read", -5, func(at uint64) [6]uint64 { return [6]uint64{0, at, 9} }, 0},
		{"result beyond the room", "read", 50, func(at uint64) [6]uint64 { return [6]uint64{0, at, 9} }, 9},
		{"constant length", "getresuid", 0, func(at uint64) [6]uint64 { return [6]uint64{at, 0, 0} }, 4},
		{"structure", "fstat", 0, func(at uint64) [6]uint64 { return [6]uint64{0, at} }, 144},
		{"array of results", "getgroups", 3, func(at uint64) [6]uint64 { return [6]uint64{8, at} }, 12},
		{"wait without a child", "wait4", 0, func(at uint64) [6]uint64 { return [6]uint64{0, at, 1} }, 0},
		{"wait", "wait4", 7, func(at uint64) [6]uint64 { return [6]uint64{0, at, 1} }, 4},
		{"unknown command that writes", "ioctl", 0, func(at uint64) [6]uint64 { return [6]uint64{0, 0x80044501, at} }, 4},
		{"unknown command that reads", "ioctl", 0, func(at uint64) [6]uint64 { return [6]uint64{0, 0x40044501, at} }, 0},
		{"unknown command that does both", "ioctl", 0, func(at uint64) [6]uint64 { return [6]uint64{0, 0xc0024501, at} }, 2},
		{"word that is changed when others are woken", "futex", 0, func(at uint64) [6]uint64 { return [6]uint64{0x1000, 5 | 128, 1, 1, at, 3 << 12} }, 4},
		{"word that is not", "futex", 0, func(at uint64) [6]uint64 { return [6]uint64{0x1000, 3, 1, 1, at, 0} }, 0},
		{"rest of an interrupted sleep", "nanosleep", -eINTR, func(at uint64) [6]uint64 { return [6]uint64{at, at} }, 16},
		{"rest of a sleep", "nanosleep", -eINVAL, func(at uint64) [6]uint64 { return [6]uint64{at, at} }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.host.put(0, testAddr, bytes.Repeat([]byte{'L'}, 200))
			b.host.put(1, otherAddr, bytes.Repeat([]byte{'f'}, 200))
			if err := b.replicate(tc.call, tc.ret, tc.args(testAddr), tc.args(otherAddr)); err != nil {
				t.Fatal(err)
			}
			want := append(bytes.Repeat([]byte{'L'}, tc.n), bytes.Repeat([]byte{'f'}, 200-tc.n)...)
			if got := b.read(1, otherAddr, 200); !bytes.Equal(got, want) {
				t.Errorf("the follower has %q", got)
			}
		})
	}
}

// Bytes go through vectors that are cut differently in the follower.
func TestReplicateIovec(t *testing.T) {
	b := newBench(t)
	b.host.put(0, testAddr, []byte("abcdefghij"))
	b.host.put(0, testAddr+256, words(testAddr, 3, testAddr, 0, testAddr+3, 7))
	b.host.put(1, otherAddr, make([]byte, 400))
	b.host.put(1, otherAddr+256, words(otherAddr+100, 3, otherAddr, 0, otherAddr+200, 7))
	if err := b.replicate("readv", 8, [6]uint64{0, testAddr + 256, 3}, [6]uint64{0, otherAddr + 256, 3}); err != nil {
		t.Fatal(err)
	}
	if x, y := b.read(1, otherAddr+100, 4), b.read(1, otherAddr+200, 6); string(x) != "abc\x00" || string(y) != "defgh\x00" {
		t.Errorf("the follower has %q and %q", x, y)
	}
	// Less room than the leader had is a difference, not a lost byte.
	b.host.put(1, otherAddr+256, words(otherAddr+100, 3, otherAddr, 0, otherAddr+200, 2))
	var out *outputError
	if err := b.replicate("readv", 8, [6]uint64{0, testAddr + 256, 3}, [6]uint64{0, otherAddr + 256, 3}); !errors.As(err, &out) || out.arg != 1 {
		t.Errorf("deliver: %v", err)
	}
}

// What a record points to is compared where the kernel reads it and arrives where it fills
// it, at each variant's own place.
func TestBlocks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		call   string
		size   uint64 // of the block
		ret    int64
		differ bool // the fourth byte of the block counts
		n      int  // bytes that arrive
	}{
		{"value that is set", "setxattrat", 4, 0, true, 0},
		{"behind the value", "setxattrat", 3, 0, false, 0},
		{"no value", "setxattrat", 0, 0, false, 0},
		{"too long a value", "setxattrat", 65537, -eTOOBIG, false, 0},
		{"value that is read", "getxattrat", 9, 4, false, 4},
		{"result beyond the room", "getxattrat", 2, 4, false, 2},
		{"size of a value", "getxattrat", 0, 4, false, 0},
		{"no such value", "getxattrat", 9, -61, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			for v, at := range []uint64{testAddr, otherAddr} {
				b.host.put(v, at, words(at+100, tc.size))
				b.host.put(v, at+200, []byte("name\x00"))
				b.host.put(v, at+100, []byte{'a', 'b', 'c', byte('L' + v), 'e'})
			}
			args := func(at uint64) [6]uint64 { return [6]uint64{0, at + 200, 0, at + 200, at, 16} }
			lead, follow := args(testAddr), args(otherAddr)
			if same := bytes.Equal(b.record(0, tc.call, lead[:]...), b.record(1, tc.call, follow[:]...)); same == tc.differ {
				t.Errorf("requests are the same: %v", same)
			}
			if err := b.replicate(tc.call, tc.ret, lead, follow); err != nil {
				t.Fatal(err)
			}
			want := []byte{'a', 'b', 'c', 'M', 'e'}
			if tc.n == 4 {
				want[3] = 'L'
			}
			if got := b.read(1, otherAddr+100, 5); !bytes.Equal(got, want) {
				t.Errorf("the follower has %q, want %q", got, want)
			}
		})
	}
}

func TestReplicateFault(t *testing.T) {
	b := newBench(t)
	b.host.put(0, testAddr, []byte("abcdef"))
	b.host.put(1, otherAddr, nil)
	var out *outputError
	err := b.replicate("read", 6, [6]uint64{0, testAddr, 6}, [6]uint64{0, otherAddr + pageSize - 3, 6})
	if !errors.As(err, &out) || !errors.Is(err, frontend.ErrFault) || out.arg != 1 {
		t.Errorf("deliver: %v", err)
	}
}

// The lengths of a msghdr, its name, its control data and its bytes arrive; its
// pointers stay the follower's own.
func TestReplicateMsghdr(t *testing.T) {
	header := func(at uint64, nameLen uint32, control uint64, flags uint32) []byte {
		p := words(at+512, uint64(nameLen), at+256, 1, at+640, control, uint64(flags))
		return p
	}
	b := newBench(t)
	b.host.put(0, testAddr, header(testAddr, 16, 24, 0x20))
	b.host.put(0, testAddr+256, words(testAddr+768, 10))
	b.host.put(0, testAddr+512, []byte("0123456789abcdef"))
	b.host.put(0, testAddr+640, bytes.Repeat([]byte{'c'}, 24))
	b.host.put(0, testAddr+768, []byte("payload..."))
	b.host.put(1, otherAddr, header(otherAddr, 128, 100, 0))
	b.host.put(1, otherAddr+256, words(otherAddr+900, 10))
	if err := b.replicate("recvmsg", 7, [6]uint64{3, testAddr}, [6]uint64{3, otherAddr}); err != nil {
		t.Fatal(err)
	}
	want := header(otherAddr, 16, 24, 0x20)
	if got := b.read(1, otherAddr, msghdrSize); !bytes.Equal(got, want) {
		t.Errorf("header\n%x, want\n%x", got, want)
	}
	for at, want := range map[uint64]string{512: "0123456789abcdef", 640: "cccccccccccccccccccccccc\x00", 900: "payload\x00"} {
		if got := b.read(1, otherAddr+at, len(want)); string(got) != want {
			t.Errorf("at %d the follower has %q, want %q", at, got, want)
		}
	}
}

func TestReplicateMmsghdr(t *testing.T) {
	b := newBench(t)
	for v, at := range []uint64{testAddr, otherAddr} {
		for i := range uint64(2) {
			b.host.put(v, at+i*mmsghdrSize, words(0, 0, at+256+i*16, 1, 0, 0, 0, 0))
			b.host.put(v, at+256+i*16, words(at+512+i*64, 20))
		}
	}
	b.host.put(0, testAddr+512, []byte("first"))
	b.host.put(0, testAddr+576, []byte("second"))
	b.host.put(0, testAddr+msghdrSize, []byte{5, 0, 0, 0})
	b.host.put(0, testAddr+mmsghdrSize+msghdrSize, []byte{6, 0, 0, 0})
	if err := b.replicate("recvmmsg", 2, [6]uint64{3, testAddr, 2}, [6]uint64{3, otherAddr, 2}); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[uint64]string{512: "first\x00", 576: "second\x00", msghdrSize: "\x05\x00\x00\x00", mmsghdrSize + msghdrSize: "\x06\x00\x00\x00"} {
		if got := b.read(1, otherAddr+at, len(want)); string(got) != want {
			t.Errorf("at %d the follower has %q, want %q", at, got, want)
		}
	}
}

// A value-result length limits the output by the room that there was, and arrives
// itself.
func TestReplicateValueResult(t *testing.T) {
	for _, tc := range []struct{ room, after, want uint32 }{{16, 16, 16}, {16, 4, 4}, {8, 110, 8}, {16, 0, 0}} {
		b := newBench(t)
		row, _ := sysabi.ByName("accept")
		b.host.put(0, testAddr, bytes.Repeat([]byte{'L'}, 128))
		b.host.put(0, testAddr+512, binary.LittleEndian.AppendUint32(nil, tc.room))
		b.host.put(1, otherAddr, bytes.Repeat([]byte{'f'}, 128))
		b.host.put(1, otherAddr+512, binary.LittleEndian.AppendUint32(nil, tc.room))
		lead, follow := [6]uint64{3, testAddr, testAddr + 512}, [6]uint64{3, otherAddr, otherAddr + 512}
		ev := &record{thread: b.th, kind: event.Call, name: "accept", ret: 4}
		ev.raw, ev.call = frontend.Call{Nr: int64(row.Nr[0]), Args: lead}, row.Resolve(lead)
		b.th.sides[0].call, b.th.sides[1].call = ev.raw, frontend.Call{Nr: ev.raw.Nr, Args: follow}
		b.e.lengths(b.th, ev)
		b.host.put(0, testAddr+512, binary.LittleEndian.AppendUint32(nil, tc.after))
		b.e.capture(ev, &b.th.sides[0], 4)
		if err := b.e.deliver(ev, 1, &b.th.sides[1]); err != nil {
			t.Fatal(err)
		}
		want := append(bytes.Repeat([]byte{'L'}, int(tc.want)), bytes.Repeat([]byte{'f'}, 128-int(tc.want))...)
		if got := b.read(1, otherAddr, 128); !bytes.Equal(got, want) {
			t.Errorf("room %d, length %d: the follower has %q", tc.room, tc.after, got)
		}
		if got := binary.LittleEndian.Uint32(b.read(1, otherAddr+512, 4)); got != tc.after {
			t.Errorf("room %d, length %d: the follower is told %d", tc.room, tc.after, got)
		}
	}
}

// Words that are addresses of the leader become the follower's, unless both said
// the same number.
func TestWords(t *testing.T) {
	b := newBench(t)
	lead, follow := b.e.layout.Base(0)+0x1234, b.e.layout.Base(1)+0x1234
	if got := b.e.wordFor(1, lead); got != follow {
		t.Errorf("%#x becomes %#x, want %#x", lead, got, follow)
	}
	for _, same := range []uint64{0, 7, minusOne, 1 << 20, follow} {
		if got := b.e.wordFor(1, same); got != same {
			t.Errorf("%#x becomes %#x", same, got)
		}
	}
	// Equal as numbers, although the leader's looks like an address.
	b.host.put(0, testAddr, make([]byte, 16))
	b.host.put(1, testAddr, make([]byte, 16))
	for _, tc := range []struct {
		name string
		own  uint64
		same bool
	}{{"address", follow, true}, {"number", lead, true}, {"another", follow + 8, false}} {
		for v, w := range []uint64{lead, tc.own} {
			p := append([]byte{1, 0, 0, 0}, words(w)...)
			b.host.put(v, testAddr, p)
		}
		row, _ := sysabi.ByName("epoll_ctl")
		c := frontend.Call{Nr: int64(row.Nr[0]), Args: [6]uint64{3, 1, 5, testAddr}}
		call := row.Resolve(c.Args)
		x, _ := b.e.encode(b.th, 0, &call, &c, nil)
		y, _ := b.e.encode(b.th, 1, &call, &c, nil)
		first, _ := b.e.firstDifference(1, nil, x, y)
		if same := bytes.Equal(x, y) || first == sameWords; same != tc.same {
			t.Errorf("%s: the same: %v", tc.name, same)
		}
	}
	if got := b.e.wordFor(1, lead); got != lead {
		t.Errorf("a number that both gave becomes %#x", got)
	}
}

// The text of /proc files shows each variant its own addresses, in as many bytes.
func TestTranslateText(t *testing.T) {
	b := newBench(t)
	lead, follow := b.e.layout.Base(0), b.e.layout.Base(1)
	hex := func(x uint64) string { return string(appendHex(nil, x)) }
	ev := &record{addressText: true}
	for _, tc := range []struct{ in, want string }{
		{hex(lead+0x1000) + "-" + hex(lead+0x3000) + " r-xp 00000000 08:01 1234 /bin/cat\n", hex(follow+0x1000) + "-" + hex(follow+0x3000) + " r-xp 00000000 08:01 1234 /bin/cat\n"},
		{"7ffff7dd5000-7ffff7dfc000 r--p\n", "7ffff7dd5000-7ffff7dfc000 r--p\n"},
		{"1 (a b) S 0 " + decimal(lead+64) + " 5", "1 (a b) S 0 " + decimal(follow+64) + " 5"},
		{"", ""},
		{hex(lead+1) + "0", hex(lead+1) + "0"},
		{"x" + hex(lead), "x" + hex(follow)},
	} {
		if got := string(b.e.translateText(ev, []byte(tc.in), 1)); got != tc.want {
			t.Errorf("%q becomes %q, want %q", tc.in, got, tc.want)
		}
	}
	ev.binaryText = true
	if got := b.e.translateText(ev, words(3, lead+8, 6, 4096), 1); !bytes.Equal(got, words(3, follow+8, 6, 4096)) {
		t.Errorf("binary: %x", got)
	}
	plain := &record{}
	if got := b.e.translateText(plain, []byte(hex(lead)), 1); string(got) != hex(lead) {
		t.Errorf("other files change: %q", got)
	}
}

func TestProcFileOf(t *testing.T) {
	for path, want := range map[string]bool{
		"/proc/self/maps": true, "/proc/123/smaps": true, "/proc/self/task/5/maps": true, "/proc/thread-self/stat": true,
		"/proc/self/auxv": true, "/proc/self/status": false, "/proc/cpuinfo": false, "/proc/": false, "/proc/maps": false,
		"/etc/proc/self/maps": false, "": false, "/proc/self/task": false, "/proc/x/maps": false,
	} {
		if f, ok := procFileOf(path); ok != want || f.binary != (path == "/proc/self/auxv") {
			t.Errorf("%s: %v %+v", path, ok, f)
		}
	}
}

func appendHex(dst []byte, x uint64) []byte { return strconv.AppendUint(dst, x, 16) }

func decimal(x uint64) string { return strconv.FormatUint(x, 10) }
