package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/report"
)

// lineHeader returns a header of line information, version 5, that promises so many
// directories and has one.
func lineHeader(directories uint64) []byte {
	const inline = 0x08 // DW_FORM_string
	var b bytes.Buffer
	b.Write([]byte{1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1})
	b.Write([]byte{1, 1, inline})
	b.Write(binary.AppendUvarint(nil, directories))
	b.WriteString("/src\x00")
	b.Write([]byte{2, 1, inline, 2, 0x0b, 2})
	b.WriteString("here.c\x00\x00here.c\x00\x00")
	header := b.Bytes()
	// Address 0x1000 is of line 7, and the sequence ends at 0x1100.
	program := []byte{0, 9, 2, 0, 0x10, 0, 0, 0, 0, 0, 0, 3, 6, 1, 2, 0x80, 0x02, 0, 1, 1}
	out := binary.LittleEndian.AppendUint16(nil, 5)
	out = append(out, 8, 0)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(header)))
	out = append(append(out, header...), program...)
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(out))), out...)
}

// withLines writes a program with a function at 0x1000 and this line information.
func withLines(t *testing.T, lines []byte) string {
	t.Helper()
	le := binary.LittleEndian
	info := le.AppendUint16(nil, 5)
	info = append(info, 1, 8) // DW_UT_compile, size of addresses
	info = le.AppendUint32(info, 0)
	info = append(info, 1)
	info = le.AppendUint64(info, 0x1000)
	info = le.AppendUint64(info, 0x100)
	info = le.AppendUint32(info, 0)
	info = append(le.AppendUint32(nil, uint32(len(info))), info...)
	// A unit with low_pc as an address, high_pc as a size, and stmt_list.
	abbrev := []byte{1, 0x11, 0, 0x11, 0x01, 0x12, 0x07, 0x10, 0x17, 0, 0, 0}
	names := []byte("\x00.shstrtab\x00.debug_abbrev\x00.debug_info\x00.debug_line\x00")
	const headSize, phSize = 64, 56
	body := []byte{}
	sections := []elf.Section64{{}}
	for name, p := range map[string][]byte{".shstrtab": names, ".debug_abbrev": abbrev, ".debug_info": info, ".debug_line": lines} {
		kind := elf.SHT_PROGBITS
		if name == ".shstrtab" {
			kind = elf.SHT_STRTAB
		}
		sections = append(sections, elf.Section64{
			Name: uint32(bytes.Index(names, []byte(name))), Type: uint32(kind),
			Off: uint64(headSize + phSize + len(body)), Size: uint64(len(p)), Addralign: 1,
		})
		body = append(body, p...)
	}
	head := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: headSize,
		Phoff: headSize, Phentsize: phSize, Phnum: 1,
		Shoff: uint64(headSize + phSize + len(body)), Shentsize: 64, Shnum: uint16(len(sections)),
	}
	for i := range sections {
		if sections[i].Type == uint32(elf.SHT_STRTAB) {
			head.Shstrndx = uint16(i)
		}
	}
	var b bytes.Buffer
	for _, part := range []any{head, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: 0x1000, Filesz: 0x100, Memsz: 0x100}, body, sections} {
		if err := binary.Write(&b, le, part); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A program's file that takes whoever reads it down costs the report its backtraces: it
// comes out, with a line that says so, and the status is that of a divergence.
func TestHostileDebugInformation(t *testing.T) {
	for _, c := range []struct {
		name        string
		directories uint64
		hostile     bool
	}{{name: "honest", directories: 1}, {name: "hostile", directories: 1 << 42, hostile: true}} {
		path := withLines(t, lineHeader(c.directories))
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		view := report.View{
			Moment: report.MomentExact, HasCall: false, IP: 0x1000, SP: 0x7000,
			Mappings: []frontend.Mapping{{Start: 0x1000, End: 0x2000, Prot: 5, Path: path, Inode: st.Ino}},
		}
		other := view
		other.Variant = 1
		h := newHarness()
		h.eng.divergence = &report.Divergence{
			Kind: report.KindCrash, Variant: 1, Variants: 2,
			Scene: &report.Scene{Threads: 1, Views: []report.View{view, other}},
		}
		got := h.do("true")
		text := h.stderr.String()
		if got != (status{code: statusDivergence}) || !strings.Contains(text, "divergence: variant 1 crashes\n") {
			t.Errorf("%s: status %+v, %s", c.name, got, text)
		}
		if without := strings.Count(text, "kvmsandbox: the report is without backtraces: "); without != 1 && c.hostile || without != 0 && !c.hostile {
			t.Errorf("%s: %s", c.name, text)
		}
		if strings.Contains(text, "here.c:7") == c.hostile {
			t.Errorf("%s: %s", c.name, text)
		}
		if strings.Contains(text, "goroutine") {
			t.Errorf("%s: a stack trace: %s", c.name, text)
		}
	}
}

// Nobody becomes an explainer by a variable alone.
func TestIsExplainer(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	ours := explainerVariable + "=1"
	for _, c := range []struct {
		env      []string
		files    []*os.File
		yes, bad bool
	}{
		{files: []*os.File{r, w}},
		{env: []string{"A=1", ours}, files: []*os.File{r, w}},
		{env: []string{ours}, files: []*os.File{r, w, null}, yes: true},
		{env: []string{ours, "A=1"}, files: []*os.File{r, w}, bad: true},
		{env: []string{ours}, files: []*os.File{r, null}, bad: true},
		{env: []string{ours}, files: []*os.File{nil, w}, bad: true},
		{env: []string{ours}, bad: true},
	} {
		if yes, err := isExplainer(c.files, c.env); yes != c.yes || (err != nil) != c.bad {
			t.Errorf("%q: %v, %v", c.env, yes, err)
		}
	}
}

// A new report is for its owner alone, what is there already keeps its mode.
func TestReportsArePrivate(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(old, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{filepath.Join(dir, "new"): 0o600, old: 0o644} {
		h := newHarness()
		h.eng.divergence = &report.Divergence{Kind: report.KindCrash, Variant: 1, Variants: 2}
		h.do("--report", path, "true")
		if st, err := os.Stat(path); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
}
