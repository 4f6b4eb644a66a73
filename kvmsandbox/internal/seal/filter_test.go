//go:build linux

package seal

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"pgregory.net/rapid"

	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

var place = Place{
	Start: 0x5200_0000_0000, End: 0x5200_0000_3000, SlotEnd: 0x5300_0000_0000,
	Actions: []uint64{0x5200_0000_2010, 0x5200_0000_2030}, Hidden: 1024,
	Names: Names{Start: 0x5200_1200_0000, End: 0x5200_1200_0000 + 8*512, Mask: 511, Path: 32, How: 24},
}

// inside is behind an instruction of the image.
const inside = 0x5200_0000_1049

// filter runs the filter.
type filter struct{ vm *bpf.VM }

func newFilter(t *testing.T) filter {
	t.Helper()
	ins, err := place.program()
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(ins)
	if err != nil {
		t.Fatal(err)
	}
	return filter{vm}
}

// decide returns what the filter does with a call. The machine of the tests loads words as
// they are on the network.
func (f filter) decide(t interface{ Fatal(...any) }, arch uint32, nr int64, ip uint64, args [6]uint64) uint32 {
	var b []byte
	word := func(v uint32) { b = binary.BigEndian.AppendUint32(b, v) }
	long := func(v uint64) { word(uint32(v)); word(uint32(v >> 32)) }
	word(uint32(nr))
	word(arch)
	long(ip)
	for _, v := range args {
		long(v)
	}
	got, err := f.vm.Run(b)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

func number(t interface{ Fatal(...any) }, name string) int64 {
	row, ok := sysabi.ByName(name)
	if !ok {
		t.Fatal("no call " + name)
	}
	return int64(row.Nr[sysabi.AMD64])
}

func TestFilter(t *testing.T) {
	f := newFilter(t)
	const (
		allow, notify = unix.SeccompRetAllow, unix.SeccompRetNotify
		trap, kill    = unix.SeccompRetTrap, unix.SeccompRetKillProcess
		slot          = 0x5200_0000_0000
		minus         = ^uint64(0)
	)
	for _, c := range []struct {
		name string
		arch uint32
		ip   uint64
		args [6]uint64
		want uint32
	}{
		{"read", auditX8664, inside, [6]uint64{3}, allow},
		{"read", auditX8664, place.Start, [6]uint64{3}, allow},
		{"read", auditX8664, place.End, [6]uint64{3}, allow},
		{"read", auditX8664, place.End + 1, [6]uint64{3}, kill},
		{"read", auditX8664, place.Start - 1, [6]uint64{3}, kill},
		{"read", auditX8664, 0x5555_5555_1049, [6]uint64{3}, kill},
		{"read", auditX8664, inside - 1<<32, [6]uint64{3}, kill},
		{"read", auditX8664, inside + 1<<32, [6]uint64{3}, kill},
		{"read", 0x4000_0003, inside, [6]uint64{3}, kill},
		{"time", auditX8664, vsyscallPage + 0x400, [6]uint64{}, trap},
		{"time", auditX8664, vsyscallPage + 0x1000, [6]uint64{}, kill},
		{"time", auditX8664, vsyscallPage - 1, [6]uint64{}, kill},
		{"time", auditX8664, vsyscallPage & 0xffff_ffff, [6]uint64{}, kill},

		{"close", auditX8664, inside, [6]uint64{1023}, allow},
		{"close", auditX8664, inside, [6]uint64{1024}, notify},
		{"close", auditX8664, inside, [6]uint64{1<<32 + 1024}, notify},
		{"close", auditX8664, inside, [6]uint64{minus}, allow},
		{"write", auditX8664, inside, [6]uint64{4000}, notify},
		{"accept4", auditX8664, inside, [6]uint64{3}, allow},
		{"accept4", auditX8664, inside, [6]uint64{1024}, notify},
		{"stat", auditX8664, inside, [6]uint64{0x1000, 0x2000}, allow},
		{"stat", auditX8664, 0x5555_5555_1049, [6]uint64{0x1000, 0x2000}, kill},
		{"statfs", auditX8664, inside, [6]uint64{0x1000, 0x2000}, allow},
		{"newfstatat", auditX8664, inside, [6]uint64{minus - 99, 0x1000, 0x2000}, allow},
		{"newfstatat", auditX8664, inside, [6]uint64{0xffff_ff9c, 0x1000, 0x2000}, allow},
		{"newfstatat", auditX8664, inside, [6]uint64{3, 0x1000, 0x2000}, allow},
		{"newfstatat", auditX8664, inside, [6]uint64{1024, 0x1000, 0x2000}, notify},
		{"newfstatat", auditX8664, inside, [6]uint64{minus, 0x1000, 0x2000}, allow},
		{"newfstatat", auditX8664, inside, [6]uint64{0x7fff_ffff, 0x1000, 0x2000}, notify},
		{"readlinkat", auditX8664, inside, [6]uint64{1024, 0x1000, 0x2000, 10}, notify},
		{"openat", auditX8664, inside, [6]uint64{minus - 99, 0x1000}, notify},
		{"sendto", auditX8664, inside, [6]uint64{3, 0x1000, 1, 0, 0, 0}, allow},
		{"sendto", auditX8664, inside, [6]uint64{3, 0x1000, 1, 0, 1 << 32, 0}, notify},
		{"fcntl", auditX8664, inside, [6]uint64{3, 4, 0}, allow},
		{"fcntl", auditX8664, inside, [6]uint64{3, 8, 0}, notify},
		{"fcntl", auditX8664, inside, [6]uint64{2000, 4, 0}, notify},
		{"setsockopt", auditX8664, inside, [6]uint64{3, 6, 1}, allow},
		{"setsockopt", auditX8664, inside, [6]uint64{3, 1<<32 | 6, 1<<32 | 1}, allow},
		{"setsockopt", auditX8664, inside, [6]uint64{3, 1, 9}, allow},
		{"setsockopt", auditX8664, inside, [6]uint64{3, 1, 50}, notify},
		{"setsockopt", auditX8664, inside, [6]uint64{3, 0, 1}, notify},
		{"setsockopt", auditX8664, inside, [6]uint64{3, 41, 1}, notify},
		{"setsockopt", auditX8664, inside, [6]uint64{3, 6, 31}, notify},
		{"setsockopt", auditX8664, inside, [6]uint64{2000, 6, 1}, notify},
		{"getsockopt", auditX8664, inside, [6]uint64{3, 1, 4}, allow},
		{"getsockopt", auditX8664, inside, [6]uint64{3, 1, 77}, notify},
		{"epoll_ctl", auditX8664, inside, [6]uint64{3, 1, 4, 0x1000}, allow},
		{"epoll_ctl", auditX8664, inside, [6]uint64{3, 1, 1024, 0x1000}, notify},
		{"epoll_ctl", auditX8664, inside, [6]uint64{1024, 1, 4, 0x1000}, notify},
		{"sendfile", auditX8664, inside, [6]uint64{3, 1024}, notify},
		{"fcntl", auditX8664, inside, [6]uint64{3, 0, 3}, notify},
		{"fcntl", auditX8664, inside, [6]uint64{3, 1030, 3}, notify},

		{"mmap", auditX8664, inside, [6]uint64{0, 4096, 3, 0x22, minus, 0}, allow},
		{"mmap", auditX8664, inside, [6]uint64{0, 4096, 7, 0x22, minus, 0}, notify},
		{"mmap", auditX8664, inside, [6]uint64{slot, 4096, 3, 0x32, minus, 0}, notify},
		{"mmap", auditX8664, inside, [6]uint64{slot - 4096, 8192, 3, 0x32, minus, 0}, notify},
		{"mmap", auditX8664, inside, [6]uint64{0, slot + 4096, 3, 0x32, minus, 0}, notify},
		{"mmap", auditX8664, inside, [6]uint64{0x5300_0000_0000, 4096, 3, 0x32, minus, 0}, allow},
		{"mmap", auditX8664, inside, [6]uint64{0x52ff_ffff_f000, 4096, 3, 0x32, minus, 0}, notify},
		{"mprotect", auditX8664, inside, [6]uint64{0x5000, 4096, 3}, allow},
		{"mprotect", auditX8664, inside, [6]uint64{0x5000, 4096, 4}, notify},
		{"munmap", auditX8664, inside, [6]uint64{0x5000, 4096}, allow},
		{"munmap", auditX8664, inside, [6]uint64{0, slot + 1}, notify},
		{"mremap", auditX8664, inside, [6]uint64{0x5000, 4096, 4096}, notify},

		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 32, place.Names.Start, 24}, allow},
		{"openat2", auditX8664, inside, [6]uint64{minus, place.Names.End - 480, place.Names.End - 512, 24}, allow},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 32, place.Names.Start + 512, 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 32 + 512, place.Names.Start + 512, 24}, allow},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 33, place.Names.Start, 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start, place.Names.Start, 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 32, place.Names.Start + 32, 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 32, place.Names.Start, 32}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 32, place.Names.Start, 1<<32 + 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.End + 32, place.Names.Start, 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 32, place.Names.End, 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start - 480, place.Names.Start, 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 32 + 1<<32, place.Names.Start, 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, place.Names.Start + 32, place.Names.Start - 1<<32, 24}, notify},
		{"openat2", auditX8664, inside, [6]uint64{0, 0x1000 + 32, 0x1000, 24}, notify},
		{"openat", auditX8664, inside, [6]uint64{0, place.Names.Start + 32, place.Names.Start, 24}, notify},

		{"prctl", auditX8664, inside, [6]uint64{59, 1, slot, 0x3000}, allow},
		{"prctl", auditX8664, inside, [6]uint64{59, 1, slot, 0x3000, 1}, notify},
		{"prctl", auditX8664, inside, [6]uint64{59, 1, slot, 0x4000}, notify},
		{"prctl", auditX8664, inside, [6]uint64{59, 0}, notify},
		{"rt_sigaction", auditX8664, inside, [6]uint64{11, 0x5200_0000_2010, 0, 8}, allow},
		{"rt_sigaction", auditX8664, inside, [6]uint64{11, 0x5200_0000_2018, 0, 8}, notify},
		{"rt_sigaction", auditX8664, inside, [6]uint64{11, 0x5200_0000_2010, 0x7000, 8}, notify},
	} {
		if got := f.decide(t, c.arch, number(t, c.name), c.ip, c.args); got != c.want {
			t.Errorf("%s%#x of %#x at %#x: %#x, want %#x", c.name, c.args, c.arch, c.ip, got, c.want)
		}
	}
	for _, nr := range []int64{-1, 450, 5000, 1<<30 | 1, 1 << 30} {
		want := uint32(notify)
		if got := f.decide(t, auditX8664, nr, inside, [6]uint64{}); got != want {
			t.Errorf("call %d: %#x, want %#x", nr, got, want)
		}
	}
}

// TestPowerfulCallsAreNotified names the calls that matter most, whatever the table says.
func TestPowerfulCallsAreNotified(t *testing.T) {
	f := newFilter(t)
	for _, name := range []string{
		"execve", "execveat", "fork", "vfork", "clone", "clone3",
		"open", "openat", "openat2", "creat", "open_by_handle_at", "memfd_create", "socket", "connect", "bind", "listen",
		"recvmsg", "sendmsg", "pidfd_open", "pidfd_getfd", "dup", "dup2", "dup3", "signalfd4", "userfaultfd", "io_uring_setup",
		"mremap", "shmat", "remap_file_pages", "process_vm_readv", "process_vm_writev", "process_madvise",
		"ptrace", "prctl", "arch_prctl", "seccomp", "bpf", "perf_event_open", "kcmp", "personality", "modify_ldt", "rseq",
		"setuid", "setgid", "setresuid", "setgroups", "capset", "setrlimit", "prlimit64", "setns", "unshare",
		"kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal", "rt_sigaction",
		"mount", "umount2", "pivot_root", "chroot", "chdir", "unlink", "rename", "mkdir", "chmod", "truncate", "ftruncate",
		"setsid", "setpgid", "reboot", "init_module", "keyctl", "ioctl", "fcntl", "close_range", "iopl", "ioperm",
	} {
		// A command that no call is tame with.
		args := [6]uint64{0, 0xffff}
		if got := f.decide(t, auditX8664, number(t, name), inside, args); got != unix.SeccompRetNotify {
			t.Errorf("%s: %#x", name, got)
		}
	}
}

// TestFilterAgreesWithRules lets calls pass the filter and the ledger's rules, which have
// to say the same: from this the ledger knows what it is not told of.
func TestFilterAgreesWithRules(t *testing.T) {
	f := newFilter(t)
	l := newLedger(place)
	values := []uint64{
		0, 1, 2, 3, 4, 7, 8, 59, 1023, 1024, 1030, 4095, 4096, 0x3000, 0x5401, place.Start - 1<<32, place.Start - 1<<33, place.Start, place.End,
		24, place.Names.Start, place.Names.Start + 32, place.Names.End, place.Names.End - 480, place.Names.End - 512,
		place.SlotEnd, place.SlotEnd - 1, place.Actions[0], place.Actions[1], 1<<32 - 1, 1 << 32, 1<<63 - 1, ^uint64(0),
	}
	rapid.Check(t, func(t *rapid.T) {
		nr := int64(rapid.IntRange(-1, 500).Draw(t, "nr"))
		var args [6]uint64
		for i := range args {
			args[i] = rapid.OneOf(rapid.SampledFrom(values), rapid.Uint64()).Draw(t, "arg")
		}
		if rapid.Bool().Draw(t, "patterned") {
			for _, p := range place.patterns()["prctl"] {
				args = p.args
			}
			args[rapid.IntRange(0, 5).Draw(t, "spoilt")] += uint64(rapid.IntRange(0, 1).Draw(t, "by"))
		}
		if rapid.Bool().Draw(t, "option") {
			nr = int64(rapid.SampledFrom([]int{54, 55}).Draw(t, "which"))
			args[0] = 3
			args[1] = rapid.SampledFrom([]uint64{0, 1, 6, 41, 1<<32 | 1}).Draw(t, "level")
			args[2] = rapid.Uint64Range(0, 45).Draw(t, "name")
		}
		if rapid.Bool().Draw(t, "known") {
			nr = 437
			near := rapid.Custom(func(t *rapid.T) uint64 {
				return place.Names.Start + 512*rapid.Uint64Range(0, 8).Draw(t, "entry") + 32*rapid.Uint64Range(0, 2).Draw(t, "member")
			})
			args[1], args[2] = near.Draw(t, "name"), near.Draw(t, "how")
			if rapid.Bool().Draw(t, "matched") {
				args[1] = args[2] + 32
			}
			args[3] = rapid.Uint64Range(23, 25).Draw(t, "size")
		}
		got := f.decide(t, auditX8664, nr, inside, args) == unix.SeccompRetAllow
		if want := l.tame(&Call{Nr: nr, Args: args}); got != want {
			t.Fatalf("call %d%#x: the filter says %v, the rule %v", nr, args, got, want)
		}
	})
}

func TestImage(t *testing.T) {
	const addr = 0x5240_0000_1000
	b, err := place.Image(addr)
	if err != nil {
		t.Fatal(err)
	}
	ins, err := place.program()
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	if le.Uint16(b) != uint16(len(ins)) || le.Uint64(b[8:]) != addr+16 || len(b) != 16+8*len(ins) {
		t.Errorf("%d instructions, %d bytes, header % x", len(ins), len(b), b[:16])
	}
	// What a variant has room for.
	if len(b) > 0x3000 {
		t.Errorf("%d bytes", len(b))
	}
}
