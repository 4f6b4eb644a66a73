package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNumbersAreFresh compares the checked-in file with what the generator
// makes of the module that go.mod pins.
func TestNumbersAreFresh(t *testing.T) {
	dir, err := moduleDir()
	if err != nil {
		t.Fatal(err)
	}
	want, err := generate(filepath.Join(dir, "unix"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../libmultivar/sysabi/zz_numbers.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("libmultivar/sysabi/zz_numbers.go is out of date; run make generate")
	}
}

func TestGenerate(t *testing.T) {
	const head = "package unix\n\nconst (\n"
	for _, tc := range []struct {
		name, amd64, arm64 string
		want               []string
		wantErr            string
	}{
		{
			name:  "calls of both and of one",
			amd64: head + "SYS_READ = 0\nSYS_OPEN = 2\nSYS_FILE_SETATTR = 469\n)\n",
			arm64: head + "SYS_READ = 63\nSYS_ARCH_SPECIFIC_SYSCALL = 244\nSYS_FILE_SETATTR = 469\nSYS_LISTNS = 470\n)\n",
			want:  []string{`"read": {AMD64: 0, ARM64: 63},`, `"open": {AMD64: 2, ARM64: Absent},`},
		},
		{
			name:    "a module that is too old",
			amd64:   head + "SYS_READ = 0\n)\n",
			arm64:   head + "SYS_READ = 63\n)\n",
			wantErr: "ends before call 469 of Linux 6.18",
		},
		{
			name:    "no Go source",
			amd64:   "const (",
			wantErr: "expected 'package'",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for arch, src := range map[string]string{"amd64": tc.amd64, "arm64": tc.arm64} {
				if err := os.WriteFile(filepath.Join(dir, "zsysnum_linux_"+arch+".go"), []byte(src), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			src, err := generate(dir)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("generate() = %v, want an error with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(strings.Fields(string(src)), " ")
			for _, line := range tc.want {
				if !strings.Contains(got, line) {
					t.Errorf("the source lacks %s:\n%s", line, src)
				}
			}
			for _, name := range []string{"arch_specific_syscall", "listns"} {
				if strings.Contains(got, name) {
					t.Errorf("the source has %s", name)
				}
			}
		})
	}
}
