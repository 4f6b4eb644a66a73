package calllog_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/libmultivar/calllog"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// build returns the record that fill makes.
func build(t testing.TB, fill func(b *event.Builder)) event.Record {
	t.Helper()
	var b event.Builder
	b.Reset(event.Call, 0)
	if fill != nil {
		fill(&b)
	}
	r, err := event.Decode(b.Record())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func resolve(t testing.TB, name string, args [6]uint64) *sysabi.Call {
	t.Helper()
	r, ok := sysabi.ByName(name)
	if !ok {
		t.Fatalf("no row for %s", name)
	}
	c := r.Resolve(args)
	return &c
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

const minus100 = 0xffffffffffffff9c

func TestAppendLine(t *testing.T) {
	long := strings.Repeat("x", 40)
	for _, c := range []struct {
		call string
		args [6]uint64
		rec  func(b *event.Builder)
		ret  int64
		outs []event.Field
		want string
	}{
		{
			call: "openat", args: [6]uint64{minus100, 0x1000, 0x80000, 0o644}, ret: 3,
			rec: func(b *event.Builder) {
				b.Number(0, event.PartValue, 0, sysabi.DirFD, 0, minus100)
				b.Bytes(1, event.PartValue, 0, sysabi.Path, 0, []byte("/etc/passwd"))
				b.Number(2, event.PartValue, 0, sysabi.Flags, 0, 0x80000)
			},
			want: `7 openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3`,
		},
		{
			call: "openat", args: [6]uint64{minus100, 0x1000, 0x80041, 0o644}, ret: -13,
			rec: func(b *event.Builder) {
				b.Bytes(1, event.PartValue, 0, sysabi.Path, 0, []byte("a\x1b[31m\"\\\n\x00b\x017"))
			},
			want: `7 openat(AT_FDCWD, "a\33[31m\"\\\n\0b\0017", O_WRONLY|O_CREAT|O_CLOEXEC, 0644) = -1 EACCES (Permission denied)`,
		},
		{
			call: "open", args: [6]uint64{0xdead}, ret: -14,
			rec: func(b *event.Builder) {
				b.Bytes(0, event.PartValue, 0, sysabi.Path, event.Fault, nil)
			},
			want: `7 open(0xdead, O_RDONLY) = -1 EFAULT (Bad address)`,
		},
		{
			call: "write", args: [6]uint64{1, 0x1000, 40}, ret: 40,
			rec: func(b *event.Builder) {
				b.Number(0, event.PartValue, 0, sysabi.FD, 0, 1)
				b.Bytes(1, event.PartValue, 0, sysabi.Buf, 0, nil)
				b.Bytes(1, event.PartBase, 0, sysabi.Buf, 0, []byte(long))
				b.Number(2, event.PartValue, 0, sysabi.Long, 0, 40)
			},
			want: `7 write(1, "` + long[:32] + `"..., 40) = 40`,
		},
		{
			call: "write", args: [6]uint64{1, 0x1000, 8 << 20}, ret: 8 << 20,
			rec: func(b *event.Builder) {
				sum := append(binary.LittleEndian.AppendUint64(nil, 8<<20), make([]byte, 32)...)
				b.Bytes(1, event.PartBase, 0, sysabi.Buf, event.Hashed, sum)
			},
			want: `7 write(1, <8388608 bytes, sha256 0000000000000000...>, 8388608) = 8388608`,
		},
		{
			call: "read", args: [6]uint64{0, 0x1000, 4096}, ret: 5,
			outs: []event.Field{{Arg: 1, Kind: sysabi.Buf, Data: []byte("hello")}},
			want: `7 read(0, "hello", 4096) = 5`,
		},
		{
			call: "read", args: [6]uint64{0xffffffff, 0x1000, 4096}, ret: -9,
			want: `7 read(-1, 0x1000, 4096) = -1 EBADF (Bad file descriptor)`,
		},
		{
			call: "writev", args: [6]uint64{1, 0x1000, 2}, ret: 3,
			rec: func(b *event.Builder) {
				b.Number(1, event.PartCount, 0, sysabi.Iovec, 0, 2)
				b.Number(1, event.PartLen, 0, sysabi.Iovec, 0, 3)
				b.Bytes(1, event.PartBase, 0, sysabi.Iovec, 0, []byte("abc"))
				b.Number(1, event.PartLen, 1, sysabi.Iovec, 0, 0)
				b.Bytes(1, event.PartBase, 1, sysabi.Iovec, event.Null, nil)
			},
			want: `7 writev(1, [{iov_base="abc", iov_len=3}, {iov_base=NULL, iov_len=0}], 2) = 3`,
		},
		{
			call: "execve", args: [6]uint64{0x1000, 0x2000, 0x3000},
			rec: func(b *event.Builder) {
				b.Bytes(0, event.PartValue, 0, sysabi.Path, 0, []byte("/bin/true"))
				b.Bytes(1, event.PartBase, 0, sysabi.StrVec, 0, []byte("true"))
				b.Bytes(1, event.PartBase, 1, sysabi.StrVec, 0, []byte("x"))
				b.Number(1, event.PartCount, 0, sysabi.StrVec, 0, 2)
				b.Number(2, event.PartCount, 0, sysabi.StrVec, 0, 0)
			},
			want: `7 execve("/bin/true", ["true", "x"], []) = 0`,
		},
		{
			call: "mmap", args: [6]uint64{0, 4096, 3, 0x22, 0xffffffff, 0}, ret: 0x200000001000,
			want: `7 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x200000001000`,
		},
		{
			call: "poll", args: [6]uint64{0x1000, 1, 0xffffffff}, ret: 1,
			rec: func(b *event.Builder) {
				b.Bytes(0, event.PartCount, 0, sysabi.Struct, 0, nil)
				b.Number(0, 0, 0, sysabi.FD, 0, 3)
				b.Number(0, 1, 0, sysabi.Flags, 0, 1)
			},
			outs: []event.Field{{Arg: 0, Kind: sysabi.Struct, Data: []byte{3, 0, 0, 0, 1, 0, 1, 0}}},
			want: `7 poll([{fd=3, events=0x1}] => [{fd=3, events=0x1, revents=1}], 1, -1) = 1`,
		},
		{
			call: "connect", args: [6]uint64{3, 0x1000, 16}, ret: -111,
			rec: func(b *event.Builder) {
				b.Bytes(1, event.PartBase, 0, sysabi.Sockaddr, 0, []byte{2, 0, 0, 80, 127, 0, 0, 1})
			},
			want: `7 connect(3, {AF_INET, 127.0.0.1:80}, 16) = -1 ECONNREFUSED (Connection refused)`,
		},
		{
			call: "accept", args: [6]uint64{3, 0x1000, 0x2000}, ret: 4,
			rec: func(b *event.Builder) {
				b.Bytes(2, event.PartBase, 0, sysabi.SockLen, 0, le32(110))
			},
			outs: []event.Field{
				{Arg: 1, Kind: sysabi.Sockaddr, Data: []byte("\x01\x00\x00name")},
				{Arg: 2, Kind: sysabi.SockLen, Data: le32(7)},
			},
			want: `7 accept(3, {AF_UNIX, @"name"}, [110] => [7]) = 4`,
		},
		{call: "getpid", ret: 7, want: `7 getpid() = 7`},
		{call: "exit_group", args: [6]uint64{3}, want: `7 exit_group(3) = ?`},
		{call: "pause", ret: -514, want: `7 pause() = ? ERESTARTNOHAND (To be restarted if no handler)`},
		{call: "kill", args: [6]uint64{9, 15}, want: `7 kill(9, SIGTERM) = 0`},
	} {
		t.Run(c.call, func(t *testing.T) {
			got := calllog.AppendLine(nil, 7, resolve(t, c.call, c.args), c.args, build(t, c.rec), c.ret, c.outs)
			if string(got) != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAppendLineOfMessages(t *testing.T) {
	args := [6]uint64{3, 0x1000, 0}
	rec := build(t, func(b *event.Builder) {
		b.Bytes(1, event.PartValue, 0, sysabi.Msghdr, 0, nil)
		b.Number(1, event.PartNameLen, 0, sysabi.Msghdr, 0, 0)
		b.Number(1, event.PartControlLen, 0, sysabi.Msghdr, 0, 0)
		b.Bytes(1, event.PartName, 0, sysabi.Msghdr, event.Null, nil)
		b.Number(1, event.PartCount, 0, sysabi.Iovec, 0, 1)
		b.Number(1, event.PartLen, 0, sysabi.Iovec, 0, 2)
		b.Bytes(1, event.PartBase, 0, sysabi.Iovec, 0, []byte("hi"))
	})
	got := string(calllog.AppendLine(nil, 7, resolve(t, "sendmsg", args), args, rec, 2, nil))
	want := `7 sendmsg(3, {msg_namelen=[0], msg_controllen=[0], msg_name=NULL, msg_iov=[{iov_base="hi", iov_len=2}]}, 0) = 2`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOtherLines(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{string(calllog.AppendSignal(nil, 7, 11, 1)), "7 --- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR} ---"},
		{string(calllog.AppendExit(nil, 7, 3, 0)), "7 +++ exited with 3 +++"},
		{string(calllog.AppendExit(nil, 7, 0, 9)), "7 +++ killed by SIGKILL +++"},
		{string(calllog.AppendExit(nil, 0, 3, 0)), "+++ exited with 3 +++"},
		{string(calllog.AppendTimeStamp(nil, 7, "rdtsc", 123)), "7 rdtsc() = 123"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestFields(t *testing.T) {
	for _, c := range []struct {
		call        string
		fill        func(b *event.Builder)
		name, value string
	}{
		{"write", func(b *event.Builder) { b.Number(0, event.PartValue, 0, sysabi.FD, 0, 4) }, "fd", "4"},
		{"write", func(b *event.Builder) { b.Bytes(1, event.PartValue, 0, sysabi.Buf, event.Null, nil) }, "buf", "NULL"},
		{"write", func(b *event.Builder) { b.Bytes(1, event.PartValue, 0, sysabi.Buf, 0, nil) }, "buf", "(pointer)"},
		{"write", func(b *event.Builder) { b.Bytes(1, event.PartBase, 0, sysabi.Buf, 0, []byte("ab")) }, "buf", `"ab"`},
		{"openat", func(b *event.Builder) { b.Number(2, event.PartValue, 0, sysabi.Flags, 0, 0x241) }, "flags", "O_WRONLY|O_CREAT|O_TRUNC"},
		{"writev", func(b *event.Builder) { b.Bytes(1, event.PartBase, 2, sysabi.Iovec, 0, []byte("ab")) }, "iov[2].base", `"ab"`},
		{"writev", func(b *event.Builder) { b.Number(1, event.PartLen, 2, sysabi.Iovec, 0, 9) }, "iov[2].len", "9"},
		{"poll", func(b *event.Builder) { b.Number(0, 1, 3, sysabi.Flags, 0, 4) }, "fds[3].events", "0x4"},
		{"rt_sigaction", func(b *event.Builder) { b.Number(1, 0, 0, sysabi.Code, event.Relative, 0x1000) }, "act.sa_handler", "slot+0x1000"},
		{"execve", func(b *event.Builder) { b.Bytes(1, event.PartBase, 1, sysabi.StrVec, 0, []byte("-l")) }, "argv[1]", `"-l"`},
		{"sendmsg", func(b *event.Builder) { b.Bytes(1, event.PartBase, 1, sysabi.Iovec, 0, []byte("x")) }, "msg.iov[1].base", `"x"`},
		{"sendmsg", func(b *event.Builder) {
			b.Bytes(1, event.PartName, 0, sysabi.Msghdr, 0, []byte{2, 0, 0, 80, 127, 0, 0, 1})
		}, "msg.name", "{AF_INET, 127.0.0.1:80}"},
		{"sendmmsg", func(b *event.Builder) {
			b.Bytes(1, event.PartBase, 5<<12|1, sysabi.Iovec, 0, []byte("x"))
		}, "msgvec[5].iov[1].base", `"x"`},
	} {
		call := resolve(t, c.call, [6]uint64{})
		f := &build(t, c.fill).Fields[0]
		if got := calllog.FieldName(call, f); got != c.name {
			t.Errorf("%s: name %q, want %q", c.call, got, c.name)
		}
		if got := string(calllog.AppendField(nil, call, f)); got != c.value {
			t.Errorf("%s: %s = %s, want %s", c.call, c.name, got, c.value)
		}
	}
}

// plain reports whether s is printable ASCII.
func plain(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// Whatever a variant passes, a line is printable and bounded, and nothing panics,
// also when a record does not fit the call.
func TestHostileRecords(t *testing.T) {
	rows := sysabi.Rows()
	rapid.Check(t, func(rt *rapid.T) {
		r := rows[rapid.IntRange(0, len(rows)-1).Draw(rt, "row")]
		var args [6]uint64
		for i := range args {
			args[i] = rapid.Uint64().Draw(rt, "word")
		}
		draw := func() []event.Field {
			return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) event.Field {
				return event.Field{
					Arg:   uint8(rapid.IntRange(0, 7).Draw(rt, "arg")),
					Part:  rapid.SampledFrom([]uint8{0, 1, 2, 3, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 255}).Draw(rt, "part"),
					Kind:  sysabi.Kind(rapid.IntRange(0, int(sysabi.Sub)).Draw(rt, "kind")),
					Flags: event.Flag(rapid.IntRange(0, 31).Draw(rt, "flags")),
					Index: rapid.Uint32().Draw(rt, "index"),
					Data:  rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "data"),
				}
			}), 0, 40).Draw(rt, "fields")
		}
		call := r.Resolve(args)
		rec := event.Record{Kind: event.Call, Fields: draw()}
		line := calllog.AppendLine(nil, 1, &call, args, rec, int64(rapid.Uint64().Draw(rt, "ret")), draw())
		if !plain(line) || len(line) > 64<<10 {
			rt.Fatalf("line of %d bytes: %q", len(line), line)
		}
		for i := range rec.Fields {
			if name := calllog.FieldName(&call, &rec.Fields[i]); !plain([]byte(name)) {
				rt.Fatalf("name %q", name)
			}
			if v := calllog.AppendField(nil, &call, &rec.Fields[i]); !plain(v) {
				rt.Fatalf("value %q", v)
			}
		}
	})
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":           "plain",
		"a\x1b[2Jb":       `a\x1b[2Jb`,
		"line\nfeed\r":    `line\x0afeed\x0d`,
		"\xff\xfe":        `\xff\xfe`,
		"gr\u00fc\u00dfe": "gr\u00fc\u00dfe",
		"\u009b31m":       `\u009b31m`,
		"\u202egnp.exe":   `\u202egnp.exe`,
		"\U000e0041":      `\U000e0041`,
	} {
		if got := calllog.Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		got := calllog.Printable(string(rapid.SliceOf(rapid.Byte()).Draw(rt, "s")))
		if !utf8.ValidString(got) || calllog.Printable(got) != got {
			rt.Fatalf("%q is not stable", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) {
				rt.Fatalf("control character in %q", got)
			}
		}
	})
}
