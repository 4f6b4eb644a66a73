package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend/vhost"
)

const (
	module  = "../../.."
	sources = module + "/frontend/vhost/src"
)

// compiler returns the C compiler, or skips the test.
func compiler(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("gcc")
	if err != nil {
		if os.Getenv("MV_REQUIRE_ALL") == "1" {
			t.Fatal("MISSING: gcc")
		}
		t.Skip("MISSING: the variant host is not built, because there is no gcc; run make deps")
	}
	return path
}

// copySources copies the sources to a new directory below base, whose header is of
// no use.
func copySources(t *testing.T, base string) string {
	t.Helper()
	dir := filepath.Join(base, "src")
	if err := os.CopyFS(dir, os.DirFS(sources)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "zz_layout.h"), []byte("#error stale\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func build(t *testing.T, base string) []byte {
	t.Helper()
	image := filepath.Join(base, "image")
	if err := run(copySources(t, base), image, compiler(t)); err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// madeBy returns what the compiler said of itself in an image.
func madeBy(t *testing.T, image []byte) string {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	s := f.Section(".comment")
	if s == nil {
		t.Fatal("the image does not tell its compiler")
	}
	p, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(p), "\x00")
}

// TestReproducible builds in two places; neither the place nor the time is in the
// result.
func TestReproducible(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("a directory/", 8))
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	first, second := build(t, t.TempDir()), build(t, long)
	if !bytes.Equal(first, second) {
		t.Error("two builds of the same sources differ")
	}
}

// TestFresh compares what is checked in with what the sources make now.
func TestFresh(t *testing.T) {
	header, err := os.ReadFile(filepath.Join(sources, "zz_layout.h"))
	if err != nil {
		t.Fatal(err)
	}
	if string(header) != vhost.Header() {
		t.Error("frontend/vhost/src/zz_layout.h is out of date; run make generate")
	}
	got := build(t, t.TempDir())
	if ours, theirs := madeBy(t, got), madeBy(t, vhost.ImageBytes()); ours != theirs {
		t.Skipf("SKIPPED: the variant host's image was made by %q and cannot be compared with that of %q", theirs, ours)
	}
	if !bytes.Equal(got, vhost.ImageBytes()) {
		t.Error("frontend/vhost/zz_vhost_amd64.elf is out of date; run make generate")
	}
}

// TestAllSources compiles what is not yet in the image as if it were, and checks that it
// needs nothing but what whoever links it brings.
func TestAllSources(t *testing.T) {
	gcc := compiler(t)
	dir := copySources(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(dir, "zz_layout.h"), []byte(vhost.Header()), 0o600); err != nil {
		t.Fatal(err)
	}
	defined, needed := map[string]bool{"vhost_call": true, "ring_patience": true}, map[string]string{}
	for _, name := range []string{"ring_wait", "ring_write", "ring_read", "event"} {
		object := filepath.Join(t.TempDir(), "object")
		// What concerns the linker only has no meaning here.
		args := slices.DeleteFunc(flags(), func(s string) bool {
			return strings.HasPrefix(s, "-Wl,") || slices.Contains([]string{"-static", "-no-pie", "-nostdlib", "-s"}, s)
		})
		cmd := exec.Command(gcc, append(args, "-c", "-o", object, name+".c")...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		f, err := elf.Open(object)
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := f.Symbols()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range symbols {
			switch {
			case elf.ST_BIND(s.Info) != elf.STB_GLOBAL:
			case s.Section == elf.SHN_UNDEF:
				needed[s.Name] = name
			default:
				defined[s.Name] = true
			}
		}
		for _, s := range f.Sections {
			if s.Flags&(elf.SHF_WRITE|elf.SHF_TLS) != 0 && s.Size > 0 {
				t.Errorf("%s has a section %s with flags %v", name, s.Name, s.Flags)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	for symbol, name := range needed {
		if !defined[symbol] {
			t.Errorf("%s needs %s", name, symbol)
		}
	}
}

// TestMakeGenerates checks that the image is among what make generate makes.
func TestMakeGenerates(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(module, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), "\ngenerate: go ##") || !strings.Contains(string(makefile), "\n\t$(GO) generate ./...\n") {
		t.Error("make generate does not run go generate in all packages")
	}
	cmd := exec.Command("go", "generate", "-n", "./frontend/vhost")
	cmd.Dir = module
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := "go run ../../internal/cmd/genvhost -dir src -o zz_vhost_amd64.elf\n"; string(out) != want {
		t.Errorf("go generate does %q, want %q", out, want)
	}
}

// TestErrors: what cannot be built leaves no image that passes for one.
func TestErrors(t *testing.T) {
	gcc := compiler(t)
	good := copySources(t, t.TempDir())
	warned := copySources(t, t.TempDir())
	for name, text := range map[string]string{
		"serve.c": "#include \"vhost.h\"\nstatic int unused(void) { return 0; }\n",
		"start.c": "",
	} {
		if err := os.WriteFile(filepath.Join(warned, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(t.TempDir(), "image")
	for _, tc := range []struct {
		name, dir, out, compiler, want string
	}{
		{"no directory", "", image, gcc, "needed"},
		{"no output", good, "", gcc, "needed"},
		{"a directory that is none", filepath.Join(good, "none"), image, gcc, "no such file"},
		{"no compiler", good, image, filepath.Join(good, "none"), "no such file"},
		{"a warning", warned, image, gcc, "exit status 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := run(tc.dir, tc.out, tc.compiler)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if _, err := os.Stat(image); err == nil {
				t.Error("there is an image")
			}
		})
	}
}
