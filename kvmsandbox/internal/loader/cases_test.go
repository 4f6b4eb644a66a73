//go:build linux && amd64

package loader

import (
	"debug/elf"
	"encoding/binary"
	"strings"
	"syscall"
)

// Shorthands of the table.
const (
	load = elf.PT_LOAD
	r    = elf.PF_R
	w    = elf.PF_W
	x    = elf.PF_X
)

// kernelCase is a program that is given to the kernel, too.
type kernelCase struct {
	name string
	// program is the file that is executed, other files are beside it.
	program string
	others  map[string]string
	want    outcome
	// newer is true when kernels before 6.18 may differ.
	newer bool
}

func elfCase(name string, b *built, want outcome) kernelCase {
	return kernelCase{name: name, program: string(b.bytes()), want: want}
}

// interpCase is a program whose interpreter is the file "ld".
func interpCase(name string, interp *built, want outcome) kernelCase {
	return kernelCase{name: name, program: string(pie().interpreted("./ld").bytes()),
		others: map[string]string{"ld": string(interp.bytes())}, want: want}
}

var (
	executed = outcome{}
	killed   = outcome{fatal: true}
)

func says(errno syscall.Errno) outcome { return outcome{errno: errno} }

func refused(errno syscall.Errno) outcome { return outcome{errno: errno, refused: true} }

func headerCases() []kernelCase {
	change := func(f func(*built)) *built { return pie().with(f) }
	mutate := func(f func([]byte)) *built { return change(func(b *built) { b.mutate = f }) }
	noexec := says(syscall.ENOEXEC)
	return []kernelCase{
		{name: "empty", program: "", want: noexec},
		{name: "text", program: "echo hello\n", want: noexec},
		elfCase("pie", pie(), executed),
		elfCase("fixed", fixed(), executed),
		elfCase("magic", mutate(func(f []byte) { f[3] = 'f' }), noexec),
		elfCase("class is not looked at", mutate(func(f []byte) { f[4], f[5], f[6] = 1, 2, 9 }), executed),
		elfCase("header size is not looked at", mutate(func(f []byte) { f[52] = 3 }), executed),
		elfCase("relocatable", change(func(b *built) { b.kind = elf.ET_REL }), noexec),
		elfCase("core", change(func(b *built) { b.kind = elf.ET_CORE }), noexec),
		elfCase("other machine", change(func(b *built) { b.machine = elf.EM_AARCH64 }), noexec),
		elfCase("header size of segments", change(func(b *built) { b.entrySize = 64 }), noexec),
		elfCase("no headers", change(func(b *built) { b.count = 0 }), noexec),
		elfCase("headers of 64 KiB", change(func(b *built) { b.count = 65536/segmentSize + 1 }), noexec),
		elfCase("65535 headers", change(func(b *built) { b.count = 65535 }), noexec),
		elfCase("headers of a page", change(func(b *built) { b.size = 0x4000 }).with(quiet(73)), executed),
		elfCase("headers of more than a page", change(func(b *built) { b.size = 0x14000 }).with(quiet(65536/segmentSize)), executed).butNewer(),
		elfCase("headers beyond the file", mutate(func(f []byte) { binary.LittleEndian.PutUint64(f[32:], 0x3000) }), noexec),
		elfCase("headers partly beyond the file", mutate(func(f []byte) { binary.LittleEndian.PutUint64(f[32:], 0x3000-200) }), noexec),
		elfCase("headers at a negative offset", mutate(func(f []byte) { binary.LittleEndian.PutUint64(f[32:], 1<<63) }), noexec),
		elfCase("headers at the largest offset", mutate(func(f []byte) { binary.LittleEndian.PutUint64(f[32:], 1<<63-1) }), noexec),
		elfCase("headers outside of segments", change(func(b *built) { b.tableOff = 0x900 }), executed),
		elfCase("headers in two segments", change(func(b *built) { b.headers[1].off, b.headers[1].filesz = 0, 0x800 }), executed),
		elfCase("headers in no header", mutate(func(f []byte) { clear(f[64 : 64+4*segmentSize]) }), refused(syscall.ENOEXEC)),
	}
}

// quiet fills the table up with headers that say nothing.
func quiet(n int) func(*built) {
	return func(b *built) {
		for len(b.headers) < n {
			b.headers = append(b.headers, programHeader{kind: elf.PT_NULL})
		}
	}
}

func segmentCases() []kernelCase {
	with := func(kind elf.Type, base uint64, headers ...programHeader) *built {
		b := simple(kind, base)
		b.headers = headers
		return b
	}
	code := programHeader{load, r | x, 0x1000, 0x1000, 0x1000, 0x1000, pageSize}
	seg := func(name string, h programHeader, want outcome) kernelCase {
		return elfCase(name, with(elf.ET_DYN, 0, code, h), want)
	}
	last := func(name string, addr, size uint64, want outcome) kernelCase {
		return elfCase(name, with(elf.ET_EXEC, 0, code.at(0x401000), programHeader{load, r | w, 0x1000, addr, size, size, pageSize}).with(func(b *built) { b.entry = 0x401010 }), want)
	}
	return []kernelCase{
		seg("empty segment", programHeader{load, r, 0, 0x4000, 0, 0, pageSize}, executed),
		seg("empty segment inside of a page", programHeader{load, r, 0, 0x4123, 0, 0, pageSize}, executed),
		seg("bss only", programHeader{load, r | w, 0, 0x4000, 0, 0x3000, pageSize}, executed).butNewer(),
		seg("bss only, inside of a page", programHeader{load, r | w, 0x10, 0x4010, 0, 0x10, pageSize}, executed).butNewer(),
		seg("bss only, read-only", programHeader{load, r, 0, 0x4000, 0, 0x1001, pageSize}, executed).butNewer(),
		seg("bss only, executable", programHeader{load, r | x, 0, 0x4000, 0, 0x1000, pageSize}, executed).butNewer(),
		seg("bss over code", programHeader{load, r | w, 0, 0x1000, 0, 0x800, pageSize}, executed).butNewer(),
		seg("read-only with bss", programHeader{load, r, 0x2000, 0x4000, 0x234, 0x3000, pageSize}, executed).butNewer(),
		seg("bss in the last page only", programHeader{load, r | w, 0x2000, 0x4000, 0x234, 0x500, pageSize}, executed),
		seg("bss from a page on", programHeader{load, r | w, 0x2000, 0x4000, 0x1000, 0x1001, pageSize}, executed),
		seg("write-only", programHeader{load, w, 0x2000, 0x4000, 0x234, 0x2000, pageSize}, executed).butNewer(),
		seg("no access", programHeader{load, 0, 0x2000, 0x4000, 0x234, 0x2000, pageSize}, executed).butNewer(),
		seg("other flags", programHeader{load, r | 0xfff00000, 0x2000, 0x4000, 0x234, 0x234, pageSize}, executed),
		seg("file size above memory size", programHeader{load, r | w, 0x2000, 0x4000, 0x235, 0x234, pageSize}, killed),
		seg("huge file size", programHeader{load, r, 0x2000, 0x4000, 1<<64 - 1, 1<<64 - 1, pageSize}, killed),
		seg("huge memory size", programHeader{load, r | w, 0x2000, 0x4000, 0x234, 1<<64 - 0x4000, pageSize}, killed),
		seg("memory size of the address space", programHeader{load, r | w, 0x2000, 0x4000, 0x234, TaskSize, pageSize}, killed),
		seg("address does not match offset", programHeader{load, r, 0x2001, 0x4000, 0x234, 0x234, pageSize}, killed),
		seg("offset below the address in a page", programHeader{load, r, 0x10, 0x4020, 0x234, 0x234, pageSize}, killed),
		seg("negative offset", programHeader{load, r, 1 << 63, 0x4000, 0x234, 0x234, pageSize}, killed),
		seg("largest offset", programHeader{load, r, 1<<63 - 0x1000, 0x4000, 0x1000, 0x1000, pageSize}, killed),
		seg("last offset", programHeader{load, r, 1<<64 - 0x1000, 0x4000, 0x1000, 0x1000, pageSize}, killed),
		seg("beyond the file", programHeader{load, r, 0x8000, 0x4000, 0x1000, 0x1000, pageSize}, executed),
		seg("partly beyond the file", programHeader{load, r | w, 0x2000, 0x4000, 0x4000, 0x4000, pageSize}, executed),
		seg("bss beyond the file", programHeader{load, r | w, 0x8000, 0x4000, 0x123, 0x1000, pageSize}, killed),
		seg("bss right behind the file", programHeader{load, r | w, 0x3000, 0x4000, 0x123, 0x1000, pageSize}, killed),
		seg("read-only bss beyond the file", programHeader{load, r, 0x8000, 0x4000, 0x123, 0x1000, pageSize}, executed).butNewer(),
		seg("bss from a page beyond the file on", programHeader{load, r | w, 0x8000, 0x4000, 0x1000, 0x2000, pageSize}, executed).butNewer(),
		seg("above the address space", programHeader{load, r, 0x2000, TaskSize, 0x234, 0x234, pageSize}, killed),
		seg("negative address", programHeader{load, r, 0x2000, 1<<64 - 0x1000, 0x234, 0x234, pageSize}, killed),
		seg("below the first", programHeader{load, r, 0x2000, 0, 0x234, 0x234, pageSize}, executed),
		seg("over the first", programHeader{load, r | w, 0x2000, 0x1000, 0x800, 0x800, pageSize}, executed),
		seg("sharing a page", programHeader{load, r | w, 0x1ff0, 0x1ff0, 0x110, 0x220, pageSize}, executed),
		elfCase("into the middle of the first", with(elf.ET_DYN, 0,
			programHeader{load, r | x, 0, 0, 0x3000, 0x3000, pageSize}, programHeader{load, r, 0x2000, 0x1000, 0x800, 0x800, pageSize}), executed),
		elfCase("over the zeros of the first", with(elf.ET_DYN, 0,
			programHeader{load, r | w | x, 0, 0, 0x2800, 0x4000, pageSize}, programHeader{load, r, 0x2000, 0x2000, 0x800, 0x800, pageSize}), executed),
		elfCase("below the zeros of the first", with(elf.ET_DYN, 0,
			programHeader{load, r | w | x, 0, 0, 0x2800, 0x4000, pageSize}, programHeader{load, r, 0x2000, 0, 0x1800, 0x1800, pageSize}), executed),
		elfCase("empty segments only", with(elf.ET_DYN, 0, programHeader{load, r, 0, 0, 0, 0, pageSize}), killed),
		elfCase("large alignment", with(elf.ET_DYN, 0, code.aligned(1<<30)), executed),
		elfCase("odd alignments", with(elf.ET_DYN, 0, code.aligned(0x3000), code.at(0x8000).aligned(0), code.at(0xa000).aligned(8)), executed),
		elfCase("first segment high", with(elf.ET_DYN, 0, code.at(0x7000_0000_1000), code.at(0x6fff_f000_0000)).with(func(b *built) { b.entry = 0x7000_0000_1010 }), executed),
		last("near the end of the address space", 0x7ff0_0000_0000, 0x1000, executed),
		last("over the end of the address space", TaskSize-0x1000, 0x1001, killed),
		last("fixed, negative address", 1<<64-0x1000, 0x1000, killed),
		elfCase("entry outside", pie().with(func(b *built) { b.entry = 0x123456 }), refused(syscall.ENOEXEC)),
		elfCase("entry of 0", pie().with(func(b *built) { b.entry = 0 }), executed),
		elfCase("entry above the address space", fixed().with(func(b *built) { b.entry = TaskSize }), killed),
		elfCase("entry in data", pie().with(func(b *built) { b.entry = 0x3090 }), executed),
		elfCase("executable stack", pie().with(func(b *built) { b.headers[3].flags |= x }), executed),
		elfCase("stacks, the last counts", pie().with(func(b *built) {
			b.headers = append(b.headers, programHeader{elf.PT_GNU_STACK, r | w | x, 0, 0, 0, 0, 0})
		}), executed),
		elfCase("stacks, the last is not executable", pie().with(func(b *built) {
			b.headers = append([]programHeader{{elf.PT_GNU_STACK, r | w | x, 0, 0, 0, 0, 0}}, b.headers...)
		}), executed),
		elfCase("no stack header", pie().with(func(b *built) { b.headers = b.headers[:3] }), executed),
	}
}

func (h programHeader) at(addr uint64) programHeader {
	h.vaddr = addr
	return h
}

func (h programHeader) aligned(align uint64) programHeader {
	h.align = align
	return h
}

func interpreterCases() []kernelCase {
	program := func(path string) string { return string(pie().interpreted(path).bytes()) }
	raw := func(name string, size uint64, text string, want outcome) kernelCase {
		b := pie().interpreted(text)
		b.headers[len(b.headers)-1].filesz = size
		return kernelCase{name: name, program: string(b.bytes()), others: map[string]string{"ld": string(pie().bytes())}, want: want}
	}
	at := func(name string, off uint64, want outcome) kernelCase {
		b := pie().interpreted("./ld")
		b.headers[len(b.headers)-1].off = off
		return elfCase(name, b, want)
	}
	elibbad, eacces := says(syscall.ELIBBAD), says(syscall.EACCES)
	change := func(f func(*built)) *built { return pie().with(f) }
	segment := func(name string, h programHeader, want outcome) kernelCase {
		return interpCase(name, change(func(b *built) { b.headers = append(b.headers[:2], h) }), want)
	}
	alone := func(name string, want outcome, headers ...programHeader) kernelCase {
		return interpCase(name, change(func(b *built) {
			b.headers = headers
			b.entry = headers[0].vaddr + 0x10
		}), want)
	}
	code := programHeader{load, r | x, 0x1000, 0x1000, 0x1000, 0x1000, pageSize}
	return []kernelCase{
		interpCase("interpreter", pie(), executed),
		interpCase("interpreter with an interpreter", pie().interpreted("./missing"), executed),
		{name: "fixed with interpreter", program: string(fixed().interpreted("./ld").bytes()), others: map[string]string{"ld": string(pie().bytes())}, want: executed},
		{name: "its own interpreter", program: program("./program"), want: executed},
		{name: "entry outside with interpreter", program: string(pie().interpreted("./ld").with(func(b *built) { b.entry = 0x123456 }).bytes()),
			others: map[string]string{"ld": string(pie().bytes())}, want: executed},
		{name: "missing", program: program("./missing"), want: says(syscall.ENOENT)},
		{name: "directory", program: program("./dir"), others: map[string]string{"dir": "a directory"}, want: eacces},
		{name: "not executable", program: program("./ld"), others: map[string]string{"ld plain": string(pie().bytes())}, want: eacces},
		{name: "below a file", program: program("./program/ld"), want: says(syscall.ENOTDIR)},
		{name: "name too long", program: program(strings.Repeat("x", 256)), want: says(syscall.ENAMETOOLONG)},
		{name: "script as interpreter", program: program("./ld"), others: map[string]string{"ld": "#!/bin/sh" + strings.Repeat("\n", 100)}, want: elibbad},
		{name: "short interpreter", program: program("./ld"), others: map[string]string{"ld": "\x7fELF"}, want: says(syscall.EIO)},
		{name: "empty interpreter", program: program("./ld"), others: map[string]string{"ld": ""}, want: says(syscall.EIO)},
		raw("empty path", 1, "", says(syscall.ENOEXEC)),
		raw("no path", 0, "", says(syscall.ENOEXEC)),
		raw("path of NULs", 2, "\x00", eacces),
		raw("path with a NUL", 7, "./ld\x00x", executed),
		raw("path without end", 4, "./ld", says(syscall.ENOEXEC)),
		raw("path of 4096", 4096, "./ld\x00"+strings.Repeat("x", 4090), executed),
		raw("path of 4097", 4097, "./ld", says(syscall.ENOEXEC)),
		at("path beyond the file", 0x3000, says(syscall.EIO)),
		at("path partly beyond the file", 0x2ffe, says(syscall.EIO)),
		at("path at a negative offset", 1<<63, says(syscall.EINVAL)),
		at("path at the largest offset", 1<<63-2, says(syscall.EINVAL)),
		{name: "two interpreters, the first counts", program: string(pie().interpreted("./ld").with(func(b *built) {
			b.headers = append(b.headers, programHeader{kind: elf.PT_INTERP, off: 1 << 63, filesz: 5})
		}).bytes()), others: map[string]string{"ld": string(pie().bytes())}, want: executed},
		interpCase("magic", change(func(b *built) { b.mutate = func(f []byte) { f[0] = 0 } }), elibbad),
		interpCase("other machine", change(func(b *built) { b.machine = elf.EM_386 }), elibbad),
		interpCase("no headers", change(func(b *built) { b.count = 0 }), elibbad),
		interpCase("size of headers", change(func(b *built) { b.entrySize = 32 }), elibbad),
		interpCase("too many headers", change(func(b *built) { b.count = 65535 }), elibbad),
		interpCase("headers beyond the file", change(func(b *built) { b.mutate = func(f []byte) { f[39] = 0x10 } }), elibbad),
		interpCase("relocatable", change(func(b *built) { b.kind = elf.ET_REL }), killed),
		interpCase("fixed interpreter", fixed(), refused(syscall.ELIBBAD)),
		interpCase("fixed interpreter, mismatch", fixed().with(func(b *built) { b.headers[0].off = 1 }), killed),
		interpCase("interpreter without segments", change(func(b *built) { b.headers = b.headers[3:] }), killed),
		interpCase("entry outside of interpreter", change(func(b *built) { b.entry = 1 << 20 }), refused(syscall.ENOEXEC)),
		interpCase("entry above the address space", change(func(b *built) { b.entry = TaskSize }), killed),
		segment("interpreter with bss only", programHeader{load, r, 0, 0x4000, 0, 0x2000, pageSize}, executed).butNewer(),
		segment("interpreter, file size above memory size", programHeader{load, r, 0x2000, 0x4000, 0x235, 0x234, pageSize}, killed),
		segment("interpreter, huge memory size", programHeader{load, r, 0x2000, 0x4000, 0x235, 1<<64 - 0x4000, pageSize}, killed),
		segment("interpreter, far away", programHeader{load, r, 0x2000, 1 << 48, 0x235, 0x235, pageSize}, killed),
		segment("interpreter, mismatch", programHeader{load, r, 0x2010, 0x4000, 0x235, 0x235, pageSize}, killed),
		alone("interpreter linked high", executed, code.at(1<<63), code.at(1<<63+0x3000)),
		alone("interpreter linked to the end", executed, code.at(1<<64-0x1000)),
		alone("interpreter linked across the end", executed, code.at(1<<64-0x1000), code.at(0)),
		alone("interpreter, second below", executed, code.at(0x8000), code.at(0x2000)),
		alone("interpreter, second from below", executed, code.at(0x8000), programHeader{load, r | w, 0x2000, 0x6000, 0x100, 0x5000, pageSize}),
	}
}

// butNewer marks a program that older kernels treat differently.
func (c kernelCase) butNewer() kernelCase {
	c.newer = true
	return c
}

func scriptCases() []kernelCase {
	ld := string(pie().bytes())
	script := func(name, text string, want outcome) kernelCase {
		return kernelCase{name: name, program: text, others: map[string]string{"i": ld, "i2": "#!./i b\n", "i3": "#!./i2 c\n", "i4": "#!./i3\td",
			"i5": "#!./i4 e\n", "i6": "#! ./i5 f\n", "loop": "#!./loop\n", "dir": "a directory", "plain plain": ld, "text": "text\n"}, want: want}
	}
	noexec := says(syscall.ENOEXEC)
	x := func(n int) string { return strings.Repeat("x", n) }
	return []kernelCase{
		script("plain", "#!./i\n", executed),
		script("argument", "#!./i -x\n", executed),
		script("argument with blanks", "#! \t ./i  -x \t y z\t \nmore\n", executed),
		script("no newline", "#!./i", executed),
		script("no newline, argument", "#!./i a b", executed),
		script("newline after NUL", "#!./i\x00 a\n", executed),
		script("NUL in argument", "#!./i a\x00b\n", executed),
		script("carriage return", "#!./i\r\n", says(syscall.ENOENT)),
		script("nothing", "#!", says(syscall.EACCES)),
		script("newline only", "#!\n./i\n", noexec),
		script("blanks only", "#! \t \n", noexec),
		script("blanks to the end", "#!"+strings.Repeat(" ", 300), noexec),
		script("NUL", "#!\x00./i\n", says(syscall.EACCES)),
		script("one character", "#", noexec),
		script("interpreter cut off", "#!./"+x(300), noexec),
		script("interpreter of 253", "#!"+x(253)+"\n", says(syscall.ENOENT)),
		script("interpreter up to the end", "#!./"+x(251)+" ", says(syscall.ENOENT)),
		script("interpreter to the last byte", "#!./"+x(251)+"\n", says(syscall.ENOENT)),
		script("interpreter over the last byte", "#!./"+x(252)+"\n", noexec),
		script("argument cut off", "#!./i "+x(300)+"\n", executed),
		script("argument to the last byte", "#!./i "+x(249)+"\n", executed),
		script("argument of blanks to the end", "#!./i"+strings.Repeat(" ", 300)+"a\n", executed),
		script("blanks in front of what is cut off", "#!./i"+strings.Repeat(" ", 249)+"ab\n", executed),
		script("missing", "#!./missing\n", says(syscall.ENOENT)),
		script("directory", "#!./dir\n", says(syscall.EACCES)),
		script("not executable", "#!./plain\n", says(syscall.EACCES)),
		script("text", "#!./text\n", noexec),
		script("two", "#!./i2 a\n", executed),
		script("three", "#!./i3 a\n", executed),
		script("four", "#!./i4 a\n", executed),
		script("five", "#!./i5 a\n", executed),
		script("six", "#!./i6 a\n", says(syscall.ELOOP)),
		script("itself", "#!./program\n", says(syscall.ELOOP)),
		script("loop", "#!./loop\n", says(syscall.ELOOP)),
		{name: "interpreter with interpreter", program: "#!./i\n", others: map[string]string{"i": string(pie().interpreted("./ld").bytes()), "ld": ld}, want: executed},
	}
}
