//go:build linux

package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The script that fetches kernels is called with a relative directory. To apt such a one is
// below /, so it has to be told another.
func TestKernelScriptTellsAptWhere(t *testing.T) {
	script, err := filepath.Abs("../deps/kernel.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir, bin := t.TempDir(), t.TempDir()
	log := filepath.Join(bin, "log")
	for _, name := range []string{"apt-get", "apt-cache"} {
		text := "#!/bin/sh\nprintf '%s\\n' \"$@\" >>" + log + "\nexit 1\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", script, "arm64", ".tools/arm64")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "kernel: no linux-image-cloud-arm64 in the package lists") {
		t.Fatalf("%v, %s", err, out)
	}
	said, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{"Dir::State=", "Dir::Cache="} {
		if want := "\n" + option + dir + "/.tools/arm64."; !strings.Contains(string(said), want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".tools", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v, it left %q", err, left)
	}
}
